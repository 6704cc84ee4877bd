"""The monitoring page: closed to strangers, and without a phone number for those who may look."""

from typing import Any
from uuid import uuid4

import pytest

from systemtests.stack import Stack, eventually, new_phone

BATCHES = "landing.tasks.save_phones_async"
SINGLES = "landing.tasks.save_phone_async"


def tasks(stack: Stack, name: str) -> Any:
    return stack.flower("/api/tasks", params={"taskname": name}, auth=stack.flower_login)


@pytest.mark.parametrize("path", ["/", "/workers", "/tasks", "/broker", "/api/tasks", "/api/workers"])
def test_nobody_looks_in_without_the_login(stack: Stack, path: str) -> None:
    assert stack.flower(path).status_code == 401
    assert stack.flower(path, auth=("admin", "guess")).status_code == 401


@pytest.mark.parametrize("path", ["/workers", "/tasks", "/broker"])
def test_the_pages_open_with_the_login(stack: Stack, path: str) -> None:
    assert stack.flower(path, auth=stack.flower_login).status_code == 200


def test_a_task_is_seen_without_the_number(stack: Stack) -> None:
    phone = new_phone()
    before = tasks(stack, BATCHES).json()
    stack.registered(phone)
    seen = eventually(lambda: tasks(stack, BATCHES).json().keys() - before.keys())
    told = eventually(
        lambda: [
            task
            for task in tasks(stack, BATCHES).json().values()
            if task["uuid"] in seen and task["state"] == "SUCCESS"
        ]
    )
    assert told[0]["args"] == "(1 registrations)"
    assert phone[1:] not in tasks(stack, BATCHES).text


def test_the_documents_own_call_is_seen_without_the_number_too(stack: Stack) -> None:
    phone, request_id = new_phone(), str(uuid4())
    call = f"save_phone_async.delay({phone!r}, {request_id!r}, '192.0.2.1', 'https://example.com/')"
    done = stack.manage("shell", "-c", f"from landing.tasks import save_phone_async; {call}")
    assert done.returncode == 0, done.stderr
    eventually(lambda: stack.submissions_of(phone) == 1)
    eventually(lambda: tasks(stack, SINGLES).json())
    assert phone[1:] not in tasks(stack, SINGLES).text


def test_queue_lengths_are_seen(stack: Stack) -> None:
    def lengths() -> Any:
        queues = stack.flower("/api/queues/length", auth=stack.flower_login).json()["active_queues"]
        return {queue["name"]: queue.get("messages") for queue in queues}

    eventually(lambda: lengths().get("registrations") == 0)


def test_the_worker_is_seen(stack: Stack) -> None:
    def queues() -> Any:
        workers = stack.flower("/api/workers", params={"refresh": "true"}, auth=stack.flower_login).json()
        return [worker.get("active_queues") for worker in workers.values()]

    eventually(lambda: "registrations" in str(queues()))
