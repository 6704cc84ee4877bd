"""When RabbitMQ cannot confirm, the spool keeps registrations, and they go on when it is back."""

import asyncio
import threading
from typing import Any, Never
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import Client
from pytest_django.fixtures import Settings

from config import health
from landing.keeping import intake, queues
from landing.keeping.drainer import Drainer
from landing.keeping.limits import Limiter
from landing.keeping.publisher import NotConfirmed, Publisher
from landing.submission import Submission
from lib import spool
from lib.clock import now
from lib.spool import SpoolFailed, SpoolFile, SpoolFull
from local.servers import Servers
from tests.messages import ready
from tests.waiting import eventually

REAL_SEND = Publisher.send

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def process() -> Any:
    """A process's intake, with an empty spool, which is its second home each time: no rehearsals."""
    here = intake.current()
    with patch.object(here, "limiter", None), patch.object(settings, "SPOOL_SHARE", 0.0):
        yield here
    here.rabbitmq_outage.note_success()
    here.spool_outage.note_success()
    run(close_spool(here))
    for file in spool.adopt(here.spool.directory):
        file.delete(file.oldest(1000))
        file.remove()


def run(coroutine: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, intake.current().loop).result(30)


async def close_spool(here: Any) -> None:
    await here.on_disk(here.spool.close)


async def drain(here: Any) -> Any:
    drainer = Drainer(here)
    try:
        return await drainer.drain()
    finally:
        drainer.close()


def register(client: Client, phone: str = "09123456789") -> Any:
    return client.post("/api/register/", {"phone_number": phone}, content_type="application/json")


@pytest.fixture
def deaf_broker(process: Any) -> Any:
    """RabbitMQ takes everything and confirms nothing."""

    async def send(self: Any, batch: Any) -> Never:
        raise NotConfirmed("silence")

    with patch.object(Publisher, "send", send):
        yield


def test_a_registration_is_accepted_without_the_broker(
    client: Client, process: Any, deaf_broker: Any
) -> None:
    assert register(client).status_code == 202
    assert spool.waiting(process.spool.directory) == 1


def test_the_broker_is_asked_once_and_then_left_alone(client: Client, process: Any) -> None:
    asked = []

    async def send(self: Any, batch: Any) -> Never:
        asked.append(batch)
        raise NotConfirmed("silence")

    with patch.object(Publisher, "send", send):
        for _ in range(5):
            assert register(client).status_code == 202
    assert len(asked) == 1


def test_the_drainer_brings_it_to_the_queue_and_closes_the_breaker(
    client: Client, process: Any, deaf_broker: Any
) -> None:
    accepted = register(client)
    with patch.object(Publisher, "send", REAL_SEND):
        assert run(drain(process)) == 1
    assert not process.rabbitmq_outage.is_on
    (message,) = ready(queues.live)
    (raw,) = message[0]
    assert Submission.from_wire(raw).request_id == accepted.json()["task_id"]
    assert spool.waiting(process.spool.directory) == 0


def test_what_is_not_confirmed_stays_in_the_spool(client: Client, process: Any, deaf_broker: Any) -> None:
    register(client)
    with pytest.raises(NotConfirmed):
        run(drain(process))
    assert spool.waiting(process.spool.directory) == 1
    assert process.rabbitmq_outage.is_on


def test_with_neither_broker_nor_spool_nothing_is_promised(
    client: Client, process: Any, deaf_broker: Any
) -> None:
    with patch.object(process.spool, "append", side_effect=SpoolFull("full")):
        refused = register(client)
    assert refused.status_code == 503
    assert 1 <= int(refused["Retry-After"]) <= 10


def test_without_a_spool_a_visitor_is_asked_to_come_back_and_no_disk_is_used(
    client: Client, process: Any, deaf_broker: Any, settings: Settings
) -> None:
    settings.SPOOL_MODE = "off"
    refusals = [register(client) for _ in range(3)]
    assert {refused.status_code for refused in refusals} == {503}
    assert 1 <= int(refusals[0]["Retry-After"]) <= 10
    assert spool.waiting(process.spool.directory) == 0


def test_without_a_spool_visitors_are_taken_again_when_the_drainer_finds_rabbitmq(
    client: Client, process: Any, deaf_broker: Any, settings: Settings
) -> None:
    settings.SPOOL_MODE = "off"
    register(client)
    with patch.object(Publisher, "send", REAL_SEND):
        assert register(client).status_code == 503
        run(drain(process))
        assert register(client).status_code == 202


def test_a_web_whose_broker_does_not_confirm_is_ready_as_long_as_it_may_spool(
    client: Client, process: Any, deaf_broker: Any, settings: Settings
) -> None:
    register(client)
    assert run(health.readyz()).status == 200
    settings.SPOOL_MODE = "off"
    assert run(health.readyz()).status == 503


def test_a_disk_that_was_late_is_asked_again_as_soon_as_it_answers(
    client: Client, process: Any, deaf_broker: Any
) -> None:
    append, answers = process.spool.append, threading.Event()

    def append_late(bodies: Any) -> None:
        assert answers.wait(30)
        append(bodies)

    with patch.object(process.spool, "append", append_late):
        assert register(client).status_code == 503
        assert process.spool_outage.is_on
        answers.set()
        eventually(lambda: not process.spool_outage.is_on, within=0.9)  # its pause would be a second
    assert register(client).status_code == 202


def test_a_dead_process_is_drained_by_another(client: Client, process: Any, deaf_broker: Any) -> None:
    register(client)
    run(close_spool(process))
    with patch.object(Publisher, "send", REAL_SEND):
        assert run(drain(process)) == 1
    assert list(process.spool.directory.glob("*.spool")) == []


@pytest.fixture
def always_rehearsing(process: Any, settings: Settings) -> Any:
    settings.SPOOL_SHARE = 1.0
    yield
    eventually(lambda: process._rehearsal is None)


@pytest.mark.parametrize("error", [SpoolFull("full"), SpoolFailed("read-only")])
def test_a_spool_that_is_broken_alone_refuses_nobody(
    client: Client, process: Any, always_rehearsing: Any, error: Any
) -> None:
    with patch.object(process.spool, "rehearse", side_effect=error):
        assert [register(client).status_code for _ in range(20)] == [202] * 20
        eventually(lambda: process.spool_outage.last_try_failed)
    assert len(ready(queues.live)) == 20


def test_a_slow_disk_holds_up_nobody_whose_registration_rabbitmq_confirms(
    client: Client, process: Any, always_rehearsing: Any
) -> None:
    synced = threading.Event()
    with patch.object(process.spool, "rehearse", lambda bodies: synced.wait(30)):
        assert [register(client).status_code for _ in range(5)] == [202] * 5
        assert not synced.is_set()
        synced.set()


def test_a_rehearsal_leaves_nothing_to_drain(client: Client, process: Any, always_rehearsing: Any) -> None:
    assert register(client).status_code == 202
    eventually(lambda: process._rehearsal is None)
    assert process.spool.own is not None
    assert run(drain(process)) == 0
    assert len(ready(queues.live)) == 1


def test_a_broken_spool_is_known_to_work_again_at_the_next_registration(client: Client, process: Any) -> None:
    process.spool_outage.note_failure()
    eventually(lambda: not process.spool_outage.is_on)
    assert register(client).status_code == 202
    eventually(lambda: not process.spool_outage.last_try_failed)


def test_a_full_spool_hands_on_to_a_broker_that_is_back(client: Client, process: Any) -> None:
    process.rabbitmq_outage.note_failure()
    with patch.object(process.spool, "append", side_effect=SpoolFull("full")):
        assert register(client).status_code == 202
    assert not process.rabbitmq_outage.is_on
    assert len(ready(queues.live)) == 1


def test_a_refused_sender_has_lost_no_place_in_its_limit(
    client: Client, process: Any, deaf_broker: Any
) -> None:
    limiter = Limiter(limit=1, period=60, timeout=2)
    with patch.object(process, "limiter", limiter):
        with patch.object(process.spool, "append", side_effect=SpoolFull("full")):
            assert [register(client).status_code for _ in range(3)] == [503] * 3
        eventually(lambda: not process.spool_outage.is_on)
        assert [register(client).status_code for _ in range(2)] == [202, 429]
    run(limiter.close())


def test_refused_senders_are_asked_to_come_back_at_different_times(process: Any, deaf_broker: Any) -> None:
    group = [Submission("09123456789", str(uuid4()), "192.0.2.1", "", "", now()) for _ in range(20)]
    with patch.object(process.spool, "append", side_effect=SpoolFull("full")):
        refusals = run(process._accept_group(group))
    assert len({refusal.retry_after for refusal in refusals}) == 20


def test_one_spool_that_cannot_be_read_does_not_stand_in_the_way_of_the_next(
    client: Client, process: Any, deaf_broker: Any
) -> None:
    for _ in range(2):
        register(client)
        run(close_spool(process))
    bad, _ = sorted(process.spool.directory.glob("*.spool"))
    real = SpoolFile.oldest

    def oldest(file: Any, most: Any) -> Any:
        if file.path == bad:
            raise SpoolFailed("the disk gives an error")
        return real(file, most)

    with patch.object(SpoolFile, "oldest", oldest), patch.object(Publisher, "send", REAL_SEND):
        assert run(drain(process)) == 1
    assert list(process.spool.directory.glob("*.spool")) == [bad]


def test_a_file_in_which_nothing_can_be_deleted_is_given_up(
    client: Client, process: Any, deaf_broker: Any
) -> None:
    register(client)
    with (
        patch.object(SpoolFile, "delete", side_effect=SpoolFailed("the disk gives an error")),
        patch.object(Publisher, "send", REAL_SEND),
        pytest.raises(SpoolFailed),
    ):
        run(drain(process))
    assert process.spool.own is None
    with patch.object(Publisher, "send", REAL_SEND):
        assert run(drain(process)) == 1


def test_the_broker_s_own_death_and_return(client: Client, process: Any, servers: Servers) -> None:
    register(client)
    servers.rabbitmq.stop()
    assert register(client, "09120000001").status_code == 202
    servers.rabbitmq.start()
    assert run(drain(process)) == 1
    assert len(ready(queues.live)) == 2
