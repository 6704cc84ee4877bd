"""When RabbitMQ cannot confirm, the spool keeps registrations, and they go on when it is back."""

import asyncio
import threading
from unittest.mock import patch

import pytest

from landing import intake, queues
from landing.drainer import Drainer
from landing.publisher import NotConfirmed, Publisher
from landing.submission import Submission
from lib import spool
from lib.spool import SpoolFull
from tests.messages import ready
from tests.waiting import eventually

REAL_SEND = Publisher.send

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def process():
    """A process's intake, with an empty spool."""
    here = intake.current()
    with patch.object(here, "limiter", None):
        yield here
    here.broker.worked()
    here.disk.worked()
    run(close_spool(here))
    for file in spool.adopt(here.spool.directory):
        file.delete(file.oldest(1000))
        file.remove()


def run(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, intake.current().loop).result(30)


async def close_spool(here):
    await here.on_disk(here.spool.close)


async def drain(here):
    drainer = Drainer(here)
    try:
        return await drainer.drain()
    finally:
        drainer.close()


def register(client, phone="09123456789"):
    return client.post("/api/register/", {"phone_number": phone}, content_type="application/json")


@pytest.fixture
def deaf_broker(process):
    """RabbitMQ takes everything and confirms nothing."""

    async def send(self, batch):
        raise NotConfirmed("silence")

    with patch.object(Publisher, "send", send):
        yield


def test_a_registration_is_accepted_without_the_broker(client, process, deaf_broker):
    assert register(client).status_code == 202
    assert spool.waiting(process.spool.directory) == 1


def test_the_broker_is_asked_once_and_then_left_alone(client, process):
    asked = []

    async def send(self, batch):
        asked.append(batch)
        raise NotConfirmed("silence")

    with patch.object(Publisher, "send", send):
        for _ in range(5):
            assert register(client).status_code == 202
    assert len(asked) == 1


def test_the_drainer_brings_it_to_the_queue_and_closes_the_breaker(client, process, deaf_broker):
    accepted = register(client)
    with patch.object(Publisher, "send", REAL_SEND):
        assert run(drain(process)) == 1
    assert not process.broker.is_open
    (message,) = ready(queues.live)
    (raw,) = message[0]
    assert Submission.from_wire(raw).request_id == accepted.json()["task_id"]
    assert spool.waiting(process.spool.directory) == 0


def test_what_is_not_confirmed_stays_in_the_spool(client, process, deaf_broker):
    register(client)
    with pytest.raises(NotConfirmed):
        run(drain(process))
    assert spool.waiting(process.spool.directory) == 1
    assert process.broker.is_open


def test_with_neither_broker_nor_spool_nothing_is_promised(client, process, deaf_broker):
    with patch.object(process.spool, "append", side_effect=SpoolFull("full")):
        refused = register(client)
    assert refused.status_code == 503
    assert 1 <= int(refused["Retry-After"]) <= 10


def test_a_disk_that_was_late_is_asked_again_as_soon_as_it_answers(client, process, deaf_broker):
    append, answers = process.spool.append, threading.Event()

    def append_late(bodies):
        assert answers.wait(30)
        append(bodies)

    with patch.object(process.spool, "append", append_late):
        assert register(client).status_code == 503
        assert process.disk.is_open
        answers.set()
        eventually(lambda: not process.disk.is_open, within=0.9)  # its pause would be a second
    assert register(client).status_code == 202


def test_a_dead_process_is_drained_by_another(client, process, deaf_broker):
    register(client)
    run(close_spool(process))
    with patch.object(Publisher, "send", REAL_SEND):
        assert run(drain(process)) == 1
    assert list(process.spool.directory.glob("*.spool")) == []


def test_the_broker_s_own_death_and_return(client, process, servers):
    register(client)
    servers.rabbitmq.stop()
    assert register(client, "09120000001").status_code == 202
    servers.rabbitmq.start()
    assert run(drain(process)) == 1
    assert len(ready(queues.live)) == 2
