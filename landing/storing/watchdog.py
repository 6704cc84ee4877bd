"""Notices a worker that is connected but deaf, and ends it so that its supervisor starts a new one.

Celery workers have come back from lost connections without their consumer more than once
(celery#9705, #8030): alive, idle, and the queue growing.
"""

import logging
import os
import time

from celery.worker import state
from django.conf import settings

from landing.keeping import broker, queues
from landing.storing.background import run_in_worker

log = logging.getLogger(__name__)

LOOKS = 5
"""Looks at the queue within WORKER_DEAF_AFTER."""

PATIENCE = 5.0
"""Seconds for each of RabbitMQ's answers."""


def is_starved() -> bool:
    """Return whether messages are ready and this worker has none in hand."""
    if state.reserved_requests:
        return False
    try:
        with broker.errand(PATIENCE) as connection:
            ask = connection.default_channel.queue_declare
            ready = sum(ask(queue.name, passive=True).message_count for queue in queues.lives)
    except queues.OUTAGES:
        return False  # no broker, no queue: nothing to be deaf to
    return bool(ready) and not state.reserved_requests


class Watchdog:
    """Ends this process when it has been starved for WORKER_DEAF_AFTER seconds, at every look."""

    def __init__(self) -> None:
        self._starved_since: float | None = None

    def look(self) -> None:
        if not is_starved():
            self._starved_since = None
            return
        self._starved_since = self._starved_since or time.monotonic()
        if time.monotonic() - self._starved_since >= settings.WORKER_DEAF_AFTER:
            log.critical("this worker is deaf: messages are ready and none comes; it ends")
            logging.shutdown()
            os._exit(1)  # a deaf consumer does not shut down either; what is unacknowledged comes again


run_in_worker("watchdog", every=settings.WORKER_DEAF_AFTER / LOOKS)(Watchdog().look)
