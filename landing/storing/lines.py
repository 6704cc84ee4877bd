"""The lines of the campaigns with places, as this web process last read them from PostgreSQL.

Visitors ask for their position, and the door whether a line is full, without asking any store. While PostgreSQL is
away the last lines stand: a position is then too great, never too small.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection

from campaigns.line import Line
from landing.storing.background import fresh_connection
from lib.clock import now
from lib.off_loop import OffLoop, Unanswered

EVERY, SELDOM = 1.0, 10.0
"""Seconds from one look to the next; the second while no campaign gives numbers."""
DEADLINE = 2.0
"""Seconds for one look."""

_LINES = """
SELECT slug, capacity, admitted, last_number, cancelled, longest_line, announces FROM campaigns_campaign
WHERE is_numbered
"""

log = logging.getLogger(__name__)

_current: Mapping[str, Line] = {}


def current() -> Mapping[str, Line]:
    """Return the line of each campaign that gives numbers, by its slug."""
    return _current


def note(lines: Mapping[str, Line]) -> None:
    """Take these for the lines of now."""
    global _current  # noqa: PLW0603  one for the process
    _current = lines


def is_full(slug: str) -> bool:
    """Return whether a campaign has neither a place nor a place in the line. It may just have been filled: see declined."""
    line = _current.get(slug)
    return line is not None and line.is_full


def place_of(slug: str, number: int | None) -> dict[str, Any] | None:
    """Return what the person with this number is told of their place, or None if there is nothing to tell yet."""
    line = _current.get(slug)
    if line is None or number is None or line.capacity is None:
        return None
    if line.announces and now() < line.announces:
        return None
    return line.place_of(number)


async def follow() -> None:
    """Look again and again, until cancelled."""
    off_loop = OffLoop(
        "lines", pause=EVERY, failures=(DatabaseError,), complaint="lines not read from PostgreSQL"
    )
    while True:
        try:
            note(await off_loop.run_in_time(DEADLINE, read))
        except Unanswered:
            pass
        except Exception:
            log.exception("a loop goes on after an error", extra={"loop": "lines"})
        await asyncio.sleep(EVERY if _current else SELDOM)


def read() -> dict[str, Line]:
    """Return the lines as PostgreSQL has them. Raises django.db.Error."""
    with fresh_connection(), connection.cursor() as cursor:
        cursor.execute(_LINES)
        return {
            slug: Line(capacity, admitted, last_number, tuple(cancelled), longest, announces)
            for slug, capacity, admitted, last_number, cancelled, longest, announces in cursor
        }
