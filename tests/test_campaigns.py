"""A campaign from its door to its rows: who is registered where, with what, and when."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django.fixtures import Settings

from campaigns.models import CampaignRow, ConsentText
from landing import views
from landing.door import receipts
from landing.keeping import queues
from landing.models import Registration, StoredSubmission
from landing.submission import MalformedSubmission, Submission
from landing.tasks import save_phones_async
from lib import metrics
from lib.clock import now
from tests.campaign_files import NOWRUZ, landing_dir
from tests.messages import kept, ready

pytestmark = pytest.mark.django_db(transaction=True)

PHONE = "09123456789"
SPELLINGS = [
    PHONE,
    "9123456789",
    "+989123456789",
    "00989123456789",
    "989123456789",
    "0912 345 6789",
    "0912-345-6789",
    "۰۹۱۲۳۴۵۶۷۸۹",
    "٠٩١٢٣٤٥٦٧٨٩",
    "tel:+98-912-345-6789",
]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Any]:
    """Two campaigns beside the default one: nowruz asks for much, summer for nothing."""
    with landing_dir(tmp_path, nowruz=NOWRUZ, summer="") as write:
        yield write


def register(client: Client, slug: str = "nowruz", key: str = "", **sent: Any) -> Any:
    body = {"phone_number": PHONE, "city": "tehran", "consent": True} | sent
    headers = {"Idempotency-Key": key} if key else {}
    headers["X-Forwarded-For"] = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"
    url = f"/api/register/{slug}/" if slug else "/api/register/"
    return client.post(url, orjson.dumps(body), content_type="application/json", headers=headers)


def stored() -> Any:
    """Store what waits, and return the details of each submission, by its request_id."""
    save_phones_async(kept())
    return {str(pk): details for pk, details in StoredSubmission.objects.values_list("pk", "details")}


def test_a_phone_is_one_registration_in_each_campaign(write: Any, client: Client) -> None:
    for spelling in SPELLINGS * 2:
        for slug in ("nowruz", "summer"):
            assert register(client, slug, phone_number=spelling).status_code == 202
    stored()
    assert StoredSubmission.objects.count() == 40
    known = Registration.objects.values_list("campaign__slug", "phone_number")
    assert sorted(known) == [("nowruz", PHONE), ("summer", PHONE)]


def test_a_key_is_one_registration_in_each_campaign(write: Any, client: Client) -> None:
    ids = [register(client, slug, key="a key").json()["task_id"] for slug in ("nowruz", "summer", "nowruz")]
    assert ids[0] == ids[2] != ids[1]
    assert len(stored()) == 2


def test_the_ids_of_before_there_were_campaigns_are_the_same(settings: Settings) -> None:
    settings.SECRET_KEY = "a secret of fifty characters, which nobody has ever used"
    assert receipts.request_id_for("a key", PHONE) == "8469114c-ad61-8bec-89fb-1efc8f978055"


def test_the_default_campaign_s_message_is_as_ever() -> None:
    sent = Submission(PHONE, "0" * 8, "192.0.2.1", "", "", datetime(2026, 3, 21, tzinfo=UTC))
    assert sent.to_wire() == [PHONE, "0" * 8, "192.0.2.1", "", "", "2026-03-21T00:00:00+00:00"]


def test_a_message_of_before_is_stored_in_the_default_campaign() -> None:
    save_phones_async([[PHONE, str(uuid4()), "192.0.2.1", "", "", now().isoformat()]])
    assert [one.campaign_id for one in Registration.objects.all()] == [1]
    assert ready(queues.dead) == []


def test_what_was_sent_is_kept_in_its_one_spelling(write: Any, client: Client) -> None:
    answer = register(
        client,
        name="  علي ",
        email="a@b.example",
        news=True,
        unknown="x",
        source={"utm_source": "sms", "x": "y"},
    )
    [details] = stored().values()
    assert answer.status_code == 202
    assert details == {
        "name": "علی",
        "city": "tehran",
        "email": "a@b.example",
        "news": "yes",
        "consent": details["consent"],
        "source": {"utm_source": "sms"},
    }


@pytest.mark.parametrize(
    ("sent", "field", "code"),
    [
        ({"email": "a@b"}, "email", "malformed"),
        ({"name": "x" * 61}, "name", "too_long"),
        ({"name": "x" * 10_000}, "name", "too_long"),
        ({"name": "a\0b"}, "name", "bad_characters"),
        ({"name": "two\nlines"}, "name", "bad_characters"),
        ({"name": 3}, "name", "not_text"),
        ({"name": ["x"]}, "name", "not_text"),
        ({"city": "shiraz"}, "city", "not_a_choice"),
        ({"city": ""}, "city", "required"),
        ({"city": None}, "city", "required"),
        ({"city": " "}, "city", "required"),
        ({"news": "maybe"}, "news", "malformed"),
        ({"news": {}}, "news", "malformed"),
    ],
)
def test_a_wrong_field_is_refused_by_name_and_nothing_is_kept(
    write: Any, client: Client, sent: Any, field: str, code: str
) -> None:
    answer = register(client, **sent)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_fields")
    assert [(one["field"], one["code"]) for one in answer.json()["errors"]] == [(field, code)]
    assert kept() == []


def test_a_lone_surrogate_is_refused(write: Any, client: Client) -> None:
    body = b'{"phone_number": "09123456789", "city": "tehran", "consent": true, "name": "\\ud800"}'
    answer = client.post("/api/register/nowruz/", body, content_type="application/json")
    assert answer.status_code == 400
    assert kept() == []


def test_all_wrong_fields_are_told_in_the_visitor_s_language(write: Any, client: Client) -> None:
    body = orjson.dumps({"phone_number": PHONE, "email": "x", "consent": True})
    headers = {"Accept-Language": "fa"}
    answer = client.post(
        "/api/register/nowruz/", body, content_type="application/json", headers=headers
    ).json()
    assert [one["field"] for one in answer["errors"]] == ["city", "email"]
    assert answer["detail"] == "شهر: این لازم است."


@pytest.mark.parametrize("consent", [None, False, "", "no", 1, [True]])
def test_without_consent_nobody_is_registered(write: Any, client: Client, consent: Any) -> None:
    answer = register(client, consent=consent)
    assert (answer.status_code, answer.json()["code"]) == (400, "consent_required")
    assert kept() == []


def test_consent_is_kept_as_the_version_of_the_text_that_was_shown(write: Any, client: Client) -> None:
    call_command("migrate", verbosity=0)
    page = client.get("/c/nowruz/en/").content.decode()
    register(client, consent=True)
    of_an_older_tab = register(client, consent="0123456789ab").json()["task_id"]
    found = stored()
    assert found.pop(of_an_older_tab)["consent"] == "0123456789ab"
    [details] = found.values()
    text = ConsentText.objects.get(pk=details["consent"])
    assert (text.slug, text.language) == ("nowruz", "fa")
    assert ConsentText.objects.get(language="en", slug="nowruz").pk in page


def test_the_latest_text_does_not_replace_an_older_one(write: Any) -> None:
    call_command("migrate", verbosity=0)
    write("nowruz", f'{NOWRUZ}\n[en.form]\nconsent = "Another text"\n')
    call_command("migrate", verbosity=0)
    assert ConsentText.objects.filter(slug="nowruz", language="en").count() == 2


def test_an_unknown_campaign_is_not_found(write: Any, client: Client) -> None:
    assert register(client, "winter").status_code == 404
    assert client.get("/c/winter/").status_code == 404


def test_a_worker_that_does_not_know_a_campaign_keeps_its_registrations() -> None:
    sent = Submission(PHONE, str(uuid4()), "192.0.2.1", "", "", now(), campaign="nobody-told")
    save_phones_async([sent.to_wire()])
    assert Registration.objects.get().campaign.slug == "nobody-told"


def test_before_the_opening_it_says_when(write: Any, client: Client) -> None:
    opens = (now() + timedelta(hours=1)).replace(microsecond=0)
    write("nowruz", f"[campaign]\nopens = {opens.isoformat()}\n")
    answer = register(client)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_open_yet")
    assert datetime.fromisoformat(answer.json()["opens_at"]) == opens
    assert 3590 < int(answer["Retry-After"]) <= 3600
    assert kept() == []


@pytest.mark.parametrize("language", ["fa", "en"])
def test_after_the_close_it_says_so_in_the_page_s_own_words(
    write: Any, client: Client, language: str
) -> None:
    write(
        "nowruz",
        f'[campaign]\ncloses = {now().isoformat()}\n[{language}.campaign]\ncampaign_closed = "Over & out"\n',
    )
    assert register(client).json()["code"] == "campaign_closed"
    assert "Over &amp; out" in client.get(f"/c/nowruz/{language}/").content.decode()
    assert client.post(f"/c/nowruz/{language}/", {"phone_number": PHONE}).status_code == 403
    assert kept() == []


def test_in_time_is_in_time_however_late_it_is_stored(
    write: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    closes = datetime(2026, 12, 20, tzinfo=UTC)
    write("nowruz", f"[campaign]\ncloses = {closes.isoformat()}\n")
    monkeypatch.setattr(views, "now", lambda: closes - timedelta(milliseconds=1))
    assert register(client).status_code == 202
    monkeypatch.setattr(views, "now", lambda: closes)
    assert register(client).json()["code"] == "campaign_closed"
    assert len(stored()) == 1


@pytest.mark.parametrize(
    "more",
    [
        ["Nowruz", {}],
        ["nowruz", []],
        ["nowruz", {"name": "a\0b"}],
        ["nowruz", {"name": "x" * 300}],
        ["nowruz", {"Name": "x"}],
        ["nowruz", {"name": {"deep": 1}}],
        ["nowruz", {"consent": "x"}],
        ["nowruz", {f"f{n}": "x" for n in range(11)}],
        [None, {}],
        ["nowruz", None],
    ],
)
def test_details_that_no_door_has_written_are_malformed(more: Any) -> None:
    raw = [PHONE, str(uuid4()), "", "", "", now().isoformat(), *more]
    with pytest.raises(MalformedSubmission):
        Submission.from_wire(raw)


def test_a_redelivery_in_any_order_leaves_the_details_of_the_earlier(write: Any) -> None:
    request_id = str(uuid4())
    early, late = (
        Submission(PHONE, request_id, "", "", "", now() + timedelta(minutes=n), "nowruz", {"name": f"n{n}"})
        for n in range(2)
    )
    for batch in ([late], [early], [late]):
        save_phones_async([one.to_wire() for one in batch])
    assert StoredSubmission.objects.get().details == {"name": "n0"}


def test_a_form_without_javascript_is_as_good(write: Any, client: Client) -> None:
    typed = {"phone_number": PHONE, "city": "isfahan", "news": "yes", "consent": "yes", "key": "k"}
    came_from = "https://testserver/c/nowruz/en/?utm_source=sms&utm_source=other&x=y"
    answer = client.post("/c/nowruz/en/", typed, headers={"Referer": came_from})
    assert answer.status_code == 302
    assert client.get(answer["Location"]).status_code == 200
    [details] = stored().values()
    assert (details["city"], details["news"], details["source"]) == ("isfahan", "yes", {"utm_source": "sms"})


def test_what_was_typed_stays_in_the_form_that_is_refused(write: Any, client: Client) -> None:
    typed = {"phone_number": PHONE, "name": "<b>", "city": "shiraz", "consent": "yes"}
    answer = client.post("/c/nowruz/en/", typed)
    assert answer.status_code == 400
    assert "City: Choose one of the list." in answer.content.decode()
    assert 'value="&lt;b&gt;"' in answer.content.decode()


def test_migrate_tells_postgresql_of_the_campaigns(write: Any) -> None:
    call_command("migrate", verbosity=0)
    assert dict(CampaignRow.objects.values_list("slug", "field_names")) == {
        "default": [],
        "nowruz": ["name", "city", "email", "news"],
        "summer": [],
    }


def test_staff_see_one_campaign_and_what_was_sent(write: Any, admin_client: Client, client: Client) -> None:
    call_command("migrate", verbosity=0)
    register(client, "summer", phone_number="09351112233")
    register(client, name="Sara")
    stored()
    page = admin_client.get("/admin/landing/registration/?campaign=nowruz").content.decode()
    assert "0912***6789" in page
    assert "0935***2233" not in page
    [pk] = StoredSubmission.objects.filter(registration__campaign__slug="nowruz").values_list("pk", flat=True)
    assert "Sara" in admin_client.get(f"/admin/landing/storedsubmission/{pk}/change/").content.decode()


def test_a_trace_tells_the_campaign_and_no_value(
    write: Any, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    task_id = register(client, name="Sara").json()["task_id"]
    stored()
    call_command("trace", task_id, "--json")
    said = capsys.readouterr().out
    assert '"campaign": "nowruz"' in said
    assert "Sara" not in said


def evidence(*arguments: str) -> Any:
    out = StringIO()
    call_command("evidence", *arguments, stdout=out)
    return out.getvalue()


def test_the_evidence_of_a_consent_is_whole_and_sealed(write: Any, client: Client, tmp_path: Path) -> None:
    call_command("migrate", verbosity=0)
    register(client)
    stored()
    printed = tmp_path / "evidence.json"
    printed.write_text(evidence("0912 345 6789", "--json"), "utf-8")
    [consent] = orjson.loads(printed.read_bytes())["evidence"]["consents"]
    assert (consent["campaign"], consent["language"]) == ("nowruz", "fa")
    assert consent["text"] == ConsentText.objects.get(pk=consent["version"]).text
    assert consent["ip_address"].startswith("2001:db8:")
    assert "as it was printed" in evidence("--verify", str(printed))
    printed.write_text(printed.read_text("utf-8").replace("nowruz", "summer"), "utf-8")
    with pytest.raises(CommandError, match="It was changed"):
        evidence("--verify", str(printed))


def test_a_version_that_was_never_published_is_told(write: Any, client: Client) -> None:
    register(client, consent="0123456789ab")
    stored()
    assert "text          (never published here)" in evidence(PHONE)


@pytest.mark.parametrize("arguments", [["12"], [], ["09351112233"], ["--verify", "/nowhere"]])
def test_without_evidence_the_command_fails(write: Any, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        evidence(*arguments)


def test_each_campaign_has_a_figure_and_there_is_an_end_to_them() -> None:
    batch = [
        Submission(PHONE, str(uuid4()), "", "", "", now(), slug) for slug in ("default", "nowruz", "nowruz")
    ]
    metrics.take()
    save_phones_async([one.to_wire() for one in batch])
    CampaignRow.objects.create(id=100, slug="one-too-many")
    save_phones_async([Submission(PHONE, str(uuid4()), "", "", "", now(), "one-too-many").to_wire()])
    counted = {name: count for name, count in metrics.take().items() if name.startswith("campaign_stored")}
    assert counted == {"campaign_stored:default": 1, "campaign_stored:nowruz": 2, "campaign_stored:other": 1}
