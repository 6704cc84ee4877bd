"""POST /api/register/ at the DRF door: what is accepted, what is refused, and in which words."""

from collections.abc import Callable
from typing import Any, Never
from uuid import UUID, uuid4

import orjson
import pytest
from django.test import Client
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from landing.keeping import intake
from landing.keeping.refusals import Unavailable
from landing.submission import Submission
from lib.texts import LONGEST_TEXT
from tests.messages import kept

pytestmark = pytest.mark.django_db(transaction=True)

PHONE, OTHER_PHONE = "09123456789", "09351112233"
URL = "/api/register/"
JSON = "application/json"


def send(client: Client, body: bytes | str, content_type: str = JSON, **headers: Any) -> Any:
    """Send a raw body, each from an address of its own, so that no limit is met."""
    headers = {"x-forwarded-for": f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"} | headers
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.generic("POST", URL, body, content_type=content_type, headers=names)


def register(client: Client, phone_number: str = PHONE, **headers: Any) -> Any:
    return send(client, orjson.dumps({"phone_number": phone_number}), **headers)


def queued() -> Any:
    """Take what waits, in whichever of its two homes."""
    return [Submission.from_wire(raw) for raw in kept()]


def test_an_accepted_registration_gets_a_receipt_and_waits_in_the_queue(client: Client) -> None:
    accepted = register(client)
    assert accepted.status_code == 202
    task_id = accepted.json()["task_id"]
    assert accepted.json() == {
        "task_id": task_id,
        "request_id": task_id,
        "status": "Processing",
        "status_url": f"{URL}{task_id}/",
    }
    assert accepted["Location"] == f"{URL}{task_id}/"
    assert accepted["X-Request-ID"] == task_id
    assert accepted["Cache-Control"] == "no-store"
    [submission] = queued()
    assert (submission.request_id, submission.phone_number) == (task_id, PHONE)


def test_a_form_is_as_good_as_json(client: Client) -> None:
    accepted = send(client, "phone_number=%2B98+912+345+6789", "application/x-www-form-urlencoded")
    assert accepted.status_code == 202
    assert queued()[0].phone_number == PHONE


def test_fields_that_nobody_asked_for_are_ignored(client: Client) -> None:
    body = {"phone_number": PHONE, "request_id": "mine", "status": "confirmed", "ip_address": "1.1.1.1"}
    accepted = send(client, orjson.dumps(body))
    assert accepted.status_code == 202
    [submission] = queued()
    assert submission.request_id == accepted.json()["task_id"]
    assert submission.ip_address.startswith("2001:db8:")


def test_the_metadata_of_a_request_travel_with_it(client: Client) -> None:
    register(
        client,
        x_forwarded_for="198.51.100.1, 203.0.113.7",
        referer="https://a.example/",
        user_agent="A browser",
    )
    [submission] = queued()
    assert submission.ip_address == "203.0.113.7"
    assert submission.referrer == "https://a.example/"
    assert submission.user_agent == "A browser"
    assert submission.accepted_at.tzinfo


@pytest.mark.parametrize(
    "hostile",
    ["$where: 1", "a.b", "nul\x00", "a\r\nb", "\x1b[31m", "x" * 8192, "\xff\xfe", "\xed\xa0\x80", "\xc2\x85"],
)
def test_hostile_metadata_are_made_inert_and_never_an_error(client: Client, hostile: str) -> None:
    accepted = register(client, referer=hostile, user_agent=hostile)
    assert accepted.status_code == 202
    [submission] = queued()
    for text in (submission.referrer, submission.user_agent):
        assert text.encode()
        assert len(text) <= LONGEST_TEXT
        assert len(text.splitlines()) == 1
        assert text.replace("\ufffd", "").isprintable()


REFUSED_PHONES = [
    ({}, "required", "The phone number is missing."),
    ({"phone_number": None}, "not_text", "Send the phone number as text."),
    ({"phone_number": 9123456789}, "not_text", "Send the phone number as text."),
    ({"phone_number": ["09123456789"]}, "not_text", "Send the phone number as text."),
    ({"phone_number": {"$ne": ""}}, "not_text", "Send the phone number as text."),
    ({"phone_number": ""}, "blank", "The phone number is empty."),
    ({"phone_number": "call me"}, "bad_characters", "A phone number has digits only."),
    ({"phone_number": "+49 171 1234567"}, "wrong_country", "Only Iranian numbers (+98) can register."),
    ({"phone_number": "19123456789"}, "wrong_start", "A phone number starts with 0."),
    ({"phone_number": "0912"}, "too_short", "The phone number is too short: 0 and ten digits."),
    ({"phone_number": "0" * 10_000}, "too_long", "The phone number is too long: 0 and ten digits."),
]


@pytest.mark.parametrize(("body", "code", "words"), REFUSED_PHONES)
def test_a_refused_phone_is_told_why(client: Client, body: dict[str, Any], code: str, words: str) -> None:
    refused = send(client, orjson.dumps(body), accept_language="en")
    assert refused.status_code == 400
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "invalid_phone"
    assert refused.json()["errors"] == [{"field": "phone_number", "code": code, "detail": words}]
    assert queued() == []


@pytest.mark.parametrize(("body", "code", "words"), REFUSED_PHONES)
def test_and_in_persian(client: Client, body: dict[str, Any], code: str, words: str) -> None:
    persian = send(client, orjson.dumps(body), accept_language="fa-IR,en;q=0.5").json()
    assert persian["errors"][0]["code"] == code
    assert persian["title"] == "شمارهٔ تلفن نادرست است"
    assert persian["detail"] != words
    assert any("\u0600" <= letter <= "\u06ff" for letter in persian["title"])
    assert any("\u0600" <= letter <= "\u06ff" for letter in persian["detail"])


def put(client: Client, language: str) -> Any:
    return client.put(URL, b"{}", content_type=JSON, headers={"accept-language": language})


def unknown(client: Client, language: str) -> Any:
    return client.get("/api/no/such/page/", headers={"accept-language": language})


def status_of_nobody(client: Client, language: str) -> Any:
    return client.get(f"{URL}{uuid4()}/", headers={"accept-language": language})


def sent(body: bytes, content_type: str = JSON, **headers: Any) -> Any:
    return lambda client, language: send(client, body, content_type, accept_language=language, **headers)


PROBLEMS = {
    "no JSON": (sent(b"{"), 400, "malformed_json"),
    "not UTF-8": (sent(b'{"phone_number": "\xff"}'), 400, "malformed_json"),
    "UTF-16": (sent('{"phone_number": "0"}'.encode("utf-16")), 400, "malformed_json"),
    "a lone surrogate": (sent(b'{"phone_number": "\\ud800"}'), 400, "malformed_json"),
    "NaN": (sent(b'{"phone_number": NaN}'), 400, "malformed_json"),
    "nested brackets": (sent(b"[" * 8000), 400, "malformed_json"),
    "200,000 nested brackets": (sent(b"[" * 200_000), 413, "too_large"),
    "a list": (sent(b"[]"), 400, "invalid_body"),
    "null": (sent(b"null"), 400, "invalid_body"),
    "a long Idempotency-Key": (
        sent(b'{"phone_number": "09123456789"}', idempotency_key="k" * 256),
        400,
        "invalid_idempotency_key",
    ),
    "an unknown address": (unknown, 404, "not_found"),
    "an unknown id": (status_of_nobody, 404, "not_found"),
    "another method": (put, 405, "method_not_allowed"),
    "an answer that we have not": (sent(b"{}", accept="image/png"), 406, "not_acceptable"),
    "a large body": (sent(b" " * (16 * 1024 + 1)), 413, "too_large"),
    "plain text": (sent(b"09123456789", "text/plain"), 415, "unsupported_media_type"),
    "a multipart form": (sent(b"--x--", "multipart/form-data; boundary=x"), 415, "unsupported_media_type"),
    "a compressed body": (sent(b"\x1f\x8b", content_encoding="gzip"), 415, "unsupported_media_type"),
}


@pytest.mark.parametrize(("request_of", "status", "code"), PROBLEMS.values(), ids=PROBLEMS)
def test_each_error_is_a_problem_document_in_the_visitors_language(
    client: Client, request_of: Callable[..., Any], status: int, code: str
) -> None:
    english, persian = request_of(client, "en"), request_of(client, "fa")
    for answer in (english, persian):
        assert answer.status_code == status
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == code
        assert answer.json()["type"] == f"urn:breakwater:problem:{code}"
        assert answer.json()["request_id"] == answer["X-Request-ID"]
    assert english.json()["title"].isascii()
    assert not persian.json()["title"].isascii() or "JSON" in persian.json()["title"]
    assert english.json()["detail"] != persian.json()["detail"]


def test_a_body_as_large_as_allowed_is_read(client: Client) -> None:
    body = b'{"phone_number": "09123456789"}'
    assert send(client, body.ljust(16 * 1024)).status_code == 202


def test_who_sends_too_much_is_told_when_to_come_back(client: Client) -> None:
    address = {"x_forwarded_for": "203.0.113.99"}
    assert {register(client, **address).status_code for _ in range(10)} == {202}
    refused = register(client, accept_language="en", **address)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert len(queued()) == 10


def test_what_nobody_can_keep_is_refused_and_not_promised(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: Any, submission: Any) -> Never:
        raise Unavailable

    monkeypatch.setattr(intake.Intake, "accept", full)
    refused = register(client, accept_language="en")
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert "task_id" not in refused.json()


def test_a_repeat_with_the_same_key_gets_the_same_receipt(client: Client) -> None:
    first, repeat = register(client, idempotency_key="spring"), register(client, idempotency_key="spring")
    assert repeat.json() == first.json()
    assert len({submission.request_id for submission in queued()}) == 1


def test_the_same_key_with_another_phone_is_another_registration(client: Client) -> None:
    first = register(client, idempotency_key="spring")
    other = register(client, OTHER_PHONE, idempotency_key="spring")
    assert other.json()["task_id"] != first.json()["task_id"]


def test_another_spelling_with_the_same_key_is_the_same_registration(client: Client) -> None:
    first = register(client, idempotency_key="spring")
    assert register(client, "+98 912 345 6789", idempotency_key="spring").json() == first.json()


def test_without_a_key_each_is_a_submission_of_its_own(client: Client) -> None:
    assert register(client).json()["task_id"] != register(client).json()["task_id"]


def test_a_known_phone_gets_the_same_answer_as_a_new_one(client: Client) -> None:
    from landing.tasks import save_phones_async

    new = register(client)
    save_phones_async([submission.to_wire() for submission in queued()])
    known = register(client)
    assert known.status_code == new.status_code
    assert known.json().keys() == new.json().keys()
    assert UUID(known.json()["task_id"]).version == UUID(new.json()["task_id"]).version
    assert sorted(known.headers) == sorted(new.headers)


def test_the_state_goes_from_processing_to_registered_and_names_no_phone(client: Client) -> None:
    from landing.tasks import save_phones_async

    accepted = register(client)
    assert client.get(accepted["Location"]).json()["status"] == "Processing"
    save_phones_async([submission.to_wire() for submission in queued()])
    answer = client.get(accepted["Location"])
    assert answer.json() == {"task_id": accepted.json()["task_id"], "status": "Registered"}


def test_browsers_get_a_page_to_read(client: Client) -> None:
    page = client.get(URL, headers={"accept": "text/html"})
    assert page["Content-Type"].startswith("text/html")
    assert page.status_code == 405
    posted = register(client, accept="text/html")
    assert (posted.status_code, posted["Content-Type"]) == (202, "text/html; charset=utf-8")
    assert "task_id" in posted.content.decode()


@pytest.mark.parametrize("charset", ["rot13", "hex", "utf-16", "idna", "no-such", "\xff"])
def test_a_forms_odd_charset_is_never_our_error(client: Client, charset: str) -> None:
    answer = send(
        client, b"phone_number=09123456789", f"application/x-www-form-urlencoded; charset={charset}"
    )
    assert answer.status_code < 500


def test_a_form_of_a_thousand_fields_is_never_our_error(client: Client) -> None:
    answer = send(client, b"&".join([b"a=1"] * 4000), "application/x-www-form-urlencoded")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
bodies = (
    st.binary(max_size=200)
    | json_values.map(lambda value: orjson.dumps(value, default=str))
    | json_values.map(lambda value: orjson.dumps({"phone_number": value}))
)


@hypothesis_settings(deadline=None, max_examples=50)
@given(
    body=bodies, content_type=st.sampled_from([JSON, "application/x-www-form-urlencoded", "text/html", ""])
)
def test_no_body_whatever_it_holds_is_an_error_of_ours(body: Any, content_type: Any) -> None:
    from django.test import Client

    answer = send(Client(), body, content_type)
    assert answer.status_code in (202, 400, 415)
    assert answer.status_code == 202 or answer.json()["code"]
