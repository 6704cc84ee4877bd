"""What the web tells of a confirmation: from Redis, else from PostgreSQL, and never waiting long for either."""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError

from confirmations import line, states
from confirmations.line import Line
from confirmations.states import UNASKED, State
from landing.door import status
from landing.keeping import redis_clients
from landing.page import branding
from landing.storing.background import fresh_connection
from landing.storing.task_states import Known
from lib import request_ids
from lib.group_commit import GroupCommit, Interrupted, Overloaded
from lib.off_loop import OffLoop, Unanswered
from lib.outage import Outage

log = logging.getLogger(__name__)

YOUNG = 600.0
"""Seconds in which Redis surely knows of a question for a code, if it answers at all."""
DEADLINE = 0.5
"""Seconds that PostgreSQL has for an answer."""
PACE = 0.02
"""Seconds from one question to Redis to the next."""

NOTHING: Mapping[str, Any] = {}


def join() -> None:
    """Have the answers about a registration tell of its confirmation too."""
    status.tell_more = tell


async def tell(task_id: str, known: Known) -> Mapping[str, Any]:
    """Return the member `confirmation` for a stored submission, nothing for one of a campaign without codes.

    For the event loop of the intake.
    """
    campaign = branding.campaigns().get(known.campaign)
    if campaign is None or not campaign.confirms or not settings.SENDS_CODES:
        return NOTHING
    state, checking, told_line = await reader().ask(task_id)
    return {"confirmation": state.told(told_line, checking)}


class Reader:
    """Reads states for one event loop, one question to each store for all that ask meanwhile."""

    def __init__(self) -> None:
        self._redis = redis_clients.connect_async(settings.REDIS_TIMEOUT)
        self._outage = Outage(pause=1.0)
        self._off_loop = OffLoop(
            "confirmations",
            pause=5.0,
            failures=(DatabaseError,),
            complaint="confirmations not read from PostgreSQL",
        )
        options = {"size": settings.GROUP_SIZE, "waiting": settings.WAITING_LIMIT}
        self._groups = GroupCommit(self._read_group, pace=PACE, enough=16, **options)
        self._stored = GroupCommit(self._stored_group, **options)

    async def ask(self, task_id: str) -> tuple[State, str, Line | None]:
        """Return a submission's state, the try under way, and the line."""
        try:
            state, checking, told_line = await self._groups.submit(task_id)
            if state is None:
                state = await self._stored.submit(task_id)
        except (Overloaded, Interrupted):
            return UNASKED, "", None
        return state or UNASKED, checking, told_line

    async def mark_checking(self, task_id: str, try_id: str) -> None:
        """Remember that a try is under way, so that a page without JavaScript can say so."""
        try:
            await self._redis.set(states.CHECKING + task_id, try_id, ex=states.CHECKING_TTL)
        except redis_clients.FAILURES as error:
            log.warning("a try under way not written to Redis", extra={"reason": repr(error)})

    async def _read_group(self, task_ids: Sequence[str]) -> Sequence[tuple[State | None, str, Line | None]]:
        """Return what Redis knows. A young submission of which it knows nothing has not asked."""
        keys = [states.KEY + task_id for task_id in task_ids]
        keys += [states.CHECKING + task_id for task_id in task_ids]
        values = await redis_clients.ask(
            lambda: self._redis.mget([*keys, line.KEY]),
            self._outage,
            "confirmations not read from Redis",
        )
        if values is None:
            return [(None, "", None)] * len(task_ids)
        *found, told_line = values
        known_line = line.read(told_line, time.time())
        count = len(task_ids)
        return [
            (
                states.read(told) or (UNASKED if request_ids.is_young(task_id, YOUNG) else None),
                checking.decode() if checking else "",
                known_line,
            )
            for task_id, told, checking in zip(task_ids, found[:count], found[count:], strict=True)
        ]

    async def _stored_group(self, task_ids: Sequence[str]) -> Sequence[State | None]:
        try:
            known = await self._off_loop.run_in_time(DEADLINE, _stored, task_ids)
        except Unanswered:
            return [None] * len(task_ids)
        return [known.get(task_id) for task_id in task_ids]


def _stored(task_ids: Sequence[str]) -> dict[str, State]:
    with fresh_connection():
        return states.of(task_ids)


@cache
def reader() -> Reader:
    """Return this process's reader."""
    return Reader()
