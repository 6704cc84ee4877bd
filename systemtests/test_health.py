"""/livez and /readyz, and what a visitor gets, while one server after the other hangs or dies."""

import time
from typing import Any

import pytest

from systemtests.stack import Stack, children_of, eventually, new_phone


def timed(ask: Any) -> Any:
    started = time.monotonic()
    answer = ask()
    return answer, time.monotonic() - started


def test_a_sound_stack_is_alive_and_ready(stack: Stack) -> None:
    assert stack.http.get("/livez").json() == {"status": "alive"}
    assert stack.ready() == {
        "status": "ready",
        "checks": {"rabbitmq": "ok", "spool": "ok", "redis": "ok", "postgresql": "ok"},
        "dead_letters": 0,
    }


@pytest.mark.parametrize(("server", "check"), [("redis", "redis"), ("postgres", "postgresql")])
def test_a_server_that_hangs_degrades_readiness_and_stops_nobody(
    stack: Stack, server: Any, check: Any
) -> None:
    with stack.paused(server):
        # An answer may be a second old, in each of the two web processes; eight connections meet both.
        eventually(lambda: all(stack.ready()["status"] == "degraded" for _ in range(8)))
        answer, seconds = timed(lambda: stack.http.get("/readyz"))
        assert seconds < 1.5
        assert answer.status_code == 200
        states = answer.json()["checks"]
        assert states.pop(check) != "ok"
        assert set(states.values()) == {"ok"}
        assert stack.http.get("/livez").status_code == 200
        answer, seconds = timed(stack.register)
        assert answer.status_code == 202
        assert seconds < 3


@pytest.mark.parametrize("server", ["postgres", "redis", "rabbitmq"])
def test_a_probe_that_asks_again_and_again_is_answered_each_time(stack: Stack, server: Any) -> None:
    with stack.paused(server):
        for _ in range(40):
            answer, seconds = timed(lambda: stack.http.get("/readyz"))
            assert answer.status_code == 200
            assert seconds < 3


def test_readiness_returns_when_postgresql_was_killed(stack: Stack) -> None:
    killed = stack.leader("postgres")
    task_id = stack.register().json()["task_id"]
    stack.kill(killed)
    phone = new_phone()
    assert stack.register(phone).status_code == 202
    eventually(lambda: stack.leader("postgres") not in (0, killed), within=20)
    eventually(stack.accepts_sql, within=20)
    eventually(lambda: stack.submissions_of(phone) == 1, within=40)
    eventually(lambda: stack.status_of(task_id) == "Registered", within=20)
    stack.recover()


def test_a_mongodb_that_hangs_holds_nobody_up_and_its_documents_come_later(stack: Stack) -> None:
    with stack.paused("mongodb"):
        task_id = stack.register().json()["task_id"]
        eventually(lambda: stack.status_of(task_id) == "Registered", within=20)
    eventually(lambda: stack.document(task_id), within=30)


def test_what_is_accepted_while_the_broker_hangs_is_stored_once_it_is_back(stack: Stack) -> None:
    with stack.paused("rabbitmq"):
        task_ids = []
        for _ in range(12):
            answer, seconds = timed(stack.register)
            assert answer.status_code == 202
            assert seconds < 3
            task_ids.append(answer.json()["task_id"])
        answer, seconds = timed(lambda: stack.http.get("/readyz"))
        assert seconds < 1.5
        assert answer.status_code == 200
        assert answer.json()["status"] == "degraded"
        assert answer.json()["checks"]["rabbitmq"] != "ok"
        assert stack.http.get("/livez").status_code == 200
        assert [stack.status_of(task_id) for task_id in task_ids] == ["Processing"] * 12
        assert any((stack.state_dir / "spool").iterdir())
    for task_id in task_ids:
        eventually(lambda task_id=task_id: stack.status_of(task_id) == "Registered", within=30)
    stack.registered()


def test_a_web_process_that_dies_while_the_broker_hangs_loses_nothing(stack: Stack) -> None:
    with stack.paused("rabbitmq"):
        task_ids = [stack.register().json()["task_id"] for _ in range(12)]
        stack.kill(*children_of(stack.leader("web")))
    stack.recover()
    for task_id in task_ids:
        eventually(lambda task_id=task_id: stack.status_of(task_id) == "Registered", within=40)
