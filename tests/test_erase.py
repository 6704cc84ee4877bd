"""A person who has asked to be forgotten is in no store, and comes back from none."""

import gzip
import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import current_app
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from redis import Redis

from campaigns.models import CampaignRow
from confirmations import asks, claims
from confirmations.asks import Asked
from confirmations.models import Ask, Challenge
from dashboard.desk import dead_letters, doctor, persons
from dashboard.desk.dead_letters import Choice
from dashboard.models import Export, ExportChunk
from dashboard.proof import ledger, retention
from dashboard.proof.ledger import Question
from landing.keeping import queues
from landing.models import ErasedSubmission, Erasure, ParkedLog, Registration, StoredSubmission
from landing.page import branding
from landing.storing import dead_lettering, erasures, outbox, registrations
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib import request_ids
from lib.clock import now
from logs import utils as logs
from tests.campaign_files import landing_dir
from tests.messages import depth, ready
from tests.rights import container_roles, rights_of

pytestmark = pytest.mark.django_db(transaction=True)

PHONE, NEIGHBOUR = "09123456789", "09350000000"


def submission(phone: str = PHONE, slug: str = "default", **fields: Any) -> Submission:
    request_id = request_ids.new(settings.SECRET_KEY.encode())
    return Submission(phone, request_id, "192.0.2.1", "https://a.example/", "agent", now(), slug, **fields)


def accept(*submissions: Submission) -> None:
    save_phones_async([one.to_wire() for one in submissions])


def erase(phone: str = PHONE, *options: str) -> Any:
    out = StringIO()
    call_command("erase", phone, "--yes", "--settle", "0", "--json", *options, stdout=out)
    return json.loads(out.getvalue())


def state(one: Submission) -> tuple[int, str]:
    answer = Client().get(f"/api/register/{one.request_id}/", headers={"Accept-Language": "en"})
    return answer.status_code, answer.json().get("code") or answer.json()["status"]


def held_anywhere(phone: str, *ids: str) -> list[str]:
    """Where a number or one of its ids is found: every table, the request log, the dead letters, Redis."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT t::text FROM {table} AS t")
            text = str(cursor.fetchall())
            if phone in text or (table != "landing_erased" and any(one in text for one in ids)):
                found.append(table)
    if logs.find_many(list(ids)):
        found.append("request log")
    if any(phone in str(letter.registrations) for letter in dead_letters.letters(Choice())):
        found.append("dead letters")
    redis = Redis.from_url(settings.REDIS_URL, decode_responses=True)
    if any(phone in str(redis.get(key)) for key in redis.scan_iter("celery*")):
        found.append("Redis")
    return found


@pytest.fixture(autouse=True)
def _code_key(settings: Any) -> None:
    settings.CODE_KEY, settings.HAS_CODE_KEY = "k" * 32, True


def test_a_person_is_gone_from_every_store_and_the_neighbour_is_not() -> None:
    twice, again, neighbour = submission(), submission(), submission(NEIGHBOUR)
    accept(twice, again, neighbour)
    outbox.park([{"_id": again.request_id, "ip_address": "192.0.2.1"}])
    asks.note([Asked(twice.request_id, now(), "fa", "a.example", "g")])
    dead_lettering.bury(submission().to_wire(), "poison")
    told = erase()
    assert (told["registrations"], told["submissions"], told["documents"], told["dead_letters"]) == (
        1,
        2,
        2,
        1,
    )
    assert held_anywhere(PHONE, twice.request_id, again.request_id) == []
    assert Registration.objects.get().phone_number == NEIGHBOUR
    assert logs.find(neighbour.request_id) is not None
    assert state(twice) == state(again) == (410, "erased")
    assert state(neighbour) == (200, "Registered")


def test_what_was_on_its_way_is_not_stored_and_a_later_registration_is() -> None:
    first, queued, neighbour = submission(), submission(), submission(NEIGHBOUR)
    accept(first)
    erase()
    accept(queued, first, neighbour)  # from a queue, a spool, a dead letter or a backup; and delivered again
    assert held_anywhere(PHONE, first.request_id, queued.request_id) == []
    assert state(queued) == (410, "erased")
    assert {str(one) for one in ErasedSubmission.objects.values_list("pk", flat=True)} == {
        first.request_id,
        queued.request_id,
    }
    later = submission()
    accept(later)
    assert state(later) == (200, "Registered")
    report = ledger.reconcile(
        Question(accepted=[one.request_id for one in (first, queued, neighbour, later)], settle=0)
    )
    assert (report.damage, report.excused.count, report.stored) == (0, 2, 2)


def test_a_batch_of_nobody_else_is_done_with() -> None:
    erase()
    one = submission()
    object.__setattr__(one, "accepted_at", now() - timedelta(minutes=1))
    assert registrations.store([one]) == {}
    accept(one)
    assert state(one) == (410, "erased")


def test_only_one_campaign_may_be_meant() -> None:
    here, there = submission(slug="gala"), submission(slug="summer")
    accept(here, there)
    erase(PHONE, "--campaign", "gala")
    assert [str(one.campaign) for one in Registration.objects.select_related("campaign")] == ["summer"]
    accept(here)
    assert Registration.objects.count() == 1
    with pytest.raises(CommandError, match="No campaign is named"):
        erase(PHONE, "--campaign", "none")


@pytest.mark.parametrize(("slug", "left"), [("gala", "summer"), ("default", "summer"), ("summer", "gala")])
def test_dead_letters_go_in_the_campaign_that_is_named_and_stay_in_others(slug: str, left: str) -> None:
    accept(submission(slug=slug))
    for one in (slug, left):
        dead_lettering.bury(submission(slug=one).to_wire(), "poison")
    assert erase(PHONE, "--campaign", slug)["dead_letters"] == 1
    [letter] = dead_letters.letters(Choice())
    assert letter.registrations
    assert letter.registrations[0][6] == left


def test_a_batch_of_dead_letters_keeps_the_neighbour() -> None:
    mine, neighbour = submission(), submission(NEIGHBOUR)
    with current_app.connection_for_write() as broker:
        call = {"task": "landing.tasks.save_phones_async", "id": str(uuid4())}
        broker.Producer().publish(
            [[[mine.to_wire(), neighbour.to_wire()]], {}, {}],
            exchange=queues.dead.exchange,
            routing_key=queues.DEAD,
            serializer="json",
            headers=call,
        )
    erase()
    assert depth(queues.dead) == 0
    for (batch,) in ready(queues.live):
        save_phones_async(batch)
    assert Registration.objects.get().phone_number == NEIGHBOUR


def test_the_files_of_exports_go_with_everybody_in_them() -> None:
    accept(submission())
    export = Export.objects.create(format="csv", requested_by="sara")
    ExportChunk.objects.create(export=export, number=0, body=gzip.compress(PHONE.encode()))
    Export.objects.update(state=Export.State.READY)
    assert erase()["exports"] == 1
    assert not ExportChunk.objects.exists()
    assert Export.objects.get().state == Export.State.EXPIRED


def test_codes_of_the_person_go_too() -> None:
    one = submission()
    accept(one)
    asks.note([Asked(one.request_id, now(), "fa", "a.example", "g")])
    CampaignRow.objects.update(confirms=True)
    claims.claim("one", 1)
    assert Challenge.objects.exists()
    erase()
    assert not Challenge.objects.exists()
    assert not Ask.objects.exists()


def test_after_a_restore_the_same_people_are_erased_again(tmp_path: Path) -> None:
    one, neighbour = submission(), submission(NEIGHBOUR)
    accept(one)
    erase()
    out = StringIO()
    call_command("erase", "--list", stdout=out)
    (tmp_path / "erasures.jsonl").write_text(out.getvalue())
    assert PHONE not in out.getvalue()
    Erasure.objects.all().delete()  # the backup is from before
    ErasedSubmission.objects.all().delete()
    registrations._spares = False
    accept(one, neighbour)
    said = StringIO()
    again = ("erase", "--again", str(tmp_path / "erasures.jsonl"), "--yes", "--settle", "0", "--json")
    call_command(*again, stdout=said, stderr=StringIO())
    assert json.loads(said.getvalue())["people"] == 1
    assert held_anywhere(PHONE, one.request_id) == []
    assert Registration.objects.get().phone_number == NEIGHBOUR


def test_what_a_frozen_worker_writes_late_is_deleted_after_the_wait() -> None:
    one = submission()
    accept(one)
    persons.erase(PHONE, mark := erasures.mark_of(PHONE, ""))
    logs.log_request({"_id": one.request_id, "ip_address": "192.0.2.1"})
    assert persons.erase_again(PHONE, mark) == 1
    assert held_anywhere(PHONE, one.request_id) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{}", "not three texts"),
        ("nonsense", "Expecting value"),
        ('["00", "", "2026-01-01T00:00:00+00:00"]', "no hash"),
    ],
)
def test_a_file_that_list_has_not_printed_is_refused_with_its_line(
    line: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text(line)
    with pytest.raises(CommandError, match=told):
        call_command("erase", "--again", str(tmp_path / "file"), "--yes")


def test_without_a_yes_nothing_is_erased() -> None:
    accept(submission())
    out = StringIO()
    call_command("erase", PHONE, "--dry-run", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["registrations"], told["submissions"], told["documents"], told["erased"]) == (1, 1, 1, False)
    assert "backups" in told["stays"]
    with pytest.raises(CommandError, match="--yes"):
        call_command("erase", PHONE)
    with pytest.raises(CommandError, match="no phone number"):
        call_command("erase", "12", "--yes")
    assert StoredSubmission.objects.count() == 1


def test_all_that_is_held_about_a_person_is_told() -> None:
    one = submission(details={"city": "tehran"}, slug="gala")
    accept(one, submission(NEIGHBOUR))
    ParkedLog.objects.all().delete()
    out = StringIO()
    call_command("tell", "۰۹۱۲ ۳۴۵ ۶۷۸۹", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert told["submissions"][0]["details"] == {"city": "tehran"}
    assert told["request_log"][0]["ip_address"] == "192.0.2.1"
    assert NEIGHBOUR not in out.getvalue()


def test_the_toolbox_may_erase_and_a_worker_spares() -> None:
    one, more = submission(), submission()  # both before the erasure
    with container_roles("breakwater_worker", "breakwater_web", "breakwater_toolbox"):
        with rights_of("breakwater_worker"):
            registrations.store([one])
        with rights_of("breakwater_toolbox"):
            persons.erase(PHONE, erasures.mark_of(PHONE, ""))
        with rights_of("breakwater_worker"):
            assert registrations.store([more, one]) == {}
    assert not StoredSubmission.objects.exists()


# -- Campaigns whose time is over


@pytest.fixture
def over(tmp_path: Path) -> Any:
    """A campaign that closed long ago, and one that is kept for ever."""
    told = '[campaign]\ncloses = "2026-01-01"\nkeep = "90 days"\n'
    with landing_dir(tmp_path, gala=told, summer=""):
        call_command("migrate", verbosity=0)
        yield


def purge(*options: str) -> Any:
    out = StringIO()
    call_command("purge", "--json", *options, stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def test_a_campaign_whose_time_is_over_is_deleted_and_the_others_stay(
    over: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    old = [submission(f"0912000000{n}", "gala") for n in range(5)]
    accept(*old, submission(slug="summer"), submission())
    assert [(one.verdict, one.saw) for one in doctor.examine() if "too long" in one.saw] == [
        ("warning", "gala is kept too long: 5 registrations")
    ]
    assert purge("--dry-run") == {"deleted": False, "registrations": {"gala": 5}, "codes": 0}
    with pytest.raises(CommandError, match="gala: 5"):
        purge()
    assert purge("--yes") == {"deleted": True, "registrations": {"gala": 5}, "codes": 0}
    assert CampaignRow.objects.get(slug="gala").purged == 5
    assert Registration.objects.count() == 2
    assert logs.find_many([one.request_id for one in old]) == []
    assert purge("--yes") == {"deleted": True, "registrations": {}, "codes": 0}


def test_what_comes_late_to_a_deleted_campaign_is_not_stored_and_reconcile_stays_exact(over: Any) -> None:
    early, late = submission(slug="gala"), submission("09120000001", "gala")
    accept(early)
    purge("--yes")
    accept(late, early)
    assert state(late) == (410, "erased")
    report = ledger.reconcile(Question(accepted=[early.request_id, late.request_id], settle=0))
    assert (report.damage, report.excused.count) == (0, 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [('closes = "2026-01-01"\nkeep = "soon"', "is 'soon'"), ('keep = "90 days"', "counts from closes")],
)
def test_a_time_to_keep_that_means_nothing_is_named(text: str, told: str, tmp_path: Path) -> None:
    with landing_dir(tmp_path, gala=f"[campaign]\n{text}\n"):
        [fault] = branding.check()
    assert told in str(fault.msg)
