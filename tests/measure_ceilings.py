"""The load of `tools.ceilings`, in a process with the settings of one line of its table."""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from django.conf import settings

from config.celery import app
from landing.keeping import queues
from landing.keeping.limits import Limiter
from landing.keeping.publisher import Publisher, message_of
from landing.submission import Submission
from lib.clock import now

GROUP, IN_FLIGHT = 500, 16
"""Registrations in a group, and groups that wait for their confirm or answer."""
TIMEOUT = 20.0

Load = tuple[Callable[[], Awaitable[object]], float]
"""What handles a group, and the bytes that each registration of it has."""


def publishing() -> Load:
    """Declare the queues anew, and publish to them."""
    with app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        for queue in (*queues.lives, queues.kept):
            channel.queue_delete(queue.name)
        queues.declare(connection)
    # The lengths that docs/scaling.md counts with: a referrer of 52 characters and a phone's user agent of 108.
    one = Submission("09123456789", str(uuid4()), "192.0.2.1", "r" * 52, "u" * 108, now()).to_wire()
    publisher = Publisher(settings.RABBITMQ_URLS, timeout=TIMEOUT)
    return lambda: publisher.send([one] * GROUP), len(message_of([one] * GROUP)[0]) / GROUP


def limiting() -> Load:
    """Take a place for each of 16 million senders, one after the other."""
    limiter, numbers = Limiter(limit=10, period=60, timeout=TIMEOUT), itertools.count()

    def senders() -> list[str]:
        start = next(numbers) * GROUP
        return [f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(start, start + GROUP)]

    return lambda: limiter.take(senders()), 0


async def run(load: str, seconds: float) -> dict[str, float]:
    """Handle groups for so long, as many at once as a busy web does; return what was done."""
    handle, size = {"publish": publishing, "limit": limiting}[load]()
    done = 0
    started = time.monotonic()

    async def go_on() -> None:
        nonlocal done
        while time.monotonic() - started < seconds:
            await handle()
            done += GROUP

    await asyncio.gather(*(go_on() for _ in range(IN_FLIGHT)))
    return {"count": done, "seconds": time.monotonic() - started, "bytes": size}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], float(sys.argv[2])))))  # noqa: T201  for the process that started us
