"""What the web server and the worker write about people."""

import json
import re
from typing import Any

import pytest

from systemtests.crowd import spellings
from systemtests.stack import REGISTER, Stack, eventually, new_phone, new_sender

# Celery says it on standard error, whatever the logging.
SHUTDOWN = re.compile(r"worker: \w+ [Ss]hutdown \(MainProcess\)")


@pytest.mark.parametrize("name", ["web", "worker"])
def test_every_line_is_one_json_object(stack: Stack, name: str) -> None:
    stack.registered()
    lines = [line for line in stack.log_lines(name) if line and not SHUTDOWN.fullmatch(line)]
    assert len(lines) > 1
    strange = [line for line in lines if not line.startswith("{") or not isinstance(json.loads(line), dict)]
    assert strange == []


@pytest.mark.parametrize(("name", "event"), [("web", "accepted"), ("worker", "stored")])
def test_a_request_is_found_by_its_id(stack: Stack, name: str, event: Any) -> None:
    task_id = stack.registered()
    [line] = eventually(
        lambda: [line for line in stack.events(name) if task_id in line.get("request_ids", ())]
    )
    assert line["event"] == event
    assert line["level"] == "info"
    assert line["time"]


def test_an_error_answer_is_found_by_its_id(stack: Stack) -> None:
    request_id = stack.http.post(REGISTER, content="?").headers["X-Request-ID"]
    [line] = eventually(
        lambda: [line for line in stack.events("web") if line.get("request_id") == request_id]
    )
    assert line["status"] == 415


def all_logs(stack: Stack) -> Any:
    return "\n".join(
        log.read_text(errors="replace") for log in sorted((stack.state_dir / "logs").glob("*.log"))
    )


def test_no_log_holds_a_number_in_any_spelling(stack: Stack) -> None:
    phone = new_phone()
    for typed in spellings(phone):
        assert stack.register(typed).status_code == 202
    sender = {"X-Forwarded-For": new_sender()}
    stack.http.post("/en/", data={"phone_number": phone}, headers=sender)
    stack.http.post(REGISTER, content=f'{{"phone_number": "{phone}"', headers=sender)
    stack.http.post(REGISTER, content=f"phone={phone}", headers={"Content-Type": "text/plain"})
    for typed in (phone, f"+98{phone[1:]}", phone[1:], spellings(phone)[6]):
        stack.http.get(f"{REGISTER}{typed}/")
        stack.http.get(REGISTER, params={"phone_number": typed})
        stack.register(
            headers={
                "User-Agent": typed.encode(),
                "Referer": f"https://a.example/{typed}".encode(),
                "Idempotency-Key": phone,
            }
        )
    eventually(lambda: stack.submissions_of(phone) == 21)
    told = all_logs(stack)
    shown = [spelling for spelling in [*spellings(phone), phone[1:]] if spelling.strip() in told]
    assert shown == []
    assert json.dumps(spellings(phone)[6])[1:-1] not in told


@pytest.mark.parametrize(
    "agent",
    [
        b"a\xc2\x85{forged}",
        b"a\xe2\x80\xa8{forged}",
        b"\xc2\x9b2J{forged}",
        b"%0d%0a{forged}",
        b"\\r\\n{forged}",
    ],
    ids=["NEL", "LS", "CSI", "encoded", "escaped"],
)
def test_a_hostile_agent_writes_no_line_of_its_own(stack: Stack, agent: Any) -> None:
    stack.registered(headers={"User-Agent": agent})
    stack.http.get("/nothing", headers={"User-Agent": agent, "Referer": agent})
    assert "\n{forged}" not in all_logs(stack)
    for name in ("web", "worker"):
        assert not [
            line for line in stack.log_lines(name) if "{forged}" in line and not line.startswith('{"')
        ]


@pytest.mark.parametrize("path", ["/a%0d%0a{forged}", "/a%1b[31m", "/a%e2%80%a8{forged}", "/%ff%00"])
def test_a_hostile_address_writes_one_line(stack: Stack, path: str) -> None:
    answer = stack.http.get(path)
    assert answer.status_code in (400, 404)
    request_id = answer.headers["X-Request-ID"]
    [line] = eventually(lambda: [line for line in stack.log_lines("web") if request_id in line])
    assert line.isprintable()
    json.loads(line)
