"""The states of tasks in Redis, under Celery's own keys: a cache of what the stores hold."""

import enum
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson
from django.conf import settings
from redis import Redis
from redis.client import Pipeline

from campaigns.definition import DEFAULT
from landing.keeping import redis_clients, tracing
from lib.clock import now
from lib.group_commit import GroupCommit, Interrupted, Overloaded
from lib.outage import Outage

KEY = "celery-task-meta-"
"""Celery's own prefix, so that AsyncResult(task_id) and Flower read the same state."""

PACE, ENOUGH = 0.005, 16
"""Seconds from one question to the next, unless so many ids wait. No poll is in a hurry, and each question is a wake-up of two processes."""

_outage = Outage(pause=1.0)

DEAD_TTL = 30 * 86400
"""Seconds that Redis remembers a failure; only the dead-letter queue knows it after that."""


class State(enum.StrEnum):
    """Celery's word for the state of a task, and ours for the visitor."""

    WAITING = "PENDING"
    STORED = "SUCCESS"
    DEAD = "FAILURE"
    ERASED = "REVOKED"

    @property
    def shown(self) -> str:
        return {"PENDING": "Processing", "SUCCESS": "Registered", "FAILURE": "Failed", "REVOKED": "Erased"}[
            self
        ]


class Known(NamedTuple):
    """What is known of a submission: its state; once it is stored also its campaign, and its number if there is one.

    more: members that others add to the answer.
    """

    state: State
    campaign: str = DEFAULT
    number: int | None = None
    more: Mapping[str, Any] = MappingProxyType({})


class Reader:
    """Reads Redis's states for one event loop: one MGET for all that ask while the last is under way."""

    def __init__(self) -> None:
        self._redis = redis_clients.connect_async(settings.REDIS_TIMEOUT)
        self._outage = Outage(pause=1.0)
        self._groups = GroupCommit(
            self._read_group,
            size=settings.GROUP_SIZE,
            waiting=settings.WAITING_LIMIT,
            pace=PACE,
            enough=ENOUGH,
        )

    async def ask(self, task_id: str) -> Known | None:
        """Return what Redis knows, if anything; None too when it does not answer in time."""
        try:
            return await self._groups.submit(task_id)
        except (Overloaded, Interrupted):
            return None

    async def _read_group(self, task_ids: Sequence[str]) -> Sequence[Known | None]:
        keys = [KEY + task_id for task_id in task_ids]
        metas = await redis_clients.ask(
            lambda: self._redis.mget(keys), self._outage, "task states not read from Redis"
        )
        if metas is None:
            return [None] * len(task_ids)
        return [_known_in(meta) for meta in metas]


@tracing.step("redis")
def write(known: Mapping[str, Known]) -> None:
    """Tell Redis what is known of many tasks, by their ids, in one round trip.

    Redis only caches what PostgreSQL or the dead-letter queue holds: its failure is logged and
    passed over, and it is left alone for a second, so that batches do not wait for it one by one.
    """

    def fill(pipeline: Pipeline) -> None:
        for task_id, one in known.items():
            ttl = DEAD_TTL if one.state is State.DEAD else settings.STATE_TTL
            pipeline.set(KEY + task_id, _meta(task_id, one), ex=ttl)

    redis_clients.write(_redis(), fill, _outage, "task states not written to Redis")


def _meta(task_id: str, known: Known) -> bytes:
    return orjson.dumps(
        {
            "task_id": task_id,
            "status": known.state,
            "result": _result(known),
            "traceback": None,
            "children": [],
            "date_done": now().isoformat(),
        }
    )


def _result(known: Known) -> dict[str, Any] | None:
    if known.state is State.DEAD:
        return {
            "exc_type": "DeadLetter",
            "exc_message": ["see the dead-letter queue"],
            "exc_module": "landing",
        }
    if known.campaign == DEFAULT and known.number is None:
        return None
    return {"campaign": known.campaign, "number": known.number}


def _known_in(meta: Any) -> Known | None:
    if not meta:
        return None
    try:
        told = orjson.loads(meta)
        state = State(told["status"])
        result = told["result"] if state is State.STORED else None
        return Known(state, str(result["campaign"]), result["number"]) if result else Known(state)
    except (ValueError, KeyError, TypeError):
        return None  # not what we wrote: PostgreSQL knows better


@cache
def _redis() -> Redis:
    return redis_clients.connect(settings.REDIS_TIMEOUT)
