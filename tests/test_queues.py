"""Queues are declared on every upgrade: beside older queues, and while a node of the cluster is away.

Registrations may be spread over several of them.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from amqp.exceptions import NotFound, PreconditionFailed
from celery import current_app
from django.conf import settings
from kombu import Exchange, Queue

from config.celery import app
from dashboard.desk import doctor
from dashboard.live import copies, snapshot
from dashboard.proof import sources
from landing.keeping import queues
from landing.keeping.publisher import Publisher
from landing.models import StoredSubmission
from landing.submission import Submission
from tests.messages import depth
from tests.waiting import eventually
from tests.workers import worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def broker() -> Iterator[Any]:
    with current_app.connection_for_write() as connection:
        yield connection
        queues.live.bind(connection.default_channel).delete()
        queues.declare(connection)


def make_anew(broker: Any, **arguments: Any) -> None:
    """Make the live queue with other arguments, as another version did."""
    queues.live.bind(broker.default_channel).delete()
    with broker.channel() as channel:
        told = (queues.live.queue_arguments or {}) | arguments
        channel.queue_declare(queues.LIVE, durable=True, auto_delete=False, arguments=told)


def test_a_queue_of_an_older_version_is_taken_as_it_is(broker: Any) -> None:
    make_anew(broker, **{"x-delivery-limit": 20})
    queues.declare(broker)
    told = [one for one in doctor.examine() if one.part == "queues" and one.verdict != "ok"]
    assert [(one.verdict, one.saw) for one in told] == [
        ("warning", "registrations was made by an older version: 20 deliveries at most")
    ]


def test_a_queue_that_breaks_the_promise_is_refused(broker: Any) -> None:
    make_anew(broker, **{"x-dead-letter-strategy": "at-most-once"})
    with pytest.raises(PreconditionFailed):
        queues.declare(broker)


def test_the_node_of_the_announcements_may_be_away(broker: Any, caplog: pytest.LogCaptureFixture) -> None:
    """RabbitMQ answers 404 then, which one node alone cannot show: the cluster drill does."""
    declare = Queue.queue_declare

    def declare_or_not(self: Queue, *args: Any, **options: Any) -> Any:
        if self.name == queues.ANNOUNCEMENTS:
            raise NotFound(
                "home node 'rabbit@b' of durable queue 'breakwater.settings' is down or inaccessible"
            )
        return declare(self, *args, **options)

    with patch.object(Queue, "queue_declare", declare_or_not):
        queues.declare(broker)
    assert "cannot be compared now" in caplog.text


def test_each_connection_of_a_worker_has_a_queue_of_its_own_for_commands() -> None:
    """Else the exclusive lock of a connection to a lost node would keep the worker from every other node."""
    names = {app.control.mailbox.get_queue("celery@host").name for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("celery@host.") and name.endswith(".celery.pidbox") for name in names)


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch, broker: Any) -> Iterator[Queue]:
    """A second live queue, for this process and for the workers that it starts."""
    second = Queue(
        "registrations.1",
        Exchange(queues.LIVE, type="direct"),
        routing_key="registrations.1",
        queue_arguments=queues.live.queue_arguments,
        no_declare=True,
    )
    monkeypatch.setattr(queues, "lives", [queues.live, second])
    monkeypatch.setenv("QUEUES", "2")
    queues.declare(broker)
    yield second
    second.bind(broker.default_channel).delete()


def publish(batches: int) -> list[str]:
    """Publish batches of one registration; return the request_ids."""
    batch = [
        Submission("09123456789", str(uuid4()), "192.0.2.1", "", "", datetime.now(UTC))
        for _ in range(batches)
    ]

    async def send() -> None:
        publisher = Publisher(settings.RABBITMQ_URLS, timeout=5)
        for one in batch:
            await publisher.publish([one])
        publisher.close()
        closing = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*closing, return_exceptions=True)

    asyncio.run(send())
    return [one.request_id for one in batch]


def test_registrations_are_spread_over_the_live_queues(second: Queue) -> None:
    ids = publish(4)
    assert [depth(queue) for queue in queues.lives] == [2, 2]
    eventually(lambda: snapshot.now()["gauges"]["queue"] == 4)
    assert sorted(sources.queued()) == sorted(ids)
    assert copies.rabbitmq(5)[1] == 0


def test_a_worker_stores_from_all_live_queues(second: Queue) -> None:
    publish(4)
    with worker():
        eventually(lambda: StoredSubmission.objects.count() == 4)


def test_all_live_queues_dead_letters_meet_in_one(second: Queue, broker: Any) -> None:
    publish(2)
    for queue in queues.lives:
        queue.bind(broker.default_channel).get().reject(requeue=False)
    eventually(lambda: depth(queues.dead) == 2)
