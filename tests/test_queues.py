"""Queues are declared on every upgrade: beside older queues, and while a node of the cluster is away."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from amqp.exceptions import NotFound, PreconditionFailed
from celery import current_app
from kombu import Queue

from config.celery import app
from dashboard.desk import doctor
from landing.keeping import queues

pytestmark = pytest.mark.django_db


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
