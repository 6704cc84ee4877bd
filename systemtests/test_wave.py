"""The campaign's wave: a thousand visitors with a hundred numbers, and what dies in the middle of it."""

import asyncio
import signal
from typing import Any

import pytest

from systemtests.crowd import Visitor, ask_until_accepted, spellings
from systemtests.stack import Stack, children_of, eventually, new_phone, new_sender


def wave(name: str) -> Any:
    """A thousand visitors: a hundred numbers, ten spellings of the twenty for each, one in seven by form."""
    phones = [new_phone() for _ in range(100)]
    typed = [spellings(phone)[(n + 2 * turn) % 20] for turn in range(10) for n, phone in enumerate(phones)]
    visitors = [Visitor(text, new_sender(), f"{name} {n}", n % 7 == 6) for n, text in enumerate(typed)]
    return phones, visitors


def send(stack: Stack, visitors: Any) -> Any:
    async def crowd() -> Any:
        return await asyncio.gather(*(ask_until_accepted(stack.port, visitor) for visitor in visitors))

    return asyncio.run(crowd())


def assert_kept_exactly(stack: Stack, phones: Any, task_ids: Any) -> None:
    """Exactly one document and one submission for each id, one registration for each number."""
    assert len(set(task_ids)) == 1000
    ours = "landing_submission s JOIN landing_registration r ON r.id = s.registration_id"
    documents = stack.mongo["request_logs"]
    eventually(
        lambda: stack.count("landing_submission WHERE request_id = ANY(%s::uuid[])", task_ids) == 1000, 40
    )
    eventually(lambda: documents.count_documents({"_id": {"$in": task_ids}}) == 1000, 40)
    assert stack.count(f"{ours} WHERE phone_number = ANY(%s)", phones) == 1000
    assert stack.count("landing_registration WHERE phone_number = ANY(%s)", phones) == 100
    linked = dict(stack.rows("SELECT request_id::text, registration_id FROM landing_submission"))
    for document in documents.find({"_id": {"$in": task_ids}}):
        assert document["registration_id"] == linked[document["_id"]]
    assert stack.status_of(task_ids[-1]) == "Registered"
    assert stack.dead_letters() == 0


def test_a_thousand_at_once_with_a_hundred_numbers_are_a_hundred_registrations(stack: Stack) -> None:
    phones, visitors = wave("calm")
    assert_kept_exactly(stack, phones, send(stack, visitors))


def a_child_of_the_worker(stack: Stack) -> Any:
    return [children_of(stack.leader("worker"))[0]]


def the_workers_main_process(stack: Stack) -> Any:
    return [stack.leader("worker")]


def a_web_process(stack: Stack) -> Any:
    return [children_of(stack.leader("web"))[0]]


@pytest.mark.parametrize("victims", [a_child_of_the_worker, the_workers_main_process, a_web_process])
def test_a_kill_in_the_middle_of_the_wave_changes_nothing_in_the_end(stack: Stack, victims: Any) -> None:
    phones, visitors = wave(victims.__name__)
    # Frozen first, so that they die with work in their hands.
    doomed = victims(stack)
    stack.signal(*doomed, number=signal.SIGSTOP)

    async def storm() -> Any:
        crowd = asyncio.gather(*(ask_until_accepted(stack.port, visitor) for visitor in visitors))
        await asyncio.sleep(1)
        stack.kill(*doomed)
        return await crowd

    assert_kept_exactly(stack, phones, asyncio.run(storm()))
