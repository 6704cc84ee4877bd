"""With PostgreSQL frozen and a crowd that waits, no visitor waits for a database that it does not need."""

import threading
import time
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from systemtests.stack import CAMPAIGN, REGISTER, Stack, eventually, new_phone, new_sender

SOON = 4.0
"""Seconds: far more than an answer takes, also on a busy machine, and far less than a hung one would."""


@contextmanager
def crowd(stack: Stack, task_ids: Any, size: Any = 60) -> Any:
    """So many visitors ask for their registrations without a pause; what they were answered is in the list."""
    answers, is_over = [], threading.Event()

    def wait(task_id: Any) -> None:
        while not is_over.is_set():
            answer = stack.http.get(f"{REGISTER}{task_id}/")
            answers.append((answer.status_code, answer.json()["status"], answer.headers["Retry-After"]))
            is_over.wait(0.3)

    visitors = [threading.Thread(target=wait, args=[task_ids[n % len(task_ids)]]) for n in range(size)]
    for visitor in visitors:
        visitor.start()
    try:
        yield answers
    finally:
        is_over.set()
        for visitor in visitors:
            visitor.join(30)
        assert not any(visitor.is_alive() for visitor in visitors)


@pytest.fixture
def frozen(stack: Stack) -> Any:
    """PostgreSQL is frozen, and 60 visitors wait whose ids do not tell their age."""
    with stack.paused("postgres"):
        task_ids = [
            stack.register(headers={"Idempotency-Key": f"a key of no age {n} {time.time()}"}).json()[
                "task_id"
            ]
            for n in range(12)
        ]
        with crowd(stack, task_ids) as answers:
            eventually(lambda: len(answers) > 120)
            yield answers


def asked(stack: Stack, method: Any, path: str, **options: Any) -> Any:
    """Ask on a connection of its own, eight times, so that both processes answer."""
    headers = {"X-Forwarded-For": new_sender(), "Connection": "close"} | options.pop("headers", {})
    answers = [stack.http.request(method, path, headers=headers, timeout=SOON, **options) for _ in range(8)]
    (code,) = {answer.status_code for answer in answers}
    return code


def test_the_second_door_stays_open(stack: Stack, frozen: Any) -> None:
    preflight = {"Origin": CAMPAIGN, "Access-Control-Request-Method": "POST"}
    assert asked(stack, "OPTIONS", REGISTER, headers=preflight) == 200
    assert asked(stack, "POST", REGISTER, json={"phone_number": "0912"}) == 400
    assert asked(stack, "POST", REGISTER, data={"phone_number": new_phone()}) == 202
    assert asked(stack, "POST", "/fa/", data={"phone_number": new_phone(), "key": "k"}) == 302
    assert asked(stack, "POST", "/fa/", data={"phone_number": "0912"}) == 400
    assert asked(stack, "GET", "/fa/") == 200
    assert asked(stack, "GET", "/livez") == 200
    assert asked(stack, "GET", "/readyz") == 200
    task_id = stack.register().json()["task_id"]
    assert asked(stack, "GET", f"/fa/registration/{task_id}/") == 200
    assert {(code, status) for code, status, _ in frozen} == {(200, "Processing")}


def test_staff_who_wait_for_the_database_hold_up_no_visitor(stack: Stack) -> None:
    cookie = {"Cookie": "sessionid=of-somebody"}
    with stack.paused("postgres"):
        staff = [
            threading.Thread(
                target=httpx.get,
                args=[f"{stack.url}/admin/"],
                kwargs={"headers": cookie, "timeout": 30, "trust_env": False},
            )
            for _ in range(50)
        ]
        for one in staff:
            one.start()
        time.sleep(1)  # all threads for staff hang by now
        assert asked(stack, "POST", REGISTER, json={"phone_number": "0912"}) == 400
        assert asked(stack, "POST", "/fa/", data={"phone_number": new_phone(), "key": "k"}) == 302
    for one in staff:
        one.join(60)
