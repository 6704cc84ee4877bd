"""What all processes have counted, added up in Redis: in all, and in each ten seconds of the last hour.

Each process adds what it has counted since the last time. An addition whose answer was lost is not
made twice: it carries a number that is kept beside the totals, and is watched while it is compared.
While Redis is away the counts wait in the process, by the ten seconds in which they were taken.
Redis keeps no truth of ours: when it has been emptied, the totals begin again at nothing.
"""

import os
import time
from collections import Counter
from functools import cache
from typing import Any
from uuid import uuid4

import orjson
from redis import Redis
from redis.exceptions import RedisError, WatchError

from landing.keeping import redis_clients
from lib import metrics

TIMEOUT = 0.5
BUCKET = 10
"""Seconds that one point of the charts stands for."""
KEPT = 3600
"""Seconds of which the charts are kept."""

_TOTALS, _PROCESSES, _MARKS = "metrics:totals", "metrics:processes", "metrics:marks"

Unavailable = (RedisError, OSError)
"""What every function here raises when Redis does not answer."""


class Adder:
    """Adds what one process counts to the totals. Used by one thread."""

    def __init__(self) -> None:
        self._key = f"metrics:added:{uuid4()}"
        self._waiting: dict[int, Counter[str]] = {}
        self._tried: tuple[int, Counter[str]] | None = None
        self._number = 0

    def flush(self) -> None:
        """Add all that was counted. Raises one of Unavailable, and then it waits for the next call."""
        if taken := metrics.take():
            self._waiting.setdefault(bucket_of(time.time()), Counter()).update(taken)
            self._forget_when()
        while self._tried or self._waiting:
            if self._tried is None:
                bucket = min(self._waiting)
                self._tried = bucket, self._waiting.pop(bucket)
                self._number += 1
            self._add(*self._tried)
            self._tried = None

    def _forget_when(self) -> None:
        """Keep no more than an hour apart: what is older belongs to the totals and to no chart."""
        while len(self._waiting) > KEPT // BUCKET:
            oldest = self._waiting.pop(min(self._waiting))
            self._waiting[min(self._waiting)].update(oldest)

    def _add(self, bucket: int, counts: Counter[str]) -> None:
        # A plain HINCRBY that timed out may have been done: a second try would count twice. So each addition has
        # a number, which is set in the same MULTI, and WATCH fails the MULTI of a try that overtakes another.
        with redis().pipeline() as pipeline:
            pipeline.watch(self._key)  # type: ignore[no-untyped-call]
            if pipeline.get(self._key) == str(self._number).encode():
                return  # an earlier try has come through, and only its answer was lost
            pipeline.multi()
            pipeline.set(self._key, self._number, ex=KEPT)
            for name, by in counts.items():
                pipeline.hincrby(_TOTALS, name, by)
                pipeline.hincrby(_bucket_key(bucket), name, by)
            pipeline.expire(_bucket_key(bucket), KEPT + 10 * BUCKET)
            try:
                pipeline.execute()
            except WatchError:
                return  # the same, in this very moment


def totals() -> dict[str, int]:
    """Return what was counted since Redis was last emptied."""
    return _numbers(redis().hgetall(_TOTALS))


def hour(since: int) -> dict[int, dict[str, int]]:
    """Return the buckets of the last hour that begin at `since` (a Unix time) or later, by their beginning."""
    now = time.time()
    starts = range(max(bucket_of(since), bucket_of(now - KEPT)), bucket_of(now) + 1, BUCKET)
    with redis().pipeline(transaction=False) as pipeline:
        for start in starts:
            pipeline.hgetall(_bucket_key(start))
        return {start: _numbers(found) for start, found in zip(starts, pipeline.execute(), strict=True)}


def sample(bucket: int, gauges: dict[str, int]) -> None:
    """Write gauges into a bucket, for the charts."""
    with redis().pipeline() as pipeline:
        pipeline.hset(_bucket_key(bucket), mapping=gauges)
        pipeline.expire(_bucket_key(bucket), KEPT + 10 * BUCKET)
        pipeline.execute()


def try_to_write() -> None:
    """Raise what Redis says if it takes no writes."""
    redis().set("metrics:written", 1, ex=60)


def is_mine(bucket: int) -> bool:
    """Return whether this process is the one to sample a bucket: the first that asks."""
    return bool(redis().set(f"metrics:sampler:{bucket}", os.getpid(), nx=True, ex=2 * BUCKET))


def announce(name: str, process: dict[str, object]) -> None:
    """Tell that a process lives, and what it has to say of itself."""
    redis().hset(_PROCESSES, name, orjson.dumps(process).decode())


def processes() -> dict[str, dict[str, object]]:
    """Return what processes have last said of themselves, by their names."""
    return {name.decode(): orjson.loads(said) for name, said in redis().hgetall(_PROCESSES).items()}  # type: ignore[union-attr]  # redis-py types its answers for both of its clients


def forget(names: list[str]) -> None:
    """Forget processes that have ended."""
    if names:
        redis().hdel(_PROCESSES, *names)


def mark(name: str, moment: float) -> None:
    """Note a moment (Unix time)."""
    redis().hset(_MARKS, name, str(int(moment)))


def marks() -> dict[str, int]:
    """Return the moments that were noted."""
    return _numbers(redis().hgetall(_MARKS))


def note_orphans(count: int) -> None:
    """Tell every process how many messages no worker has; it is forgotten when nobody tells it any more."""
    redis().set("metrics:orphans", count, ex=3 * BUCKET)


def orphans() -> int:
    """Return how many messages no worker has, as was told last."""
    found: Any = redis().get("metrics:orphans")
    return int(found or 0)


def bucket_of(moment: float) -> int:
    """Return the beginning of the bucket that a moment (Unix time) lies in."""
    return int(moment) // BUCKET * BUCKET


@cache
def redis() -> Redis:
    return redis_clients.connect(TIMEOUT)


def _bucket_key(bucket: int) -> str:
    return f"metrics:bucket:{bucket}"


def _numbers(found: object) -> dict[str, int]:
    assert isinstance(found, dict)
    return {name.decode(): int(value) for name, value in found.items()}
