"""Messages that a busy worker has at hand are stored together, and none suffers for another."""

from typing import Any, Never

import pytest
from celery import current_app
from kombu import Consumer
from kombu.asynchronous.timer import Timer

from landing.door.receipts import request_id_for
from landing.keeping import queues
from landing.models import StoredSubmission
from landing.storing.joining import Joiner
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib.clock import now
from tests.messages import depth
from tests.waiting import eventually
from tests.workers import worker

pytestmark = pytest.mark.django_db(transaction=True)


def send(count: int) -> None:
    """Put one registration on the queue in each of many messages, as senders do who come one by one."""
    for number in range(count):
        phone = f"0912{number:07}"
        submission = Submission(phone, request_id_for("", phone), "192.0.2.1", "", "", now())
        save_phones_async.delay([submission.to_wire()], queued_at=now().isoformat())


def give_back(count: int) -> None:
    """Take messages and give them back, as a worker does that is killed."""
    with current_app.connection_for_write() as connection:
        queue = queues.live.bind(connection.default_channel)
        taken = [queue.get() for _ in range(count)]
        for message in taken:
            message.requeue()


def transactions() -> Any:
    """How many transactions have stored submissions."""
    return StoredSubmission.objects.values("stored_at").distinct().count()


def all_stored(count: int) -> Any:
    return StoredSubmission.objects.count() == count and depth(queues.live) == 0


def test_small_messages_that_wait_are_stored_together() -> None:
    send(60)
    with worker():
        eventually(lambda: all_stored(60), within=30)

    assert transactions() <= 10


def test_a_message_that_was_delivered_before_is_stored_alone() -> None:
    send(12)
    give_back(12)
    with worker():
        eventually(lambda: all_stored(12), within=30)

    assert transactions() == 12


def test_a_message_that_fails_takes_no_other_with_it() -> None:
    send(5)
    phone = "09350000000"
    culprit = Submission(phone, request_id_for("", phone), "", "", "", now())
    save_phones_async.delay([culprit.to_wire()], queued_at="not a time")
    send(5)
    with worker():
        # The culprit's row is stored before its document cannot be written.
        eventually(lambda: all_stored(11) and depth(queues.dead) == 1, within=30)


def fail(*_: Any) -> Never:
    raise KeyError("in Celery itself")


def test_what_celery_cannot_take_together_comes_again_and_alone() -> None:
    send(3)
    alone = []
    with current_app.connection_for_write() as connection:
        queue = queues.live.bind(connection.default_channel)

        def take(handle: Any, count: Any) -> None:
            """Give messages to the handler as a worker's consumer does."""
            taken = []

            def on_message(message: Any) -> None:
                taken.append(message)
                handle(message, None, message.ack_log_error, message.reject_log_error, [])

            with Consumer(connection, [queue], on_message=on_message, accept=["json"]):
                while len(taken) < count:
                    connection.drain_events(timeout=10)

        def work(message: Any, _: Any, ack: Any, *rest: Any) -> None:
            alone.append(message)
            ack(None, ())

        joiner = Joiner(work, fail, 1, Timer())
        joiner._next = float("inf")  # they wait for each other
        take(joiner, 3)
        assert len(joiner._waiting) == 3
        joiner._next = 0
        joiner.look()
        assert not joiner._waiting
        take(joiner, 3)
    assert len(alone) == 3
    assert depth(queues.live) == depth(queues.dead) == 0
