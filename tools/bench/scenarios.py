"""What is measured: each scenario loads one contender and returns samples."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from local.processes import Child
from tools.bench import open_model, usage, wrk
from tools.bench.contenders import Contender
from tools.bench.seed import add_registrations
from tools.bench.stage import Stage, StageFailed, Stored, Web, database_of, empty

CONNECTIONS = (64, 256)
CAMPAIGNS = ("", "fields", "places")
"""Of tools/bench/landing; the first is the default one."""
WARM_UP = 1.0
READY_WITHIN = 60.0
DRAIN_WITHIN = 240.0
UNHEARD = 0.4
"""Seconds in which the requests end that were under way when wrk stopped."""

# What a drain leaves aside at either end: the workers' start, and the poll's grain.
RAMP = 0.1


@dataclass(frozen=True)
class Sample:
    """One measurement: its scenario, whose it is, and the figures by name."""

    scenario: str
    contender: str
    values: dict[str, float]


class Meter:
    """The CPU seconds of a contender's own processes and of the servers, from now on."""

    def __init__(self, stage: Stage, own: list[Child]) -> None:
        self._stage = stage
        self._own = own
        self._before = self._read()

    def per_thousand(self, count: int) -> dict[str, float]:
        """CPU seconds for a thousand of what was done."""
        own, servers = (after - before for after, before in zip(self._read(), self._before, strict=True))
        return {"cpu_own": own / count * 1000, "cpu_servers": servers / count * 1000} if count else {}

    def _read(self) -> tuple[float, float]:
        return usage.cpu_seconds(self._own), usage.cpu_seconds(self._stage.servers.all)


def accept(
    stage: Stage, contender: Contender, *, seconds: float, seed: int, open_seconds: float
) -> Iterator[Sample]:
    """Accept with the workers stopped; then let them drain what has been accepted.

    Contenders that have no worker get the open model here too.
    """
    empty_if_made(stage, contender)
    with stage.web(contender) as web:
        yield from _accept_and_drain(stage, web, CONNECTIONS, seconds)
        if not contender.worker:
            for rate in contender.latency_rates:
                yield _latency(web, rate, open_seconds, seed)


def flow(
    stage: Stage, contender: Contender, *, seconds: float, seed: int, open_seconds: float
) -> Iterator[Sample]:
    """Accept and store at the same time: first at fixed rates, then as fast as it goes."""
    empty_if_made(stage, contender)
    with stage.web(contender) as web, stage.worker(contender) as worker:
        with Stored(stage, contender) as stored:
            warm = wrk.run(web.url, connections=CONNECTIONS[0], seconds=WARM_UP)
            stored.wait(warm.accepted, DRAIN_WITHIN)
            time.sleep(UNHEARD)
        yield from _flow(stage, web, worker, seconds=seconds, seed=seed, open_seconds=open_seconds)


def page(stage: Stage, contender: Contender, *, seconds: float) -> Iterator[Sample]:
    """Ask for the landing page: as browsers do, which is answered from memory, and in a way that is left to Django."""
    empty_if_made(stage, contender)
    with stage.web(contender) as web:
        for scenario, kind in (
            ("landing page", "plain"),
            ("landing page, written by Django each time", "odd"),
        ):
            wrk.run(web.url, connections=CONNECTIONS[0], seconds=WARM_UP, page=kind)
            load = wrk.run(web.url, connections=CONNECTIONS[0], seconds=seconds, page=kind)
            yield Sample(scenario, contender.name, _seen(load))


def burst(stage: Stage, contender: Contender, *, count: int) -> Iterator[Sample]:
    """Accept `count` with the workers stopped, drain them, and compare what was promised with what is there."""
    empty_if_made(stage, contender)
    ids = stage.state_dir / "tmp" / "accepted.ids"
    with stage.web(contender) as web:
        wrk.run(web.url, connections=64, seconds=WARM_UP)
        time.sleep(UNHEARD)
        empty(stage, contender)
        memory = stage.broker_megabytes()
        load, times = wrk.burst(web.url, connections=64, count=count, ids=ids, deadline=DRAIN_WITHIN)
        tenths = [count / 10 / (after - before) for before, after in pairwise(times)]
        rss, _ = usage.rss_megabytes(web.child)
        peak = stage.broker_megabytes()
        drained, cpu = _drain(stage, contender, database_of(contender), count)
        lost, extra = compare(stage, contender, ids)
        ids.unlink()
    yield Sample(
        f"burst of {count:,}",
        contender.name,
        {
            "rate": count / (times[-1] - times[0]),
            "first_tenth": tenths[0],
            "last_tenth": tenths[-1],
            "last_by_first": tenths[-1] / tenths[0],
            "p50": load.p50,
            "p99": load.p99,
            "errors": load.refused + load.broken,
            "broker_before": memory,
            "broker_full": peak,
            "rss_worker": rss,
            "drain": drained,
            "lost": lost,
            # Accepted by the server when wrk had already stopped listening.
            "unheard": extra,
        }
        | cpu,
    )


def campaigns(stage: Stage, contender: Contender, *, seconds: float, number: int) -> Iterator[Sample]:
    """Accept and drain in the default campaign, in one with four fields and consent, and in one with places."""
    empty_if_made(stage, contender)
    with stage.web(contender) as web:
        first = number % len(CAMPAIGNS)
        for campaign in (*CAMPAIGNS[first:], *CAMPAIGNS[:first]):
            for sample in _accept_and_drain(stage, web, CONNECTIONS[:1], seconds, campaign=campaign):
                yield Sample(
                    f"{sample.scenario}: {campaign or 'the default campaign'}",
                    sample.contender,
                    sample.values,
                )


def growth(stage: Stage, contender: Contender, *, rows: int, seconds: float) -> Iterator[Sample]:
    """Accept and drain with so many registrations already in PostgreSQL, each with an Idempotency-Key, as the page sends it."""
    database = f"{database_of(contender)}_{rows}"
    empty_if_made(stage, contender)
    with stage.web(contender, database) as web:
        for sample in _accept_and_drain(stage, web, CONNECTIONS[:1], seconds, keys=True):
            yield Sample(f"{sample.scenario} with {rows:,} rows", sample.contender, sample.values)


def seed_rows(stage: Stage, contender: Contender, *, rows: int) -> Iterator[Sample]:
    """Make the database for `growth`, with so many rows."""
    database = f"{database_of(contender)}_{rows}"
    stage.prepare(contender, database)
    with stage.sql(database) as connection:
        add_registrations(connection, rows)
    yield from ()


def publish(stage: Stage, contender: Contender, *, seconds: float) -> Iterator[Sample]:
    """The broker's and PostgreSQL's own limits, without any web server."""
    limits = "tools.bench.peers.limits"
    stage.prepare(contender, database_of(contender))
    for name, command in (
        ("confirmed publishes, one after another", (f"{limits}.publish", "1", str(seconds))),
        ("confirmed publishes, 64 in flight", (f"{limits}.publish", "64", str(seconds))),
        ("upserted rows, 500 a statement", (f"{limits}.upsert", str(seconds))),
    ):
        meter = Meter(stage, [])
        rate = float(stage.run(command, contender))
        cpu = meter.per_thousand(int(rate * seconds))["cpu_servers"]
        yield Sample("limits", name, {"rate": rate, "cpu_servers": cpu})
    stage.purge(contender.queue)


def soak(stage: Stage, contender: Contender, *, rate: int, minutes: float) -> Iterator[Sample]:
    """Send at a fixed rate for long, with workers running, and watch the web workers' memory."""
    empty_if_made(stage, contender)
    with stage.web(contender) as web, stage.worker(contender), Stored(stage, contender) as stored:
        stored.wait(1, READY_WITHIN)
        until, taken = time.monotonic() + minutes * 60, 1
        while time.monotonic() < until:
            sample = _latency(web, rate, 30, seed=taken)
            taken += int(sample.values["accepted"])
            rss, _ = usage.rss_megabytes(web.child)
            yield Sample("soak", contender.name, sample.values | {"rss_worker": rss})
        stored.wait(taken, DRAIN_WITHIN)
        stored.confirm(taken)


def empty_if_made(stage: Stage, contender: Contender) -> None:
    """Make a contender's databases and queue, or empty them if they are there."""
    stage.prepare(contender, database_of(contender))
    empty(stage, contender)


def _flow(
    stage: Stage, web: Web, worker: Child, *, seconds: float, seed: int, open_seconds: float
) -> Iterator[Sample]:
    contender, taken = web.contender, 0
    with Stored(stage, contender) as stored:
        for rate in reversed(contender.latency_rates):
            sample = _latency(web, rate, open_seconds, seed)
            taken += int(sample.values["accepted"])
            stored.wait(taken, DRAIN_WITHIN)
            yield sample
        yield _sustained(stage, web, worker, stored, seconds)


def _accept_and_drain(
    stage: Stage,
    web: Web,
    connections: tuple[int, ...],
    seconds: float,
    *,
    keys: bool = False,
    campaign: str = "",
) -> Iterator[Sample]:
    contender = web.contender
    wrk.run(web.url, connections=CONNECTIONS[0], seconds=WARM_UP, keys=keys, campaign=campaign)
    time.sleep(UNHEARD)
    if contender.queue:
        stage.purge(contender.queue)
    accepted = 0
    for count in connections:
        meter = Meter(stage, [web.child])
        load = wrk.run(web.url, connections=count, seconds=seconds, keys=keys, campaign=campaign)
        cpu = meter.per_thousand(load.accepted)
        accepted += load.accepted
        rss, total = usage.rss_megabytes(web.child)
        yield Sample(
            f"accept, {count} connections",
            contender.name,
            _seen(load) | cpu | {"rss_worker": rss, "rss": total},
        )
    if contender.drained:
        rate, cpu = _drain(stage, contender, web.database, accepted)
        yield Sample("drain", contender.name, {"rate": rate} | cpu)


def _drain(
    stage: Stage, contender: Contender, database: str, expected: int
) -> tuple[float, dict[str, float]]:
    """Start the workers and return the rate between the first and the last tenth, and the CPU used."""
    with Stored(stage, contender, database) as stored, stage.worker(contender, database) as worker:
        meter = Meter(stage, [worker])
        seen = stored.wait(expected, DRAIN_WITHIN)
        cpu = meter.per_thousand(expected)
        stored.confirm(expected)
        return _rate_of(seen), cpu


def _rate_of(seen: list[tuple[float, int]]) -> float:
    final = seen[-1][1]
    middle = [(moment, count) for moment, count in seen if RAMP * final <= count <= (1 - RAMP) * final]
    if len(middle) < 3:
        middle = [one for one in seen if one[1]][-3:] if len(seen) > 3 else seen
    (begun, first), (ended, last) = middle[0], middle[-1]
    return (last - first) / (ended - begun) if ended > begun else 0.0


def _sustained(stage: Stage, web: Web, worker: Child, stored: Stored, seconds: float) -> Sample:
    before = stored.rows()
    meter = Meter(stage, [web.child, worker])
    started = time.perf_counter()
    load = wrk.run(web.url, connections=CONNECTIONS[0], seconds=seconds)
    meanwhile = stored.rows() - before
    took = time.perf_counter() - started
    seen = stored.wait(before + load.accepted, DRAIN_WITHIN)
    cpu = meter.per_thousand(load.accepted)
    stored.confirm(before + load.accepted)
    values = {"stored": meanwhile / took, "until_stored": load.accepted / (seen[-1][0] - started)}
    return Sample("accept and store", web.contender.name, _seen(load) | cpu | values)


def _latency(web: Web, rate: int, seconds: float, seed: int) -> Sample:
    answers = open_model.run(web.port, rate=rate, seconds=seconds, seed=seed)
    values = {name: float(value) for name, value in asdict(answers).items()}
    values["rate"] = answers.answered / answers.seconds
    values["accepted"] = answers.answered - answers.refused
    values["errors"] = answers.refused + answers.sent - answers.answered
    return Sample(f"latency at {rate:,} requests/s", web.contender.name, values)


def _seen(load: wrk.Load) -> dict[str, float]:
    return {
        "rate": load.rate,
        "p50": load.p50,
        "p99": load.p99,
        "max": load.max,
        "errors": load.refused + load.broken,
    }


def compare(stage: Stage, contender: Contender, ids: Path) -> tuple[int, int]:
    """Compare the ids of all accepted requests with both databases: how many are missing, how many more are there."""
    promised = set(ids.read_text().split())
    with stage.sql(database_of(contender)) as connection:
        rows = {str(row[0]) for row in connection.execute("SELECT request_id FROM landing_submission")}
    with stage.mongo() as client:
        collection = client[database_of(contender)][contender.documents]
        documents = {str(one["_id"]) for one in collection.find({}, {"_id": 1})}
    if not promised:
        raise StageFailed("the burst has left no ids")
    return len(promised - (rows & documents)), len((rows | documents) - promised)
