"""The kept copy: a RabbitMQ stream of the messages of the last KEEP_DAYS, and how they come to the workers again."""

from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings

from dashboard.desk.queue_messages import TIMEOUT, Message, Sender
from landing.keeping import broker, queues

AT_ONCE = 200
"""Messages that RabbitMQ sends ahead."""
QUIET = 1.0
"""Seconds without a message after which the last one has come; the first may take TIMEOUT."""


class Copy(NamedTuple):
    """One message of the stream, its number there, and the number of the last one."""

    message: Message
    position: int
    last: int


def read(since: datetime) -> Iterator[Copy]:
    """Yield the messages that RabbitMQ got from `since` to now, oldest first; a few older ones may come before.

    Raises one of queues.OUTAGES, NotFound among them if there is no stream, TimeoutError if it falls silent midway.
    """
    last = max((position for position, _ in _deliveries("last", QUIET)), default=-1)
    if last < 0:
        return
    position = last  # nothing newer than `since` is no fault
    for position, message in _deliveries(since, TIMEOUT):
        yield Copy(message, position, last)
        if position >= last:
            return
    if position < last:
        raise TimeoutError(f"the stream fell silent at message {position} of {last}")


def _deliveries(offset: datetime | str, patience: float) -> Iterator[tuple[int, Message]]:
    """Yield what the stream holds from an offset on, until nothing more comes for `patience` seconds."""
    with broker.errand(TIMEOUT) as connection:
        channel = connection.channel()
        channel.auto_decode = False  # bodies are bytes, whatever they claim to be
        arrived: deque[Any] = deque()
        channel.basic_qos(0, AT_ONCE, False)
        channel.basic_consume(queues.KEPT, callback=arrived.append, arguments={"x-stream-offset": offset})
        wait = TIMEOUT
        while arrived or _wait(connection, wait):
            while arrived:
                got = arrived.popleft()
                message = Message(bytes(got.body), dict(got.properties), got.delivery_tag)
                yield int(message.headers["x-stream-offset"]), message
                channel.basic_ack(message.delivery_tag)
                wait = patience


def _wait(connection: Any, seconds: float) -> bool:
    """Wait for RabbitMQ to say something; return whether it did."""
    try:
        connection.drain_events(timeout=seconds)
    except TimeoutError:
        return False
    return True


def replay(since: datetime, step: Callable[[int, int], None]) -> int:
    """Give the workers every registration that RabbitMQ got since then; return how many went, each confirmed.

    step: called now and then with the registrations that have gone since the last call, and the messages that are
    left in the stream. What is stored already stays as it is. Raises one of queues.OUTAGES; to begin anew is safe.
    """
    sent = 0
    waiting: list[Any] = []
    with Sender(queues.REPLAYED) as sender:
        for message, position, last in read(since):
            waiting += message.registrations() or []
            if len(waiting) >= settings.GROUP_SIZE or position >= last:
                sender.send_in_groups(waiting)
                sent += len(waiting)
                step(len(waiting), last - position)
                waiting = []
    return sent
