"""Notices a worker that is connected but deaf, and ends it so that its supervisor starts a new one.

Celery workers have come back from lost connections without their consumer more than once
(celery#9705, #8030): alive, idle, and the queue growing.
"""

import logging
import os
import threading
import time
from typing import Any

from celery import current_app
from celery.worker import state
from django.conf import settings

from landing import queues
from landing.beside_worker import beside_worker

log = logging.getLogger(__name__)

LOOKS = 5
"""Looks at the queue within WORKER_DEAF_AFTER."""


def is_starved() -> bool:
    """Return whether messages are ready and this worker has none in hand."""
    if state.reserved_requests:
        return False
    try:
        with current_app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            ready = channel.queue_declare(queues.LIVE, passive=True).message_count
    except queues.OUTAGES:
        return False  # no broker, no queue: nothing to be deaf to
    return bool(ready) and not state.reserved_requests


@beside_worker("watchdog")
def _watch_until(stop: threading.Event) -> None:
    heard_at = time.monotonic()
    while not stop.wait(settings.WORKER_DEAF_AFTER / LOOKS):
        if not is_starved():
            heard_at = time.monotonic()
        elif time.monotonic() - heard_at >= settings.WORKER_DEAF_AFTER:
            log.critical("this worker is deaf: messages are ready and none comes; it ends")
            logging.shutdown()
            os._exit(1)  # a deaf consumer does not shut down either; what is unacknowledged comes again
