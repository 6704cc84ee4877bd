"""What waits in a queue."""

import asyncio
from typing import Any

from celery import current_app

from landing.keeping import intake, queues
from landing.keeping.drainer import Drainer


def drain_spool() -> None:
    """Bring what waits in this process's spool to the queue, as the web does all the time."""
    drainer = Drainer(intake.current())
    asyncio.run_coroutine_threadsafe(drainer.drain(), intake.current().loop).result(30)
    intake.current().loop.call_soon_threadsafe(drainer.close)


def kept() -> Any:
    """Take every registration that waits, in whichever of its two homes; return each in its wire form."""
    drain_spool()
    return [raw for (batch,) in ready(queues.live) for raw in batch]


def ready(queue: Any) -> Any:
    """Take all messages of a queue; return the arguments of each."""
    with current_app.connection_for_write() as connection:
        bound = queue.bind(connection.default_channel)
        return [message.payload[0] for message in iter(lambda: bound.get(no_ack=True), None)]


def depth(queue: Any) -> Any:
    """Return how many messages are ready in a queue."""
    with current_app.connection_for_write() as connection:
        return connection.default_channel.queue_declare(queue.name, passive=True).message_count
