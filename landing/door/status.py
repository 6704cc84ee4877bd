"""The state of a submission: from the backlog, Redis or PostgreSQL, else from the id itself.

Nobody waits for a store that does not answer: one question goes to it for all requests at once, off
Django's threads, with a deadline, and none for a while after a failure.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from landing.keeping import intake
from landing.storing import backlog, lines
from landing.storing.background import fresh_connection
from landing.storing.task_states import Known, Reader, State
from lib import request_ids
from lib.group_commit import GroupCommit, Interrupted, Overloaded
from lib.off_loop import OffLoop, Unanswered

YOUNG = 10.0
"""Seconds in which Redis knows an id as soon as it is stored. Later, PostgreSQL is asked too: Redis may have been emptied."""

DEADLINE = 0.5
"""Seconds that PostgreSQL has for an answer."""
MISSING_FOR = 5.0
"""Seconds at most for which an id that PostgreSQL does not hold is not asked for again. Redis is asked each time."""
PACE = 0.125
"""Seconds between two questions to PostgreSQL. Each is two statements: Django first sees whether the connection lives."""

_STORED = """
SELECT request_id, slug, number FROM landing_submission
    JOIN landing_registration AS registration ON registration.id = registration_id
    JOIN campaigns_campaign AS campaign ON campaign.id = campaign_id
WHERE request_id = ANY(%(ids)s)
UNION ALL SELECT request_id, NULL, NULL FROM landing_erased WHERE request_id = ANY(%(ids)s)
"""


tell_more: Callable[[str, Known], Awaitable[Mapping[str, Any]]] | None = None
"""What tells more of a stored submission: confirmations/ puts it here, which this package does not know."""


def is_ours(task_id: str) -> bool:
    """Return whether this id was given out here: it is sealed with SECRET_KEY, so no store is asked."""
    return request_ids.is_genuine(settings.SECRET_KEY.encode(), task_id)


def surely_waits(task_id: str) -> bool:
    """Return whether a registration with an id of ours still waits for certain, by the backlog alone."""
    made_at = request_ids.made_at(task_id)
    return made_at is not None and backlog.current().surely_holds(made_at)


async def ask(task_id: str) -> Known | None:
    """Return what is known of an accepted submission, or None for an id that was never given out.

    For the event loop of the intake. Whatever store is down, an id that is ours is not None.
    """
    known = await _known(task_id)
    if tell_more and known and known.state is State.STORED:
        return known._replace(more=await tell_more(task_id, known))
    return known


async def _known(task_id: str) -> Known | None:
    ours = is_ours(task_id)
    if ours and surely_waits(task_id):
        return Known(State.WAITING)
    known = await _redis().ask(task_id)
    # Numbers that a draw has given are in PostgreSQL alone.
    if known and not (
        known.number is None and known.state is State.STORED and known.campaign in lines.current()
    ):
        return known
    is_young = ours and request_ids.is_young(task_id, YOUNG)
    if (known or not is_young) and (stored := await _postgresql().ask(task_id)):
        return stored
    return known or (Known(State.WAITING) if ours else None)


def of(task_id: str) -> Known | None:
    """Do the same as ask(), in a thread such as a Django view's."""
    return intake.wait_for(ask(task_id))


def body(task_id: str, known: Known) -> dict[str, Any]:
    """Return what the API answers."""
    told: dict[str, Any] = {"task_id": task_id, "status": known.state.shown, **known.more}
    place = lines.place_of(known.campaign, known.number)
    return told | {"place": place} if place else told


class Rows:
    """Asks PostgreSQL for one event loop what it holds of submissions."""

    def __init__(self) -> None:
        self._off_loop = OffLoop(
            "status",
            pause=5.0,
            failures=(DatabaseError,),
            complaint="task states not read from PostgreSQL",
        )
        self._groups = GroupCommit(self._ask_group, size=settings.GROUP_SIZE, waiting=settings.WAITING_LIMIT)
        self._next_at = 0.0
        self._missing: set[str] = set()
        self._missing_until = 0.0

    async def ask(self, task_id: str) -> Known | None:
        """Return what is stored of a submission, if PostgreSQL tells it in time."""
        if time.monotonic() > self._missing_until:
            self._missing.clear()
            self._missing_until = time.monotonic() + MISSING_FOR
        if task_id in self._missing:  # with Redis away every waiting page asks, again and again
            return None
        try:
            return await self._groups.submit(task_id)
        except (Overloaded, Interrupted):
            return None

    async def _ask_group(self, task_ids: Sequence[str]) -> Sequence[Known | None]:
        if not self._off_loop.is_ready:
            return [None] * len(task_ids)
        await asyncio.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = time.monotonic() + PACE
        try:
            stored = await self._off_loop.run_in_time(DEADLINE, _stored, task_ids)
        except Unanswered:
            return [None] * len(task_ids)
        self._missing.update(task_id for task_id in task_ids if task_id not in stored)
        return [stored.get(task_id) for task_id in task_ids]


def _stored(task_ids: Sequence[str]) -> dict[str, Known]:
    with fresh_connection(), connection.cursor() as cursor:
        cursor.execute(_STORED, {"ids": [UUID(task_id) for task_id in task_ids]})
        return {
            str(request_id): Known(State.STORED, slug, number) if slug else Known(State.ERASED)
            for request_id, slug, number in cursor
        }


@cache
def _redis() -> Reader:
    return Reader()


@cache
def _postgresql() -> Rows:
    return Rows()
