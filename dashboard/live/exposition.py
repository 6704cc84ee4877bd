"""/metrics: every figure of the product in Prometheus's text format, whichever process is asked.

The counts come from Redis, where all processes add them up, not from a registry of this process
(docs/adr/0007): so they are collected anew at each scrape.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector

from confirmations.line import Line
from dashboard.live import codes, snapshot
from lib import metrics

__all__ = ["CONTENT_TYPE", "text"]

PREFIX = "breakwater_"


@dataclass(frozen=True)
class Counter:
    """What is counted under a key, what it means, and its label with the values that are always shown.

    Those that matter are shown from the beginning, at 0: a series that begins at 1 has no rise for `rate` to see.
    """

    key: str
    meaning: str
    label: str = ""
    values: tuple[str, ...] = ()


COUNTERS = (
    Counter("accepted", "Registrations answered 202, by what kept them.", "home", ("rabbitmq", "spool")),
    Counter(
        "refused",
        "Registrations refused, by the code of the problem.",
        "reason",
        ("internal", "invalid_phone", "rate_limited", "unavailable"),
    ),
    Counter("drained", "Registrations brought from a spool to RabbitMQ."),
    Counter("stored", "Registrations stored in PostgreSQL; one that is delivered twice counts twice."),
    Counter("campaign_accepted", "Registrations answered 202, by campaign.", "campaign", ("default",)),
    Counter(
        "campaign_stored",
        "Registrations stored, by campaign; beyond a hundred of them: other.",
        "campaign",
        ("default",),
    ),
    Counter(
        "documents", "Request logs, by where they went: MongoDB, or parked.", "to", ("mongodb", "parked")
    ),
    Counter(
        "dead_lettered",
        "Registrations put aside by a worker, by why.",
        "reason",
        ("malformed", "refused by PostgreSQL", "unreadable"),
    ),
    Counter("codes_asked", "Questions for a code that a worker has put into the line."),
    Counter(
        "codes_sent",
        "Codes given to a gateway, by what it said. unknown counts as sent.",
        "outcome",
        ("accepted", "not_sent", "refused", "stop", "unknown"),
    ),
    Counter(
        "code_tries",
        "Codes that were typed, by the verdict.",
        "verdict",
        ("confirmed", "late", "locked", "wrong"),
    ),
    Counter(
        "webhook_calls",
        "Calls to receivers of webhooks, by what came of them.",
        "outcome",
        ("delivered", "failed"),
    ),
    Counter("redelivered", "Batches that RabbitMQ handed out again."),
    Counter("limited_without_redis", "Registrations whose rate limit one process decided by itself."),
    Counter(
        "let_in_by_proof",
        "Registrations that the rate limit did not count, since a proof of work came with them.",
    ),
    Counter("log_lines_dropped", "Lines of the log that nobody took in time, or that could not be written."),
)
HISTOGRAMS = {
    "register_seconds": "From the arrival of POST /api/register/ to its answer, whatever it was.",
    "confirm_seconds": "From publishing a group to RabbitMQ's confirm.",
    "store_seconds": "Storing one batch in PostgreSQL.",
    "code_gateway_seconds": "One call to a gateway for SMS.",
    "webhook_seconds": "One call to a receiver of a webhook.",
}
GAUGES = {
    "queue_messages": ("queue", "Messages ready in the queue `registrations`; each is a batch."),
    "dead_letters": ("dead_letters", "Messages in the queue `registrations.dead`."),
    "workers": ("workers", "Consumers of the queue `registrations`, as RabbitMQ counts them."),
    "oldest_waiting_seconds": (
        "oldest",
        "How long the oldest registration that is not stored has waited at most.",
    ),
    "spool_rows": ("spool_rows", "Registrations in the spools."),
    "spool_bytes": ("spool_bytes", "Bytes that the spools' files take, those that hold anything."),
    "orphaned_messages": ("orphans", "Messages that RabbitMQ has delivered and that no worker has."),
    "waiting_for_standby": (
        "waiting_for_standby",
        "Sessions of PostgreSQL that wait for a synchronous standby.",
    ),
    "parked_documents": ("parked", "Request logs that wait for MongoDB; 10,000 stands for more, too."),
}

PLACES = {
    "capacity": "Places of a campaign.",
    "numbered": "Registrations of a campaign that have a number.",
    "placed": "Registrations of a campaign that have a place.",
    "waiting": "Registrations of a campaign that wait for a place.",
}


WEBHOOKS = {
    "waiting": ("webhook_waiting", "Messages that wait for a webhook's receiver."),
    "oldest": ("webhook_oldest_seconds", "How long the oldest of them has waited; 0 if none does."),
    "failed": ("webhook_failed", "Messages that have failed for good, and are kept."),
    "is_paused": ("webhook_paused", "1 if the receiver has answered 410 Gone and is left alone."),
}

CODES: dict[str, tuple[str, Callable[[Line], float]]] = {
    "codes_waiting": ("Questions for a code that wait.", lambda line: line.waiting),
    "codes_here": ("Those of them whose page has spoken within 30 seconds.", lambda line: line.here),
    "code_wait_seconds": ("How long somebody who asks now would wait.", lambda line: line.wait_of_next()),
    "code_parts_today": ("Parts of SMS that are paid for today.", lambda line: line.parts),
    "code_budget": (
        "The most parts of SMS that are paid for in a day; 0: not set.",
        lambda _: settings.CODE_BUDGET,
    ),
    "codes_held": (
        "1 while codes are held up by the switch, the budget or the gateway.",
        lambda line: line.held_by != "",
    ),
}


def text() -> bytes:
    """Return all that is known now. What cannot be known, since its server is away, is left out."""
    return generate_latest(_registry)


class Figures(Collector):
    """Reads the live figures at each scrape."""

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, in the order of docs/metrics.md."""
        now = snapshot.now()
        if (counts := now["counts"]) is not None:
            yield from (_counted(counter, counts) for counter in COUNTERS)
            yield from (_timed(key, meaning, counts) for key, meaning in HISTOGRAMS.items())
        for key, (figure, meaning) in GAUGES.items():
            if (value := now["gauges"][figure]) is not None:
                yield GaugeMetricFamily(PREFIX + key, meaning, value=value)
        yield from _codes(is_redis_up=counts is not None)
        yield from _campaigns(now["campaigns"])
        yield from _webhooks(now["webhooks"])
        yield from _copies(now["copies"])
        yield _alive(now["processes"] or [])
        yield _up(now["dependencies"])


def _counted(counter: Counter, counts: Mapping[str, int]) -> Metric:
    name = PREFIX + counter.key
    if not counter.label:
        return CounterMetricFamily(name, counter.meaning, value=counts.get(counter.key, 0))
    found = {
        key.partition(":")[2]: count for key, count in counts.items() if key.startswith(f"{counter.key}:")
    }
    family = CounterMetricFamily(name, counter.meaning, labels=[counter.label])
    for value, count in sorted((dict.fromkeys(counter.values, 0) | found).items()):
        family.add_metric([value], count)
    return family


def _timed(key: str, meaning: str, counts: Mapping[str, int]) -> Metric:
    *fields, total = metrics.buckets(key)
    so_far, buckets = 0, []
    for bound, field in zip([*map("{:g}".format, metrics.BOUNDS), "+Inf"], fields, strict=True):
        so_far += counts.get(field, 0)
        buckets.append((bound, so_far))
    return HistogramMetricFamily(PREFIX + key, meaning, buckets, sum_value=counts.get(total, 0) / 1_000_000)


def _alive(processes: Iterable[Mapping[str, Any]]) -> Metric:
    alive = {"web": 0, "worker": 0} | ({"courier": 0} if settings.SENDS_CODES else {})
    for one in processes:
        if one["silent"] is None:
            alive[one["role"]] = alive.get(one["role"], 0) + 1
    family = GaugeMetricFamily(
        f"{PREFIX}processes", "Processes that have lately told that they live.", labels=["role"]
    )
    for role, count in alive.items():
        family.add_metric([role], count)
    return family


def _codes(*, is_redis_up: bool) -> Iterator[Metric]:
    """Yield the line for codes, empty where no courier works. A Redis that is away is not waited for again."""
    line = codes.told_line() if settings.SENDS_CODES and is_redis_up else None
    for name, (meaning, value) in CODES.items():
        family = GaugeMetricFamily(PREFIX + name, meaning, labels=[])
        if line:
            family.add_metric([], value(line))
        yield family


def _campaigns(campaigns: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    for name, meaning in PLACES.items():
        family = GaugeMetricFamily(f"{PREFIX}campaign_{name}", meaning, labels=["campaign"])
        for one in campaigns:
            if one.get(name) is not None:
                family.add_metric([one["campaign"]], one[name])
        yield family


def _webhooks(told: Mapping[str, Any]) -> Iterator[Metric]:
    for figure, (name, meaning) in WEBHOOKS.items():
        family = GaugeMetricFamily(PREFIX + name, meaning, labels=["webhook"])
        for one in told.get("webhooks", []):
            family.add_metric([one["name"]], float(one[figure]))
        yield family
    family = GaugeMetricFamily(
        f"{PREFIX}events_untaken_seconds", "How long the oldest event waits for a courier.", labels=[]
    )
    if "untaken" in told:
        family.add_metric([], told["untaken"])
    yield family


def _copies(copies: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    meanings = {
        "copies": "On how many disks what the server has acknowledged is, at the least.",
        "members_missing": "Servers that should have a copy and are away.",
    }
    for name, meaning in meanings.items():
        family = GaugeMetricFamily(PREFIX + name, meaning, labels=["server"])
        for server, one in sorted(copies.items()):
            family.add_metric([server], one["disks" if name == "copies" else "missing"])
        yield family


def _up(states: Mapping[str, str]) -> Metric:
    family = GaugeMetricFamily(
        f"{PREFIX}dependency_up", "1 if it answers and works, else 0.", labels=["dependency"]
    )
    for name, state in sorted(states.items()):
        family.add_metric([name], int(state == "ok"))
    return family


_registry = CollectorRegistry(auto_describe=False)
_registry.register(Figures())
