"""Rate limits, seen by the limited: exact, for whole networks, and never in the way when Valkey is gone."""

import itertools
from collections import Counter
from hashlib import sha256
from typing import Any

from systemtests.crowd import Visitor, all_at_once
from systemtests.stack import REGISTER, Stack, eventually, new_phone, new_sender


def crowd_of(stack: Stack, count: int, sender: Any) -> Any:
    return all_at_once(stack.port, [Visitor(new_phone(), sender, form=n % 4 == 3) for n in range(count)])


def test_of_200_at_once_from_one_address_exactly_ten_are_accepted(stack: Stack) -> None:
    answers = crowd_of(stack, 200, new_sender())
    assert Counter(answer.status for answer in answers) == {202: 10, 429: 190}
    for answer in answers:
        if answer.status == 429:
            assert answer.json()["code"] == "rate_limited"
            assert 1 <= answer.retry_after <= 60


def test_a_proof_of_work_lets_everybody_behind_one_address_in_once(stack: Stack) -> None:
    """With the real work, at both web processes: a challenge of one is solved at any."""
    sender, phones = new_sender(), [new_phone() for _ in range(24)]
    keys = {phone: {"Idempotency-Key": f"the key of {phone}"} for phone in phones}
    answers = {phone: stack.register(phone, sender, keys[phone]) for phone in phones}
    assert Counter(answer.status_code for answer in answers.values()) == {202: 10, 429: 14}
    for phone, answer in answers.items():
        if answer.status_code == 429:
            sent = {"phone_number": phone, "proof": solved(answer.json()["challenge"])}
            headers = {"X-Forwarded-For": sender, **keys[phone]}
            receipts = [stack.http.post(REGISTER, json=sent, headers=headers) for _ in range(2)]
            assert [receipt.status_code for receipt in receipts] == [202, 202]
            assert receipts[0].json() == receipts[1].json()
    for phone in phones:
        eventually(lambda phone=phone: stack.submissions_of(phone) == 1)
    stack.registered()
    assert [stack.submissions_of(phone) for phone in phones] == [1] * len(phones)


def solved(challenge: dict[str, Any]) -> str:
    tries = (f"{challenge['text']}.{counter}" for counter in itertools.count())
    wanted = 256 - challenge["bits"]
    return next(one for one in tries if int.from_bytes(sha256(one.encode()).digest()) >> wanted == 0)


def test_addresses_of_one_ipv6_network_share_a_limit(stack: Stack) -> None:
    statuses = [stack.register(sender=f"2001:db8:1:2::{n:x}").status_code for n in range(1, 12)]
    assert statuses == [202] * 10 + [429]
    assert stack.register(sender="2001:db8:1:3::1").status_code == 202


def test_the_form_of_the_page_counts_too(stack: Stack) -> None:
    sender = {"X-Forwarded-For": new_sender()}
    statuses = [
        stack.http.post("/en/", data={"phone_number": new_phone()}, headers=sender).status_code
        for _ in range(11)
    ]
    assert statuses == [302] * 10 + [429]
    assert stack.register(sender=sender["X-Forwarded-For"]).status_code == 429


def test_what_is_refused_costs_nothing(stack: Stack) -> None:
    sender = new_sender()
    assert {stack.register("0912", sender).status_code for _ in range(15)} == {400}
    assert stack.register(sender=sender).status_code == 202


def test_requests_go_on_and_stay_limited_while_valkey_hangs(stack: Stack) -> None:
    with stack.paused("redis"):
        task_ids = [stack.register().json()["task_id"] for _ in range(4)]
        statuses = Counter(answer.status for answer in crowd_of(stack, 60, new_sender()))
        assert statuses.keys() == {202, 429}
        assert 10 <= statuses[202] <= 20  # each of the two processes counts for itself
        for task_id in task_ids:
            eventually(lambda task_id=task_id: stack.status_of(task_id) == "Registered", within=20)


def test_requests_go_on_when_valkey_is_killed_and_it_comes_back(stack: Stack) -> None:
    killed = stack.leader("redis")
    stack.kill(killed)
    assert {answer.status for answer in crowd_of(stack, 5, new_sender())} == {202}
    eventually(lambda: stack.leader("redis") not in (0, killed))
    stack.recover()
    stack.registered()
