"""The state of the product in this moment, put together from the gauges and from what was counted."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from confirmations import campaigns
from dashboard.live import codes, copies, counters, orphans, probes
from dashboard.live.probes import Reading
from dashboard.live.reporter import Reporter
from landing.keeping import intake
from landing.page import branding
from landing.storing import backlog, lines
from landing.storing.backlog import Backlog
from lib import metrics

SILENT_AFTER = 10.0
"""Seconds after which a process that has said nothing is called silent."""
FORGOTTEN_AFTER = 120.0
"""Seconds after which it is not spoken of any more: it was stopped, or replaced after its end."""

_empty_at = time.time()
"""When this process last saw the queue empty, or began."""

REFUSED = "refused:"
LATENCY = "register_seconds"

# What a point has of codes, and what is counted for it. One whose outcome nobody knows counts as sent.
_CODES = {
    "codes_sent": ("codes_sent:accepted", "codes_sent:unknown"),
    "codes_typed": ("code_tries:confirmed",),
}

# In a bucket of the charts gauges stand beside the counts.
_SAMPLED = {"queue": "gauge:queue", "oldest": "gauge:oldest", "spool_rows": "gauge:spool_rows"}


def web_reporter() -> Reporter:
    """Return the reporter of a web process, which samples the gauges too."""
    return Reporter(
        "web",
        lambda: {"spools": intake.current().rabbitmq_outage.is_on, "spooled": probes.spooled()},
        sample,
        look,
    )


def look() -> None:
    """Note how far the workers are behind, for the visitors who ask this process after their registration."""
    readings = probes.read(["rabbitmq", "redis"])
    queue, redis = readings["rabbitmq"].values.get("queue"), readings["redis"].values
    global _empty_at  # noqa: PLW0603  one for the process
    if queue == 0:
        _empty_at = time.time()
    # This process's own look at an empty queue counts too: the shared mark is written by one process in ten seconds.
    since = _waiting_since(queue, redis, _empty_at)
    backlog.note(Backlog(min(since, default=None), _stored_up_to(redis) or None))


def now() -> dict[str, Any]:
    """Return the figures of this moment. What cannot be known, since its server is away, is None."""
    sends_codes = campaigns.any_confirms()
    asked = [*probes.SERVERS, *probes.COPIES, "webhooks", *([probes.COURIER] if sends_codes else [])]
    readings = probes.read(asked)
    figures = _figures(readings)
    states = {name: readings[name].state for name in probes.SERVERS}
    if states["rabbitmq"] == "ok" and figures["spooling"]:
        states["rabbitmq"] = "does not confirm"
    return {
        "time": time.time(),
        "counts": readings["redis"].values.get("totals"),
        "gauges": figures,
        "dependencies": states,
        "copies": _copies(readings),
        "processes": _processes(readings["redis"]),
        "degraded": degradations(states, figures),
        "campaigns": _campaigns(readings["redis"].values.get("totals")),
        "webhooks": readings["webhooks"].values,
        "codes": codes.figures(readings) if sends_codes else None,
    }


def degradations(states: Mapping[str, str], figures: Mapping[str, Any]) -> list[str]:
    """Return what is not as it should be: names of dependencies, and of troubles that no single probe sees.

    workers: none consumes. orphans: RabbitMQ has delivered messages that no worker has. standby: rows wait for
    PostgreSQL's synchronous standby.
    """
    found = [name for name, state in states.items() if state != "ok"]
    troubles = {
        "workers": figures["workers"] == 0,
        "orphans": bool(figures["orphans"]),
        "standby": bool(figures["waiting_for_standby"]),
    }
    return found + [name for name, holds in troubles.items() if holds]


def points(since: int) -> list[dict[str, Any]]:
    """Return the points of the charts that begin at `since` (a Unix time) or later. Raises counters.Unavailable."""
    return [point(start, counts) for start, counts in counters.hour(since).items()]


def point(start: int, counts: dict[str, int]) -> dict[str, Any]:
    """Return one point of the charts from what is known of its ten seconds: nothing, if nobody told anything."""
    known = bool(counts)
    refused = {
        name.removeprefix(REFUSED): count for name, count in counts.items() if name.startswith(REFUSED)
    }
    return {
        "start": start,
        "accepted": counted(counts, "accepted") if known else None,
        "stored": counts.get("stored", 0) if known else None,
        "refused": refused,
        "p50": metrics.quantile(counts, LATENCY, 0.5),
        "p99": metrics.quantile(counts, LATENCY, 0.99),
        **{name: counts.get(key) for name, key in _SAMPLED.items()},
        **_of_codes(counts),
    }


def _of_codes(counts: Mapping[str, int]) -> dict[str, int]:
    """Return what was sent and typed; nothing if nothing was, so that points without codes are no larger."""
    sums = {name: sum(counts.get(key, 0) for key in keys) for name, keys in _CODES.items()}
    return {name: count for name, count in sums.items() if count}


def latency() -> dict[str, float | None]:
    """Return p50 and p99 (seconds) of the registrations of the last minute. Raises counters.Unavailable."""
    together: dict[str, int] = {}
    for counts in counters.hour(int(time.time()) - 60).values():
        for field in metrics.buckets(LATENCY):
            together[field] = together.get(field, 0) + counts.get(field, 0)
    return {"p50": metrics.quantile(together, LATENCY, 0.5), "p99": metrics.quantile(together, LATENCY, 0.99)}


def counted(counts: Mapping[str, int], name: str) -> int:
    """Return the sum over all labels of what is counted under a name."""
    return sum(count for key, count in counts.items() if key.startswith(f"{name}:"))


def sample(bucket: int) -> None:
    """Write the gauges into a bucket, forget processes that ended, note an empty queue. Raises counters.Unavailable."""
    readings = probes.read([*probes.SERVERS, *probes.COPIES])
    figures = _figures(readings)
    known = {key: int(figures[name]) for name, key in _SAMPLED.items() if figures[name] is not None}
    said = readings["redis"].values.get("processes", {})
    if (unacknowledged := readings["copies rabbitmq"].values.get("unacknowledged")) is not None:
        known[orphans.GAUGE] = orphans.count(unacknowledged, [one for one in said.values() if _is_fresh(one)])
    if known:
        counters.sample(bucket, known)
    orphans.judge(time.time())
    counters.forget([name for name, one in said.items() if time.time() - one["at"] > FORGOTTEN_AFTER])
    if figures["queue"] == 0 and not _in_hand(said):
        counters.mark("empty_at", time.time())


def _figures(readings: Mapping[str, Reading]) -> dict[str, Any]:
    broker, redis = readings["rabbitmq"].values, readings["redis"].values
    said = redis.get("processes", {})
    spools = _spools(readings)
    return {
        "queue": broker.get("queue"),
        "dead_letters": broker.get("dead_letters"),
        "workers": broker.get("workers"),
        "oldest": _oldest(broker.get("queue"), redis, spools),
        "spool_rows": None if spools is None else sum(rows for rows, _, _ in spools.values()),
        "spool_bytes": None if spools is None else sum(size for _, size, _ in spools.values()),
        "parked": readings["postgresql"].values.get("parked"),
        "orphans": redis.get("orphans"),
        "waiting_for_standby": readings["copies postgresql"].values.get("waiting"),
        "spooling": any(one.get("spools") for one in said.values() if _is_fresh(one)),
    }


def _copies(readings: Mapping[str, Reading]) -> dict[str, dict[str, Any]]:
    """Return the copies of each server that told them."""
    known = {
        server: asdict(readings[probe].values["copies"])
        for probe, server in probes.COPIES.items()
        if readings[probe].ok
    }
    return known | {"spool": asdict(copies.spool())}


def _campaigns(totals: Mapping[str, int] | None) -> list[dict[str, Any]]:
    """Return each campaign that this web serves, or that gives numbers. What is not known is None."""
    known = lines.current()
    return [
        {
            "campaign": slug,
            "accepted": totals.get(f"campaign_accepted:{slug}", 0) if totals is not None else None,
            "stored": totals.get(f"campaign_stored:{slug}", 0) if totals is not None else None,
            **(known[slug].figures if slug in known else {}),
        }
        for slug in sorted({*branding.campaigns(), *known})
    ]


def _spools(readings: Mapping[str, Reading]) -> dict[str, Any] | None:
    """Return all spools by the names of their files, which web processes with one directory see alike."""
    if not readings["spool"].ok:
        return None
    spools: dict[str, Any] = {}
    for one in readings["redis"].values.get("processes", {}).values():
        if _is_fresh(one):
            spools |= one.get("spooled", {})
    return spools | dict(readings["spool"].values)


def _oldest(queue: int | None, redis: Mapping[str, Any], spools: Mapping[str, Any] | None) -> float | None:
    """Return for how long, in seconds, the oldest registration that is not stored has waited at most.

    A spool's first row and what workers have in hand say when they were accepted. The queue's head
    cannot be looked at without taking it out, but it came after the last that was stored, and after
    the last moment in which the queue was seen empty. A queue that cannot be asked may hold some.
    """
    if not redis:
        return None
    waiting = [accepted_at for _, _, accepted_at in (spools or {}).values()]
    waiting += _waiting_since(queue, redis)
    return max(0.0, time.time() - min(waiting)) if waiting else 0.0


def _waiting_since(queue: int | None, redis: Mapping[str, Any], empty_at: float = 0) -> list[float]:
    """Return when the oldest registrations in the workers' hands and in the queue were accepted at the earliest.

    empty_at: when the queue was last seen empty here; the marks have what any process has seen.
    """
    waiting = _in_hand(redis.get("processes", {}))
    earliest = max(empty_at, redis.get("marks", {}).get("empty_at", 0), _stored_up_to(redis))
    if queue != 0 and earliest:
        waiting.append(earliest)
    return waiting


def _stored_up_to(redis: Mapping[str, Any]) -> float:
    """Return when the newest stored registration was accepted (Unix time); 0 if Redis does not know."""
    said = [redis.get("marks", {}), *redis.get("processes", {}).values()]
    return max(float(one.get("stored_up_to", 0)) for one in said)


def _in_hand(said: Mapping[str, Any]) -> list[float]:
    return [one["in_hand"] for one in said.values() if one.get("in_hand") and _is_fresh(one)]


def _is_fresh(said: Mapping[str, Any]) -> bool:
    return bool(time.time() - said["at"] < SILENT_AFTER)


def _processes(redis: Reading) -> list[dict[str, Any]] | None:
    if not redis.ok:
        return None
    return sorted(_described(redis.values["processes"].items()), key=lambda one: one["name"])


def _described(said: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterable[dict[str, Any]]:
    for name, one in said:
        silent = time.time() - one["at"]
        if silent < FORGOTTEN_AFTER:
            held = time.time() - one["in_hand"] if one.get("in_hand") else None
            yield {
                "name": name,
                "role": one["role"],
                "silent": silent if silent > SILENT_AFTER else None,
                "held": held,
            }
