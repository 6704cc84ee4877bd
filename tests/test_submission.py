"""What travels on the queue: it comes out as it went in, and nothing else gets through."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from landing.submission import MalformedSubmission, Submission
from lib.clock import now
from lib.texts import LONGEST_TEXT, header_text, inert

modest = hypothesis_settings(deadline=None, max_examples=200)

any_text = st.text(st.characters(exclude_categories=[]), max_size=50)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(any_text, inner, max_size=3),
)
submissions = st.builds(
    Submission,
    phone_number=st.from_regex(r"0[0-9]{10}", fullmatch=True),
    request_id=st.uuids().map(str),
    ip_address=st.ip_addresses().map(str),
    referrer=any_text.map(inert),
    user_agent=any_text.map(inert),
    accepted_at=st.datetimes(timezones=st.just(UTC)),
)

SENT = Submission(
    "09123456789",
    "0193a1b2-0000-7000-8000-000000000001",
    "203.0.113.7",
    "https://campaign.example/",
    "A browser",
    datetime(2026, 3, 21, 8, 30, 0, 123456, UTC),
)


@modest
@given(submissions)
def test_a_submission_comes_off_the_wire_as_it_went_on(submission: Any) -> None:
    wire = orjson.loads(orjson.dumps(submission.to_wire()))
    assert Submission.from_wire(wire) == submission


@modest
@given(json_values | st.lists(json_values, min_size=6, max_size=6))
def test_whatever_else_comes_off_the_wire_is_called_malformed(raw: Any) -> None:
    with pytest.raises(MalformedSubmission):
        Submission.from_wire(raw)


@modest
@given(position=st.integers(0, 5), value=json_values)
def test_one_hostile_field_is_made_harmless_or_called_malformed(position: Any, value: Any) -> None:
    wire = SENT.to_wire()
    wire[position] = value
    try:
        read = Submission.from_wire(wire)
    except MalformedSubmission:
        return
    assert read.to_wire() == Submission.from_wire(read.to_wire()).to_wire()
    assert "\x00" not in "".join(read.to_wire())
    "".join(read.to_wire()).encode()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("phone_number", "12", "phone number: too_short"),
        ("request_id", "7", "request id or time"),
        ("accepted_at", "yesterday", "request id or time"),
        ("accepted_at", "2026-03-21T08:30:00", "request id or time"),
        ("accepted_at", "0001-01-01T00:00:00+23:00", "request id or time"),
    ],
)
def test_the_reason_tells_what_is_wrong_without_saying_whose_it_is(
    field: str, value: str, reason: str
) -> None:
    wire = dict(zip(Submission.__slots__[:6], SENT.to_wire(), strict=True)) | {field: value}
    with pytest.raises(MalformedSubmission) as refused:
        Submission.from_wire(list(wire.values()))
    assert str(refused.value) == reason


def test_another_spelling_on_the_wire_is_the_same_submission() -> None:
    wire = SENT.to_wire()
    wire[0], wire[1] = "+98 912 345 6789", wire[1].upper()
    wire[5] = SENT.accepted_at.astimezone(timezone(timedelta(hours=3, minutes=30))).isoformat()
    assert Submission.from_wire(wire) == SENT
    assert Submission.from_wire(wire).accepted_at.tzinfo is UTC


def test_hostile_text_is_made_inert() -> None:
    assert inert("a\x00b\r\nc\x1b[31m\u2028\x85\ud800") == "a\ufffdb\ufffd\ufffdc\ufffd[31m\ufffd\ufffd\ufffd"


@modest
@given(any_text)
def test_inert_text_is_one_line_that_every_store_takes(text: Any) -> None:
    line = inert(text)
    assert len(line.splitlines()) <= 1
    assert len(line) == len(text)
    assert inert(line.encode().decode()) == line


def test_long_text_is_cut_not_refused() -> None:
    long = "x" * 8192
    assert inert(long) == header_text(long.encode()) == "x" * LONGEST_TEXT
    assert Submission.from_wire(replace(SENT, user_agent=long).to_wire()).user_agent == "x" * LONGEST_TEXT


def test_a_headers_bytes_become_text_whatever_they_are() -> None:
    assert header_text("پاییز".encode()) == "پاییز"
    assert header_text(b"\xff\xfe ok") == "\ufffd\ufffd ok"


def test_a_time_of_ours_says_that_it_is_utc() -> None:
    assert now().tzinfo is UTC
