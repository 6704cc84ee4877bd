"""What is measured by visits: whole visits a second, and what a waiting crowd costs those who register beside it."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from psycopg import sql

from tools.bench import wrk
from tools.bench.contenders import Contender
from tools.bench.scenarios import (
    CONNECTIONS,
    DRAIN_WITHIN,
    UNHEARD,
    WARM_UP,
    Meter,
    Sample,
    compare,
    empty_if_made,
)
from tools.bench.stage import Stage, StageFailed, Stored, Web, database_of

RAMP = 1.5
"""Seconds at the beginning in which nobody can have finished a visit: not counted (as in visits.lua)."""

POLLED, OLD = 500, 12.0
"""Ids that are polled without a pause, and the seconds after which an id is no longer a young one."""

CROWD_CONNECTIONS = 16
TOLD = 3.0
"""Seconds after which each worker has told Redis up to when it has stored."""
SETTLED = 2.0
"""Seconds after which PostgreSQL's counters have been told everything."""


def visits(stage: Stage, contender: Contender, *, seconds: float) -> Iterator[Sample]:
    """Let visitors come as fast as they are served: the page, a registration with a key, polls until Registered."""
    empty_if_made(stage, contender)
    stage.keep_page()
    ids = stage.state_dir / "tmp" / "visits.ids"
    with stage.web(contender) as web, contextlib.ExitStack() as stack:
        stored = stack.enter_context(Stored(stage, contender)) if contender.rows else None
        workers = [stack.enter_context(stage.worker(contender))] if contender.worker else []
        if stored:
            stored.wait(1, DRAIN_WITHIN)  # the first one, by which the web was found ready
        meter = Meter(stage, [web.child, *workers])
        visitors = wrk.Visitors(web.url, "visit", ids, connections=CONNECTIONS[0], count=contender.visitors)
        time.sleep(RAMP + seconds)
        seen = visitors.call_off()
        cpu = meter.per_thousand(seen.visits)
        if stored:
            stored.wait(1 + seen.accepted, DRAIN_WITHIN)
            stored.confirm(1 + seen.accepted)
        else:
            _count_rows(stage, contender, seen.accepted)
    yield Sample(
        "visits",
        contender.name,
        {
            "rate": seen.visits / (seen.seconds - RAMP),
            "polls_a_visit": seen.polls / max(1, seen.registered),
            "accepted": seen.accepted,
            "errors": seen.refused + seen.broken,
        }
        | cpu,
    )


def crowd(stage: Stage, contender: Contender, *, count: int, seconds: float) -> Iterator[Sample]:
    """Accept alone and beside `count` visitors who wait, with the workers stopped; then start these."""
    empty_if_made(stage, contender)
    ids = stage.state_dir / "tmp" / "crowd.ids"
    with stage.web(contender) as web, Stored(stage, contender) as stored:
        with stage.worker(
            contender
        ):  # it has been there before it is away, and stored what found the web ready
            stored.wait(1, DRAIN_WITHIN)
            time.sleep(TOLD)
        wrk.run(web.url, connections=CONNECTIONS[0], seconds=WARM_UP)
        keyed = _register(stage, web, "keyed", keys=True)
        old_at = time.monotonic() + OLD
        alone = wrk.run(web.url, connections=CONNECTIONS[0], seconds=seconds)
        time.sleep(max(0.0, old_at - time.monotonic()))
        young = _register(stage, web, "young", keys=False)
        _polled(web, young, WARM_UP)
        # In turn, so that neither has the better moment of the machine.
        rates = [(_polled(web, young, seconds / 3), _polled(web, keyed, seconds / 3)) for _ in range(3)]
        young_rate, keyed_rate = map(median, zip(*rates, strict=True))
        waiting = wrk.Visitors(web.url, "crowd", ids, connections=CROWD_CONNECTIONS, count=count)
        _wait(lambda: waiting.seen()[0] >= count, "whole crowd", waiting)
        time.sleep(SETTLED)
        before, (_, polls_before, _), began = _queries(stage, contender), waiting.seen(), time.monotonic()
        beside = wrk.run(web.url, connections=CONNECTIONS[0], seconds=seconds)
        polls, polled_for = waiting.seen()[1] - polls_before, time.monotonic() - began
        time.sleep(SETTLED)
        queries = (_queries(stage, contender) - before) / (time.monotonic() - began)
        processes = len(web.child.family()) - 1
        with stage.worker(contender):
            started = time.monotonic()
            _wait(lambda: waiting.seen()[2] >= count, "end of the crowd", waiting)
            told = time.monotonic() - started
            seen = waiting.call_off()
            time.sleep(UNHEARD)
            stored.wait(alone.accepted + beside.accepted + count, DRAIN_WITHIN)
            stored.confirm(alone.accepted + beside.accepted + count)
        lost, _ = compare(stage, contender, ids)
    yield Sample(
        f"crowd of {count:,}",
        contender.name,
        {
            "rate": beside.rate,
            "alone": alone.rate,
            "beside_by_alone": beside.rate / alone.rate,
            "polls": polls / polled_for,
            "young": young_rate,
            "keyed": keyed_rate,
            "keyed_by_young": keyed_rate / young_rate,
            "queries": queries / max(1, processes),
            "told": told,
            "lost": lost,
            "errors": beside.refused + beside.broken + seen.refused + seen.broken,
        },
    )


def _register(stage: Stage, web: Web, name: str, *, keys: bool) -> Path:
    ids = stage.state_dir / "tmp" / f"{name}.ids"
    some = wrk.Visitors(web.url, "crowd", ids, connections=CONNECTIONS[0], count=POLLED, keys=keys)
    try:
        _wait(lambda: some.seen()[0] >= POLLED, f"{POLLED} ids", some)
    finally:
        some.call_off()
    return ids


def _polled(web: Web, ids: Path, seconds: float) -> float:
    polling = wrk.Visitors(web.url, "poll", ids, connections=CONNECTIONS[0])
    time.sleep(seconds)
    seen = polling.call_off()
    if seen.refused:
        raise StageFailed(f"{seen.refused} of {seen.requests} polls were refused")
    return seen.requests / seen.seconds


def _queries(stage: Stage, contender: Contender) -> int:
    """How many transactions PostgreSQL has had in a contender's database; each query of a poll is one."""
    with stage.sql("postgres") as connection:
        counted = connection.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s",
            [database_of(contender)],
        ).fetchone()
    assert counted
    return int(counted[0])


def _count_rows(stage: Stage, contender: Contender, expected: int) -> None:
    with stage.sql(database_of(contender)) as connection:
        counting = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(contender.ids))
        counted = connection.execute(counting).fetchone()
    if counted is None or counted[0] < expected:
        raise StageFailed(f"of {expected} there are {counted} rows")


def _wait(condition: Callable[[], bool], what: str, visitors: wrk.Visitors) -> None:
    until = time.monotonic() + DRAIN_WITHIN
    while not condition():
        if time.monotonic() > until:
            seen = "{} accepted, {} polls, {} Registered".format(*visitors.seen())
            raise StageFailed(f"no {what} within {DRAIN_WITHIN:.0f} s: {seen}")
        time.sleep(0.1)
