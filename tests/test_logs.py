"""The log: one line of JSON for each event, with no phone number in it."""

import logging

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from landing.tasks import save_phones_async
from lib.json_log import JsonFormatter, mask_phones

modest = hypothesis_settings(deadline=None, max_examples=200)

CANARY = "09198765432"
any_text = st.text(st.characters(exclude_categories=[]), max_size=40)


def line(event, *args, error=None, **extra):
    """Return an event as it stands in the log."""
    record = logging.LogRecord("test", logging.INFO, __file__, 1, event, args, error)
    vars(record).update(extra)
    return JsonFormatter().format(record)


def test_an_event_is_one_line_with_its_time_level_and_facts():
    logged = orjson.loads(line("accepted %d", 2, request_ids=["a", "b"]))
    assert logged.pop("time").endswith("+00:00")
    assert logged == {"level": "info", "logger": "test", "event": "accepted 2", "request_ids": ["a", "b"]}


@modest
@given(event=any_text, referrer=any_text | st.binary() | st.integers() | st.floats())
def test_hostile_text_stays_inside_its_line(event, referrer):
    logged = line("%s", event, referrer=referrer, nested={"list": [event]})
    assert len(logged.splitlines()) == 1
    assert isinstance(orjson.loads(logged), dict)


HOSTILE = {
    "line ends": 'ok\r\n{"level": "error"}',
    "Unicode line ends": "ok\u2028\u2029\x85\x0b\x0cno",
    "ANSI": "\x1b[2J\x1b[31mred\x9b31m",
    "bidi override": "\u202egnp.exe\u2066",
    "NUL": "a\x00b\x7f",
    "lone surrogate": "\ud800",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_characters_reach_no_terminal(text):
    logged = line("seen", user_agent=text, nested=[text])
    assert all(" " <= letter <= "~" for letter in logged)
    assert orjson.loads(logged)["event"] == "seen"


def test_an_exception_is_part_of_its_line():
    logged = line("failed", error=(ValueError, ValueError(f"first\nsecond {CANARY}"), None))
    assert len(logged.splitlines()) == 1
    assert "ValueError: first" in orjson.loads(logged)["exception"]
    assert CANARY not in logged


CORNERS = [
    "{}", "phone={}", "({})", "'{}'", '"{}"', "+{}", "x:{},", "a\n{}", "a\t{}\r\n", "\x00{}", "\u200f{}", "\u06f1{}",
]  # fmt: skip


@pytest.mark.parametrize("around", CORNERS)
def test_a_phone_number_is_masked_wherever_it_stands(around):
    text = around.format(CANARY)
    assert CANARY not in line("%s", text)
    assert CANARY not in line("seen", raw=[text], by={"phone": text})
    assert "0919***5432" in line("seen", raw=text)


def test_numbers_and_ids_are_no_phone_numbers():
    request_id = "01234567-0123-7012-8012-012345678901"
    assert mask_phones(request_id) == request_id
    assert orjson.loads(line("timed", seconds=1.01234567891))["seconds"] == 1.01234567891


SPELLINGS = [CANARY, "+98 919 876 5432", "۰۹۱۹۸۷۶۵۴۳۲", "989198765432"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_line_of_a_registration_says_whose_it_is(client, caplog, spelling):
    caplog.set_level(logging.DEBUG)
    client.post("/api/register/", {"phone_number": spelling}, content_type="application/json")
    client.post("/api/register/", {"phone_number": f"{spelling}x"}, content_type="application/json")
    client.post("/api/register/", f'{{"phone_number": "{spelling}"', content_type="application/json")
    client.post("/", {"phone_number": spelling + "x"})
    good = [CANARY, "0193a1b2-0000-7000-8000-000000000001", "192.0.2.1", "", "", "2026-03-21T08:30:00+00:00"]
    save_phones_async([good, [spelling, "no id", "", "", "", ""], [spelling], spelling])
    spoken = "".join(JsonFormatter().format(record) for record in caplog.records)
    assert "accepted" in spoken
    assert "stored" in spoken
    assert "dead letter" in spoken
    assert spelling not in spoken
    assert CANARY[1:] not in spoken
    assert f"{CANARY[:7]}" not in spoken
