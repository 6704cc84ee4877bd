"""The API over real HTTP: what is promised, what is refused, and how."""

import json
import re
import socket
import time
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest

from systemtests.crowd import Visitor, all_at_once
from systemtests.stack import CAMPAIGN, REGISTER, Stack, eventually, new_phone, new_sender

JSON = {"Content-Type": "application/json"}
GOOD = json.dumps({"phone_number": "09120000000"})


def body(phone: str) -> Any:
    return json.dumps({"phone_number": phone})


def problem(answer: Any, status: Any, code: Any) -> Any:
    """Check that an answer is the problem document of this status and code, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = answer.json()
    assert told["code"] == code
    assert told["status"] == status
    assert told["type"] == f"urn:breakwater:problem:{code}"
    assert told["title"]
    assert told["detail"]
    assert told["request_id"] == answer.headers["X-Request-ID"]
    return told


# -- accepted


def test_an_accepted_number_is_registered_in_both_databases_soon(stack: Stack) -> None:
    phone, sender = new_phone(), new_sender()
    answer = stack.register(phone, sender, {"Referer": f"{CAMPAIGN}/?utm=1", "User-Agent": "Firefox/1"})
    assert answer.status_code == 202
    receipt = answer.json()
    task_id = receipt["task_id"]
    assert receipt == {
        "task_id": task_id,
        "request_id": task_id,
        "status": "Processing",
        "status_url": f"{REGISTER}{task_id}/",
    }
    assert answer.headers["Location"] == receipt["status_url"]
    assert answer.headers["X-Request-ID"] == task_id
    eventually(lambda: stack.status_of(task_id) == "Registered", within=5)
    [(registration, status)] = stack.rows(
        "SELECT id, status FROM landing_registration WHERE phone_number = %s", phone
    )
    assert status == "pending"
    assert stack.rows("SELECT registration_id FROM landing_submission WHERE request_id = %s", task_id) == [
        (registration,)
    ]
    document = eventually(lambda: stack.document(task_id))
    assert document["registration_id"] == registration
    assert document["ip_address"] == sender
    assert document["referrer"] == f"{CAMPAIGN}/?utm=1"
    assert document["user_agent"] == "Firefox/1"
    assert phone not in repr(document)


def test_a_form_registers_as_json_does(stack: Stack) -> None:
    phone = new_phone()
    answer = stack.http.post(
        REGISTER, data={"phone_number": phone}, headers={"X-Forwarded-For": new_sender()}
    )
    assert answer.status_code == 202
    eventually(lambda: stack.submissions_of(phone) == 1)


def test_an_accepted_id_is_never_unknown_and_its_answer_holds_no_number(stack: Stack) -> None:
    phone = new_phone()
    task_id = stack.register(phone).json()["task_id"]
    seen = set()
    until = time.monotonic() + 10
    while "Registered" not in seen and time.monotonic() < until:
        answer = stack.http.get(f"{REGISTER}{task_id}/")
        assert answer.status_code == 200
        assert phone[1:] not in answer.text
        seen.add(answer.json()["status"])
    assert "Registered" in seen
    assert seen <= {"Processing", "Registered"}


def test_a_known_and_a_new_number_get_the_same_answer(stack: Stack) -> None:
    phone = new_phone()
    stack.registered(phone)
    known, new = stack.register(phone), stack.register()
    assert known.status_code == new.status_code == 202
    assert known.json().keys() == new.json().keys()
    assert known.headers.keys() == new.headers.keys()


def test_repeats_with_one_key_are_one_registration_whichever_process_takes_them(stack: Stack) -> None:
    phone, key = new_phone(), str(uuid4())
    answers = all_at_once(stack.port, [Visitor(phone, new_sender(), key, form=n % 2) for n in range(20)])
    assert {answer.status for answer in answers} == {202}
    [task_id] = {answer.json()["task_id"] for answer in answers}
    eventually(lambda: stack.status_of(task_id) == "Registered")
    stack.registered()  # whatever stood behind them in the queue
    assert stack.submissions_of(phone) == 1


def test_one_key_with_another_number_is_another_registration(stack: Stack) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    assert stack.register(headers=key).json()["task_id"] != stack.register(headers=key).json()["task_id"]


# -- refused

REFUSALS = {
    "short": (body("0912"), 400, "invalid_phone", "too_short"),
    "long": (body("0912000000000"), 400, "invalid_phone", "too_long"),
    "letters": (body("call me"), 400, "invalid_phone", "bad_characters"),
    "another country": (body("+14155550100"), 400, "invalid_phone", "wrong_country"),
    "wrong start": (body("19120000000"), 400, "invalid_phone", "wrong_start"),
    "empty": (body(""), 400, "invalid_phone", "blank"),
    "null": (body(None), 400, "invalid_phone", "not_text"),
    "a number": (body(9120000000), 400, "invalid_phone", "not_text"),
    "a list": (body(["09120000000"]), 400, "invalid_phone", "not_text"),
    "missing": ("{}", 400, "invalid_phone", "required"),
    "no object": ('["09120000000"]', 400, "invalid_body", None),
    "no JSON": ("phone_number=1", 400, "malformed_json", None),
    "nothing": ("", 400, "invalid_phone", "required"),
    "not UTF-8": (b'{"phone_number": "\xff"}', 400, "malformed_json", None),
    "a lone surrogate": (r'{"phone_number": "\ud800"}', 400, "malformed_json", None),
    "deep": ("[" * 8_000, 400, "malformed_json", None),
    "200,000 brackets": ("[" * 200_000, 413, "too_large", None),
    "too large": (body("0" * 20_000), 413, "too_large", None),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_no_registration_is_refused_with_its_reason(stack: Stack, name: str) -> None:
    content, status, code, reason = REFUSALS[name]
    told = problem(stack.http.post(REGISTER, content=content, headers=JSON), status, code)
    assert [error["code"] for error in told.get("errors", [])] == ([reason] if reason else [])


def test_a_body_without_a_length_is_bounded_too(stack: Stack) -> None:
    chunks = (b"x" * 1000 for _ in range(20))
    problem(stack.http.post(REGISTER, content=chunks, headers=JSON), 413, "too_large")


def test_a_body_without_a_length_registers(stack: Stack) -> None:
    answer = stack.http.post(
        REGISTER,
        content=iter([b'{"phone_number":', b'"09120000001"}']),
        headers=JSON | {"X-Forwarded-For": new_sender()},
    )
    assert answer.status_code == 202


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data; boundary=x"}, {}],
    ids=["text", "multipart", "none"],
)
def test_other_kinds_of_body_are_refused(stack: Stack, headers: Any) -> None:
    problem(stack.http.post(REGISTER, content=GOOD, headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate"])
def test_a_compressed_body_is_refused_unread(stack: Stack, coding: Any) -> None:
    answer = stack.http.post(REGISTER, content=b"\x1f\x8b", headers=JSON | {"Content-Encoding": coding})
    problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_another_method_is_refused_with_those_allowed(stack: Stack, method: Any) -> None:
    answer = stack.http.request(method, REGISTER)
    problem(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    "path", ["/nothing", f"{REGISTER}17404890-a740-4620-808f-1205fabef46d/", f"{REGISTER}1/", "/api/register"]
)
def test_unknown_addresses_and_ids_are_not_found(stack: Stack, path: str) -> None:
    problem(stack.http.get(path), 404, "not_found")


def test_a_key_that_is_too_long_is_refused(stack: Stack) -> None:
    answer = stack.register(headers={"Idempotency-Key": "k" * 256})
    problem(answer, 400, "invalid_idempotency_key")


def test_a_foreign_host_is_refused(stack: Stack) -> None:
    for answer in (
        stack.register(headers={"Host": "evil.example"}),
        stack.http.get("/", headers={"Host": "evil.example"}),
    ):
        problem(answer, 400, "bad_request")


def test_problems_speak_the_visitors_language(stack: Stack) -> None:
    def refused(language: str) -> Any:
        headers = JSON | {"Accept-Language": language}
        answer = stack.http.post(REGISTER, content=body("1"), headers=headers)
        assert answer.headers["Content-Language"] == language[:2]
        return problem(answer, 400, "invalid_phone")

    assert "too short" in refused("en-GB,en;q=0.9")["detail"]
    assert "کوتاه" in refused("fa-IR")["detail"]


# -- headers


def answers_of_every_kind(stack: Stack) -> Any:
    sender = new_sender()
    yield 202, stack.register(sender=sender)
    for _ in range(9):
        stack.register(sender=sender)
    yield 429, stack.register(sender=sender)
    page = stack.http.get("/en/")
    yield 200, page
    yield 200, stack.http.get(re.search(r'"(/static/[^"]+\.woff2)"', page.text)[1])
    yield 200, stack.http.get("/livez")
    yield 200, stack.http.get("/readyz")
    yield 200, stack.http.get("/api/docs/")
    yield 200, stack.http.get("/api/schema/")
    yield 200, stack.http.get("/admin/login/")
    yield 302, stack.http.get("/admin/")
    yield 400, stack.http.post(REGISTER, content="?", headers=JSON)
    yield 400, stack.http.get("/", headers={"Host": "evil.example"})
    yield 404, stack.http.get("/nothing")
    yield 404, stack.http.get("/static/nothing.css")
    yield 405, stack.http.put(REGISTER)
    yield 413, stack.http.post(REGISTER, content="x" * 20_000, headers=JSON)
    yield 415, stack.http.post(REGISTER, content=GOOD, headers={"Content-Type": "text/plain"})


def test_every_answer_carries_the_security_headers(stack: Stack) -> None:
    for status, answer in answers_of_every_kind(stack):
        assert answer.status_code == status, answer.url
        headers = answer.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"].partition("script-src")[2]
        # This stack is plain http: a browser told otherwise would not come back for a year.
        assert "Strict-Transport-Security" not in headers
        assert "Server" not in headers


OF_TRACING_AGENTS = (
    "baggage,content-type,idempotency-key,sentry-trace,traceparent,tracestate,x-requested-with"
)


def preflight(stack: Stack, origin: Any) -> Any:
    return stack.http.options(
        REGISTER,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": OF_TRACING_AGENTS,
        },
    ).headers


def test_the_campaigns_page_may_call_the_api(stack: Stack) -> None:
    allowed = preflight(stack, CAMPAIGN)
    assert allowed["Access-Control-Allow-Origin"] == CAMPAIGN
    assert "POST" in allowed["Access-Control-Allow-Methods"]
    assert set(OF_TRACING_AGENTS.split(",")) <= set(allowed["Access-Control-Allow-Headers"].split(", "))
    answer = stack.register(headers={"Origin": CAMPAIGN})
    assert answer.status_code == 202
    assert answer.headers["Access-Control-Allow-Origin"] == CAMPAIGN
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", f"{CAMPAIGN}.evil.example", "null"])
def test_no_other_page_may_call_the_api(stack: Stack, origin: Any) -> None:
    assert "Access-Control-Allow-Origin" not in preflight(stack, origin)
    assert "Access-Control-Allow-Origin" not in stack.register(headers={"Origin": origin}).headers


# -- metadata


def stored_agent(stack: Stack, agent: Any) -> Any:
    answer = stack.register(headers={"User-Agent": agent})
    assert answer.status_code == 202
    return eventually(lambda: stack.document(answer.json()["task_id"]))["user_agent"]


@pytest.mark.parametrize(
    ("agent", "stored"),
    [
        (b'{"$where": "sleep(9)"}', '{"$where": "sleep(9)"}'),
        (b"a.b.$set", "a.b.$set"),
        ("فایرفاکس".encode(), "فایرفاکس"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xc2\x9b31mred", "\ufffd31mred"),
        (b"a\xe2\x80\xa8b", "a\ufffdb"),
        (b"x" * 8192, "x" * 1024),
    ],
    ids=["$where", "dots", "Persian", "not UTF-8", "surrogate", "8-bit CSI", "line separator", "8 KB"],
)
def test_a_hostile_user_agent_is_stored_as_inert_text(stack: Stack, agent: Any, stored: Any) -> None:
    assert stored_agent(stack, agent) == stored


def test_only_the_proxys_word_on_the_sender_is_believed(stack: Stack) -> None:
    sender = new_sender()
    task_id = stack.register(sender=f"1.1.1.1, 2.2.2.2, {sender}", headers={"X_Forwarded_For": "3.3.3.3"})
    document = eventually(lambda: stack.document(task_id.json()["task_id"]))
    assert document["ip_address"] == sender


# -- below HTTP


def request(*headers: Any, content: Any = GOOD) -> Any:
    lines = [f"POST {REGISTER} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", content]).encode("latin-1")


LENGTH = f"Content-Length: {len(GOOD)}"
INNER = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"

MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "NUL in a header": request(LENGTH, "User-Agent: a\0b"),
    "CR in a header": request(LENGTH, "User-Agent: a\rb"),
    "ANSI in a header": request(LENGTH, "User-Agent: \x1b[31m"),
    "a folded header": request(LENGTH, "User-Agent: a\r\n b"),
    "a space before the colon": request("Content-Length : 5"),
    "a length that is none": request("Content-Length: x"),
    "a negative length": request("Content-Length: -1"),
    "two lengths": request(LENGTH, "Content-Length: 5", content=GOOD + INNER),
    "length and chunks": request(LENGTH, "Transfer-Encoding: chunked", content="0\r\n\r\n" + INNER),
    "chunks and length": request("Transfer-Encoding: chunked", LENGTH, content="0\r\n\r\n" + INNER),
    "unknown coding": request("Transfer-Encoding: xchunked", content=INNER),
    "coding after chunks": request("Transfer-Encoding: chunked, identity", content="0\r\n\r\n" + INNER),
    "a chunk size that is none": request("Transfer-Encoding: chunked", content="zz\r\n\r\n" + INNER),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_bad_http_gets_one_answer_that_refuses_it(stack: Stack, name: str) -> None:
    answer = stack.raw(MALFORMED[name])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_two_requests_in_one_packet_get_two_answers(stack: Stack) -> None:
    sender = f"X-Forwarded-For: {new_sender()}"
    one = request(LENGTH, sender)
    last = request(LENGTH, sender, "Connection: close")
    assert stack.raw(one + last).count(b"HTTP/1.1 202 ") == 2


SLOW = {REGISTER: "application/json", "/fa/": "application/x-www-form-urlencoded"}


def test_slow_senders_keep_nobody_waiting_and_are_shown_out(stack: Stack) -> None:
    heads = [
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 50\r\n\r\np"
        for path, kind in SLOW.items()
    ]
    with ExitStack() as open_connections:
        slow = [
            open_connections.enter_context(socket.create_connection(("127.0.0.1", stack.port), timeout=13))
            for _ in range(80)
        ]
        for number, connection in enumerate(slow):
            connection.sendall(heads[number % 2].encode())
        time.sleep(0.5)
        started = time.monotonic()
        assert stack.register().status_code == 202
        assert stack.http.get("/en/").status_code == 200
        assert time.monotonic() - started < 3
        answers = [connection.recv(65536) for connection in slow]
    assert {answer[:13] for answer in answers} == {b"HTTP/1.1 408 "}
