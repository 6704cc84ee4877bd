"""The log: one line of JSON for each event, with no phone number in it."""

import io
import logging
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.test import Client
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from landing.tasks import save_phones_async
from lib.json_log import LONGEST, JsonFormatter, frozen, mask_phones
from lib.log_thread import WAITING, ThreadedHandler

modest = hypothesis_settings(deadline=None, max_examples=200)

CANARY = "09198765432"
any_text = st.text(st.characters(exclude_categories=[]), max_size=40)


def line(event: str, *args: Any, error: Any = None, **extra: Any) -> Any:
    """Return an event as it stands in the log."""
    record = logging.LogRecord("test", logging.INFO, __file__, 1, event, args, error)
    vars(record).update(extra)
    return JsonFormatter().format(record)


def test_an_event_is_one_line_with_its_time_level_and_facts() -> None:
    logged = orjson.loads(line("accepted %d", 2, request_ids=["a", "b"]))
    assert logged.pop("time").endswith("+00:00")
    assert logged == {"level": "info", "logger": "test", "event": "accepted 2", "request_ids": ["a", "b"]}


@modest
@given(event=any_text, referrer=any_text | st.binary() | st.integers() | st.floats())
def test_hostile_text_stays_inside_its_line(event: Any, referrer: Any) -> None:
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
def test_hostile_characters_reach_no_terminal(text: str) -> None:
    logged = line("seen", user_agent=text, nested=[text])
    assert all(" " <= letter <= "~" for letter in logged)
    assert orjson.loads(logged)["event"] == "seen"


def test_an_exception_is_part_of_its_line() -> None:
    logged = line("failed", error=(ValueError, ValueError(f"first\nsecond {CANARY}"), None))
    assert len(logged.splitlines()) == 1
    assert "ValueError: first" in orjson.loads(logged)["exception"]
    assert CANARY not in logged


CORNERS = [
    "{}", "phone={}", "({})", "'{}'", '"{}"', "+{}", "x:{},", "a\n{}", "a\t{}\r\n", "\x00{}", "\u200f{}", "\u06f1{}",
]  # fmt: skip


@pytest.mark.parametrize("around", CORNERS)
def test_a_phone_number_is_masked_wherever_it_stands(around: str) -> None:
    text = around.format(CANARY)
    assert CANARY not in line("%s", text)
    assert CANARY not in line("seen", raw=[text], by={"phone": text})
    assert "0919***5432" in line("seen", raw=text)


def test_numbers_and_ids_are_no_phone_numbers() -> None:
    request_id = "01234567-0123-7012-8012-012345678901"
    assert mask_phones(request_id) == request_id
    assert orjson.loads(line("timed", seconds=1.01234567891))["seconds"] == 1.01234567891


WRITTEN = [
    "+989198765432", "+98 919 876 5432", "0098-919-876-5432", "989198765432", "98 0919 876 5432", "9198765432",
    "۰۹۱۹۸۷۶۵۴۳۲", "۰۹۱۹ ۸۷۶ ۵۴۳۲", "٠٩١٩٨٧٦٥٤٣٢", "０９１９８７６５４３２", "＋۹۸۹۱۹۸۷۶۵۴۳۲", "0919.876.5432",
    "(0919) 876-5432", "tel:+989198765432", "0919\u200c876\u200c5432", "۰۹۱۹-876-۵۴۳۲", "0919–876–5432",
]  # fmt: skip


@pytest.mark.parametrize("typed", WRITTEN)
@pytest.mark.parametrize("around", ["{}", "is {}.", "5 {} 7", '"{}",', "x={}&y=1", "{}x"])
def test_a_phone_number_is_masked_in_every_spelling(typed: str, around: str) -> None:
    masked = mask_phones(around.format(typed))
    assert "0919***5432" in masked
    assert around.split("{}", maxsplit=1)[0] in masked


INNOCENT = [
    "2026-11-26T09:12:34.567+00:00", "91.123.123.12", "98.123.123.123", "91234567-0123-4123-8123-0123456789ab",
    "00981234-5678-9012-8123-012345678901", "2001:db8::9123:4567", "v1.9.12345", "9123456", "5f0912345678900aa",
]  # fmt: skip


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_no_phone_number_stays_as_it_is(text: str) -> None:
    assert mask_phones(text) == text


@pytest.mark.parametrize(
    "text", ["0" + " " * 15_000, "0 " * 8_000, "+98" * 5_000, "\u200b" * 15_000, "9" * 15_000]
)
def test_hostile_text_costs_no_more_than_it_is_long(text: str) -> None:
    started = time.process_time()
    mask_phones(text)
    assert time.process_time() - started < 2


def test_a_long_list_becomes_several_lines_each_whole_in_itself() -> None:
    ids = [str(uuid4()) for _ in range(2000)]
    lines = line("accepted", home="spool", request_ids=ids).splitlines()
    assert len(lines) > 4
    assert all(len(one) <= LONGEST for one in lines)
    events = [orjson.loads(one) for one in lines]
    assert [one for event in events for one in event["request_ids"]] == ids
    assert {(one["event"], one["home"]) for one in events} == {("accepted", "spool")}


@modest
@given(text=st.text(min_size=1, max_size=20), length=st.sampled_from([100, 20_000, 100_000]))
def test_no_line_is_ever_too_long(text: Any, length: Any) -> None:
    long = text * (length // len(text))
    for extra in ({"reason": long}, {"nested": {"deep": [long]}}, {"list": [long, {"a": long}]}):
        lines = line("%s", long, **extra).splitlines()
        assert all(len(one) <= LONGEST and isinstance(orjson.loads(one), dict) for one in lines)


def test_a_list_of_ids_with_a_phone_number_in_it_is_masked() -> None:
    said = line("seen", request_ids=[str(uuid4()), CANARY, f"is {CANARY}".ljust(36), str(uuid4())])
    assert said.count("***") == 2
    assert CANARY not in said


def test_a_record_says_what_was_so_when_it_was_logged() -> None:
    facts = {"a": [1]}
    record = logging.LogRecord("test", logging.INFO, __file__, 1, "%s", (["a list"],), None)
    record.facts = facts
    kept = frozen(record)
    facts["a"].append(2)
    assert record.args
    assert orjson.loads(JsonFormatter().format(kept)) | {"time": ""} == {
        "time": "", "level": "info", "logger": "test", "event": "['a list']", "facts": {"a": [1]},
    }  # fmt: skip


# -- a reader who stalls


@contextmanager
def run(code: str) -> Any:
    """Start a process that logs as ours do, its output into a pipe that nobody reads yet."""
    beginning = """
import logging, os, sys
from lib.json_log import JsonFormatter
from lib.log_thread import ThreadedHandler
handler = ThreadedHandler(sys.stdout)
handler.setFormatter(JsonFormatter())
logging.basicConfig(level="INFO", handlers=[handler])
log = logging.getLogger("ours")
"""
    command = [sys.executable, "-c", beginning + code]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, cwd=Path(__file__).parent.parent, **pipes) as process:
        yield process


def test_a_reader_who_stalls_holds_up_nobody_and_is_told_how_many_lines_are_missing() -> None:
    code = f"""
for number in range({WAITING} + 3000):
    log.info("a line %d", number, extra={{"padding": "x" * 200}})
print("went on", file=sys.stderr, flush=True)
sys.stdin.readline()
handler.flush()
log.info("the last line")
"""
    with run(code) as process:
        assert process.stderr.readline() == "went on\n"
        process.stdin.close()
        events = [orjson.loads(one) for one in process.stdout]
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
    [confession] = [one for one in events if "dropped" in one["event"]]
    assert confession["level"] == "warning"
    assert len(events) - 1 + confession["count"] == WAITING + 3001


def test_a_process_ends_though_nobody_reads_its_lines() -> None:
    code = """
for number in range(3000):
    log.info("a line", extra={"padding": "x" * 200})
"""
    with run(code) as process:
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_the_last_line_is_written_whatever_way_a_process_ends() -> None:
    for end in ("", "sys.exit(0)", "logging.shutdown(); os._exit(0)"):
        with run(f'log.info("the last words")\n{end}') as process:
            said, _ = process.communicate(timeout=20)
        assert orjson.loads(said)["event"] == "the last words"


def test_a_forked_process_writes_its_own_lines_and_no_other_ones() -> None:
    code = """
for number in range(100):
    log.info("parent")
if os.fork() == 0:
    log.info("child")
    sys.exit(0)
os.wait()
"""
    with run(code) as process:
        said, _ = process.communicate(timeout=20)
    events = [orjson.loads(one)["event"] for one in said.splitlines()]
    assert sorted(events) == ["child"] + ["parent"] * 100


def test_a_line_that_cannot_be_written_keeps_no_later_one() -> None:
    code = """
handler.stream = open("/dev/full", "w")
log.info("into nothing")
handler.flush()
handler.stream = sys.stdout
log.info("after it")
"""
    with run(code) as process:
        said, errors = process.communicate(timeout=20)
    assert [orjson.loads(one)["event"] for one in said.splitlines()] == ["after it"]
    assert errors == ""


def test_a_stream_without_a_file_gets_its_lines() -> None:
    stream = io.StringIO()
    handler = ThreadedHandler(stream)
    handler.handle(logging.makeLogRecord({"msg": "hello"}))
    handler.flush()
    assert stream.getvalue() == "hello\n"


SPELLINGS = [CANARY, "+98 919 876 5432", "۰۹۱۹۸۷۶۵۴۳۲", "989198765432"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_line_of_a_registration_says_whose_it_is(
    client: Client, caplog: pytest.LogCaptureFixture, spelling: str
) -> None:
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
