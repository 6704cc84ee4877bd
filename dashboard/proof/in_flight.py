"""What was accepted for a campaign and is in no row yet: there must be none of it when all are numbered by a draw."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from campaigns.definition import DEFAULT
from dashboard.desk import dead_letters, queue_messages, spools
from dashboard.desk.dead_letters import Choice
from dashboard.live import counters
from dashboard.proof import sources
from lib import spool

TOLD_WITHIN = 6.0
"""Seconds until RabbitMQ's management tells what workers hold now: it counts anew every five seconds."""
PATIENCE = 30.0
"""Seconds in which workers store what they hold."""
PAUSE = 1.0


def of(slug: str, closes: datetime) -> dict[str, int]:
    """Return how many registrations for a campaign, which is closed, are still on their way, by where they are.

    Workers' hands cannot be looked into: `held` counts their messages, of whichever campaign, that were not stored
    within PATIENCE. Raises SpoolFailed, QueueNotRead, counters.Unavailable or one of queues.OUTAGES.
    """
    # In the order of a registration's way: what leaves one place before it is looked at is found in a later one.
    found = {
        "spooled": _count(spools.waiting(Path(settings.SPOOL_DIR)), slug),
        "spooled elsewhere": _spooled_elsewhere(closes),
        "queued": _count(sources.queued_raws(), slug),
        "held": _held(),
        "dead": _count(_dead(), slug),
    }
    return {place: count for place, count in found.items() if count}


def _slug_of(raw: Any) -> str | None:
    """Return the campaign of a raw registration, or None if it is none."""
    with suppress(TypeError, IndexError, KeyError):
        return DEFAULT if len(raw) == 6 else str(raw[6])
    return None


def _count(raws: Iterator[Any], slug: str) -> int:
    return sum(_slug_of(raw) == slug for raw in raws)


def _spooled_elsewhere(closes: datetime) -> int:
    """Return how many rows web processes have told of, in spools that are not on this machine and began before."""
    here = spool.extents(Path(settings.SPOOL_DIR))
    told: dict[str, Any] = {}
    for process in counters.processes().values():
        spooled: Any = process.get("spooled")
        told |= spooled or {}
    return sum(
        rows for name, (rows, _, oldest) in told.items() if name not in here and oldest < closes.timestamp()
    )


def _held() -> int:
    time.sleep(TOLD_WITHIN)
    until = time.monotonic() + PATIENCE
    # None: the queue is so young that the management knows nothing of it yet, or it does not answer.
    while (held := queue_messages.in_hand()) != 0 and time.monotonic() < until:
        time.sleep(PAUSE)
    if held is None:
        raise sources.QueueNotRead("RabbitMQ's management does not tell what workers hold")
    return held


def _dead() -> Iterator[Any]:
    for letter in dead_letters.letters(Choice()):
        yield from letter.registrations or []


def sentence(found: dict[str, int]) -> str:
    """Return what is found, for people."""
    return ", ".join(f"{count} {place}" for place, count in found.items())
