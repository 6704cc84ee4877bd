"""/metrics: every figure of the product in Prometheus's text format, whichever process is asked.

Written by hand: the counts come from Redis, where all processes add them up, and not from the
registry of this process, which is what prometheus_client would write.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dashboard.live import snapshot
from lib import metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "breakwater_"

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class Metric:
    """One metric: its name there, its kind, what it means, and its label with the values that are always shown.

    Those that matter are shown from the beginning, at 0: a series that begins at 1 has no rise for `rate` to see.
    """

    name: str
    kind: Kind
    meaning: str
    label: str = ""
    values: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return the name under which it is counted."""
        return self.name.removeprefix(PREFIX).removesuffix("_total")


def _counter(key: str, meaning: str, label: str = "", *values: str) -> Metric:
    return Metric(f"{PREFIX}{key}_total", "counter", meaning, label, values)


def _gauge(key: str, meaning: str, label: str = "") -> Metric:
    return Metric(f"{PREFIX}{key}", "gauge", meaning, label)


def _histogram(key: str, meaning: str) -> Metric:
    return Metric(f"{PREFIX}{key}", "histogram", meaning)


COUNTED = (
    _counter("accepted", "Registrations answered 202, by what kept them.", "home", "rabbitmq", "spool"),
    _counter(
        "refused",
        "Registrations refused, by the code of the problem.",
        "reason",
        "internal",
        "invalid_phone",
        "rate_limited",
        "unavailable",
    ),
    _counter("drained", "Registrations brought from a spool to RabbitMQ."),
    _counter("stored", "Registrations stored in PostgreSQL; one that is delivered twice counts twice."),
    _counter("documents", "Request logs, by where they went: MongoDB, or parked.", "to", "mongodb", "parked"),
    _counter(
        "dead_lettered",
        "Registrations put aside by a worker, by why.",
        "reason",
        "malformed",
        "refused by PostgreSQL",
        "unreadable",
    ),
    _counter("redelivered", "Batches that RabbitMQ handed out again."),
    _counter("limited_without_redis", "Registrations whose rate limit one process decided by itself."),
    _counter("log_lines_dropped", "Lines of the log that nobody took in time, or that could not be written."),
    _histogram("register_seconds", "From the arrival of POST /api/register/ to its answer, whatever it was."),
    _histogram("confirm_seconds", "From publishing a group to RabbitMQ's confirm."),
    _histogram("store_seconds", "Storing one batch in PostgreSQL."),
)
READ = (
    _gauge("queue_messages", "Messages ready in the queue `registrations`; each is a batch."),
    _gauge("dead_letters", "Messages in the queue `registrations.dead`."),
    _gauge("workers", "Consumers of the queue `registrations`, as RabbitMQ counts them."),
    _gauge(
        "oldest_waiting_seconds", "How long the oldest registration that is not stored has waited at most."
    ),
    _gauge("spool_rows", "Registrations in the spools."),
    _gauge("spool_bytes", "Bytes that the spools' files take, those that hold anything."),
    _gauge("parked_documents", "Request logs that wait for MongoDB; 10,000 stands for more, too."),
    _gauge("processes", "Processes that have lately told that they live.", "role"),
    _gauge("dependency_up", "1 if it answers and works, else 0.", "dependency"),
)
METRICS = (*COUNTED, *READ)

_FIGURES = {
    "queue_messages": "queue",
    "dead_letters": "dead_letters",
    "workers": "workers",
    "oldest_waiting_seconds": "oldest",
    "spool_rows": "spool_rows",
    "spool_bytes": "spool_bytes",
    "parked_documents": "parked",
}


def text() -> str:
    """Return all that is known now. What cannot be known, since its server is away, is left out."""
    now = snapshot.now()
    lines = [
        line
        for metric in METRICS
        if (samples := list(_samples(metric, now)))
        for line in (*_head(metric), *samples)
    ]
    return "\n".join(lines) + "\n"


def _head(metric: Metric) -> tuple[str, str]:
    return f"# HELP {metric.name} {metric.meaning}", f"# TYPE {metric.name} {metric.kind}"


def _samples(metric: Metric, now: Mapping[str, Any]) -> Iterable[str]:
    counts = now["counts"]
    if metric in COUNTED:
        if counts is None:
            return []
        return _buckets(metric, counts) if metric.kind == "histogram" else _counts(metric, counts)
    if metric.key == "dependency_up":
        up = {name: int(state == "ok") for name, state in now["dependencies"].items()}
        return _labelled(metric, up)
    if metric.key == "processes":
        return _labelled(metric, _processes(now["processes"] or []))
    value = now["gauges"][_FIGURES[metric.key]]
    return [] if value is None else [f"{metric.name} {value:g}"]


def _counts(metric: Metric, counts: Mapping[str, int]) -> Iterable[str]:
    if not metric.label:
        return [f"{metric.name} {counts.get(metric.key, 0)}"]
    found = {
        key.partition(":")[2]: count for key, count in counts.items() if key.startswith(f"{metric.key}:")
    }
    return _labelled(metric, dict.fromkeys(metric.values, 0) | found)


def _labelled(metric: Metric, values: Mapping[str, int]) -> Iterable[str]:
    return [f'{metric.name}{{{metric.label}="{_escaped(name)}"}} {values[name]}' for name in sorted(values)]


def _buckets(metric: Metric, counts: Mapping[str, int]) -> Iterator[str]:
    *fields, total = metrics.buckets(metric.key)
    so_far = 0
    for bound, field in zip([*map("{:g}".format, metrics.BOUNDS), "+Inf"], fields, strict=True):
        so_far += counts.get(field, 0)
        yield f'{metric.name}_bucket{{le="{bound}"}} {so_far}'
    yield f"{metric.name}_sum {counts.get(total, 0) / 1_000_000:.6f}"
    yield f"{metric.name}_count {so_far}"


def _processes(processes: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    alive = {"web": 0, "worker": 0}
    for one in processes:
        if one["silent"] is None:
            alive[one["role"]] = alive.get(one["role"], 0) + 1
    return alive


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
