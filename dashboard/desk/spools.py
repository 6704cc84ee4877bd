"""The spools on this machine's disk, seen from outside: looked into, or emptied for good."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings

from dashboard.desk.queue_messages import Sender, call
from lib import spool
from lib.spool import SpoolFile

BATCH = 500


def waiting(directory: Path) -> Iterator[Any]:
    """Yield every sound registration in the spools of a directory, in its wire form. Raises SpoolFailed."""
    return map(orjson.loads, spool.bodies(directory))


def drain(directory: Path, step: Callable[[int], None]) -> None:
    """Bring to RabbitMQ what no running process owns; call step with the number moved each time.

    Raises one of queues.OUTAGES, SpoolFull or SpoolFailed; what is not confirmed is still spooled then.
    """
    files = spool.adopt(directory)
    if not files:
        return
    try:
        with Sender() as sender:
            for file in files:
                _drain_file(file, sender, step)
                file.remove()
    finally:
        for file in files:
            file.close()


def _drain_file(file: SpoolFile, sender: Sender, step: Callable[[int], None]) -> None:
    while rows := file.oldest(BATCH):
        sender.send(*call([orjson.loads(row.body) for row in rows]))
        file.delete(rows)
        step(len(rows))
        time.sleep(len(rows) / settings.SPOOL_DRAIN_RATE)  # as the web's own drainer does
