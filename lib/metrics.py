"""What this process has counted and timed since somebody last took it away.

Ours: prometheus_client's multiprocess mode ends at the container (docs/adr/0007), and its counter costs more.

A name is what is counted, with a colon and a label where it has one: "accepted:spool". Counting
takes a lock that nobody holds for longer than a dict's item takes, 0.3 µs in all. An increment
without one (`counts[name] += 1`) is two steps, and between them another thread's is lost.
"""

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

BOUNDS = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.035),
    *(0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Seconds: the upper bounds of every histogram's buckets. What took longer is in the last, without a bound."""

SUM = "microseconds"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_counts: dict[str, int] = {}
_lock = threading.Lock()


def count(name: str, by: int = 1) -> None:
    """Count something that has happened."""
    with _lock:
        _counts[name] = _counts.get(name, 0) + by


def observe(name: str, seconds: float) -> None:
    """Put a time into the bucket of a histogram that it belongs to, and add it to the sum."""
    fields = buckets(name)
    bucket, total = fields[bisect_left(BOUNDS, seconds)], fields[-1]
    with _lock:
        _counts[bucket] = _counts.get(bucket, 0) + 1
        _counts[total] = _counts.get(total, 0) + int(seconds * 1_000_000)


def timed(name: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a function so that the time of each call that returns is observed. What raises is not."""

    def decorate(act: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(act)
        def timed_act(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            started = time.perf_counter()
            result = act(*args, **kwargs)
            observe(name, time.perf_counter() - started)
            return result

        return timed_act

    return decorate


def take() -> dict[str, int]:
    """Return what was counted since the last call, and begin again at nothing."""
    global _counts
    with _lock:
        taken, _counts = _counts, {}
    return taken


@cache
def buckets(name: str) -> tuple[str, ...]:
    """Return the fields of a histogram: its buckets by their bounds, the last without one, then the sum."""
    return (*(f"{name}:{bound:g}" for bound in BOUNDS), f"{name}:inf", f"{name}:{SUM}")


def quantile(counts: dict[str, int], name: str, share: float) -> float | None:
    """Return the time, in seconds, that this share of a histogram's observations stayed within.

    Within a bucket they are taken to lie evenly, as Prometheus's histogram_quantile does; beyond the
    last bound it is the answer. None if there are none.
    """
    found = [counts.get(field, 0) for field in buckets(name)[:-1]]
    wanted, seen, lower = share * sum(found), 0, 0.0
    for bound, here in zip(BOUNDS, found, strict=False):
        if here and seen + here >= wanted:
            return lower + (bound - lower) * (wanted - seen) / here
        seen, lower = seen + here, bound
    return BOUNDS[-1] if found[-1] else None


def _begin_again() -> None:
    """Forget in a forked child what is the parent's to tell, and a lock that a thread of its held."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _counts.clear()


os.register_at_fork(after_in_child=_begin_again)
