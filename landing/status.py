"""What became of a submission: told by Redis, else by PostgreSQL, else by the id itself."""

import enum
import logging
from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import Error as DatabaseError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from landing.models import StoredSubmission
from landing.submission import now
from lib import request_ids

log = logging.getLogger(__name__)

KEY = "celery-task-meta-"
"""Celery's own prefix, so that AsyncResult(task_id) and Flower read the same state."""

DEAD_TTL = 30 * 86400
"""Seconds that Redis remembers a failure; only the dead-letter queue knows it after that."""


class State(enum.StrEnum):
    """Celery's word for the state of a task, and ours for the visitor."""

    WAITING = "PENDING"
    STORED = "SUCCESS"
    DEAD = "FAILURE"

    @property
    def shown(self) -> str:
        """What the API answers."""
        return {"PENDING": "Processing", "SUCCESS": "Registered", "FAILURE": "Failed"}[self]


def of(task_id: str) -> State | None:
    """Return the state of an accepted submission, or None for an id that was never given out.

    Whatever store is down, an accepted id is not None: its seal tells that it is ours.
    """
    if state := _in_redis(task_id) or _in_postgresql(task_id):
        return state
    if request_ids.is_genuine(settings.SECRET_KEY.encode(), task_id):
        return State.WAITING
    return None


def write(task_ids: Sequence[str], state: State) -> None:
    """Tell Redis the state of many tasks in one round trip.

    Redis only caches what PostgreSQL or the dead-letter queue holds: its failure is logged and
    passed over.
    """
    ttl = DEAD_TTL if state is State.DEAD else settings.STATE_TTL
    try:
        with _redis().pipeline(transaction=False) as pipeline:
            for task_id in task_ids:
                pipeline.set(KEY + task_id, _meta(task_id, state), ex=ttl)
            pipeline.execute()
    except (RedisError, OSError) as error:
        log.warning("task states not written to Redis", extra={"reason": repr(error)})


def _meta(task_id: str, state: State) -> bytes:
    result = {"exc_type": "DeadLetter", "exc_message": ["see the dead-letter queue"], "exc_module": "landing"}
    return orjson.dumps(
        {
            "task_id": task_id,
            "status": state,
            "result": result if state is State.DEAD else None,
            "traceback": None,
            "children": [],
            "date_done": now().isoformat(),
        }
    )


def _in_redis(task_id: str) -> State | None:
    try:
        meta: Any = _redis().get(KEY + task_id)
        return State(orjson.loads(meta)["status"]) if meta else None
    except (RedisError, OSError, ValueError, KeyError, TypeError) as error:
        # Redis is away, or holds something that is not ours: PostgreSQL knows better.
        log.warning("task state not read from Redis", extra={"reason": repr(error)})
        return None


def _in_postgresql(task_id: str) -> State | None:
    try:
        stored = StoredSubmission.objects.filter(request_id=UUID(task_id)).exists()
    except DatabaseError as error:
        log.warning("task state not read from PostgreSQL", extra={"reason": repr(error)})
        return None
    return State.STORED if stored else None


@cache
def _redis() -> Redis:
    return Redis.from_url(
        settings.REDIS_URL,
        password=settings.REDIS_PASSWORD or None,
        socket_timeout=settings.REDIS_TIMEOUT,
        socket_connect_timeout=settings.REDIS_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
