"""OpenTelemetry traces of registrations. Off, and nothing of it imported, until OTEL_EXPORTER_OTLP_ENDPOINT is set.

A registration's trace has its request_id as its trace id: both are 128 bits. So no context travels with a message,
a request_id leads to its trace, and a batch of 500 is 500 traces. What web and worker do for a whole group is
a trace of its own, whose span links to every registration in it, and back.

The exporter also reads OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_HEADERS.
"""

import atexit
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, wraps
from threading import Thread
from typing import TYPE_CHECKING, ParamSpec, TypeAlias, TypeVar
from uuid import UUID

from celery import signals
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from landing.keeping import queues
from landing.submission import Submission

ON = bool(settings.OTEL_EXPORTER_OTLP_ENDPOINT)

if TYPE_CHECKING or ON:
    try:
        from opentelemetry.context import Context
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
        from opentelemetry.trace import (
            Link,
            NonRecordingSpan,
            Span,
            SpanContext,
            SpanKind,
            Status,
            StatusCode,
            TraceFlags,
            set_span_in_context,
        )
    except ImportError as error:
        raise ImproperlyConfigured(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: pip install --no-deps -r locks/otel.txt"
        ) from error

P = ParamSpec("P")
T = TypeVar("T")
Arrivals = TypeVar("Arrivals", bound=Sequence[tuple[Submission, object]])

MOST_WAITING = 20_000
"""Spans of one process that wait to be sent. More are dropped: traces never hold up a registration."""
MOST_IN_ONE = 2_000
"""Spans in one request to the collector."""
SEND_EVERY = 1000.0
"""Milliseconds."""
LONGEST_SEND, LONGEST_END = 2.0, 3.0
"""Seconds for one request with all its tries, and for what is left when the process ends."""

_RANDOM = (1 << 56) - 1


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done for a whole batch: where, when (nanoseconds since 1970), and the error's name, if any."""

    name: str
    start: int
    end: int
    error: str = ""


Roots: TypeAlias = "list[tuple[Submission, SpanContext]]"

_steps: ContextVar[list[Step] | None] = ContextVar("steps", default=None)


def is_sampled(trace_id: int, share: float) -> bool:
    """Return whether a trace is among the share that is kept, the same in every process.

    As W3C Trace Context level 2 has it, by the last 56 bits; those of a request_id are random or a hash.
    """
    return trace_id & _RANDOM < share * (_RANDOM + 1)


def clock() -> int:
    """Return nanoseconds since 1970, or 0 while tracing is off."""
    return time.time_ns() if ON else 0


def accepted(batch: Sequence[Submission], home: str, since: int) -> None:
    """Tell that the web has kept a group in a home, having begun at a time of clock()."""
    if ON and (roots := _roots(batch)):
        _tell_accepted(roots, home, since, len(batch))


def batch(act: Callable[[Arrivals], T]) -> Callable[[Arrivals], T]:
    """Decorate what a worker does for a whole batch: submissions, each with something that we do not look at."""
    if not ON:
        return act

    @wraps(act)
    def traced(arrivals: Arrivals) -> T:
        steps: list[Step] = []
        token = _steps.set(steps)
        try:
            return _timed("process", steps.append, act, arrivals)
        finally:
            _steps.reset(token)
            *inner, whole = steps
            _tell_processed([submission for submission, _ in arrivals], whole, inner)

    return traced


def step(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate what is done for a whole batch in one database; outside a batch it is not told."""

    def decorate(act: Callable[P, T]) -> Callable[P, T]:
        if not ON:
            return act

        @wraps(act)
        def traced(*args: P.args, **kwargs: P.kwargs) -> T:
            steps = _steps.get()
            if steps is None:
                return act(*args, **kwargs)
            return _timed(name, steps.append, act, *args, **kwargs)

        return traced

    return decorate


def _timed(
    name: str, tell: Callable[[Step], None], act: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    start, error = time.time_ns(), ""
    try:
        return act(*args, **kwargs)
    except BaseException as failure:
        error = type(failure).__name__
        raise
    finally:
        tell(Step(name, start, time.time_ns(), error))


def _tell_accepted(roots: "Roots", home: str, since: int, count: int) -> None:
    spans, end = _spans("web"), time.time_ns()
    facts = _messaging("send") | {"breakwater.home": home}
    request: dict[str, str | int] = {"http.request.method": "POST", "http.response.status_code": 202}
    links = [root for _, root in roots]
    # Started first and ended last: its children name it in their links.
    group = spans.start(
        "send group", since, SpanKind.PRODUCER, facts | {"messaging.batch.message_count": count}, links=links
    )
    for submission, root in roots:
        began = int(submission.accepted_at.timestamp() * 1e9)
        spans.start("register", began, SpanKind.SERVER, request, own=root).end(end)
        spans.start("send", since, SpanKind.PRODUCER, facts, root, [group.get_span_context()]).end(end)
    group.end(end)


def _tell_processed(batch: Sequence[Submission], whole: Step, inner: Sequence[Step]) -> None:
    if not (roots := _roots(batch)):
        return
    spans, facts = _spans("worker"), _messaging("process")
    links = [root for _, root in roots]
    count = {"messaging.batch.message_count": len(batch)}
    group = spans.start("process batch", whole.start, SpanKind.CONSUMER, facts | count, links=links)
    for _, root in roots:
        one = spans.start("process", whole.start, SpanKind.CONSUMER, facts, root, [group.get_span_context()])
        spans.end(one, whole, inner)
    spans.end(group, whole, inner)


def _messaging(operation: str) -> dict[str, str | int]:
    return {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": queues.LIVE,
        "messaging.operation.type": operation,
    }


def _roots(batch: Sequence[Submission]) -> "Roots":
    """Return the sampled registrations, each with its first span. That has the last half of the request_id as its id."""
    traces = ((one, UUID(one.request_id).int) for one in batch)
    return [
        (one, _context(trace_id, trace_id & (1 << 64) - 1))
        for one, trace_id in traces
        if is_sampled(trace_id, settings.OTEL_TRACES_SAMPLER_ARG)
    ]


def _context(trace_id: int, span_id: int) -> "SpanContext":
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


_own: ContextVar["SpanContext | None"] = ContextVar("own", default=None)
"""The ids of the span that is being started, when they are not random: a registration's first one."""

if TYPE_CHECKING or ON:

    class Ids(RandomIdGenerator):
        """Gives a registration's first span the ids that follow from its request_id, and all others random ones."""

        def generate_trace_id(self) -> int:
            """Return the id of a trace that begins."""
            own = _own.get()
            return own.trace_id if own else super().generate_trace_id()

        def generate_span_id(self) -> int:
            """Return the id of a span that begins."""
            own = _own.get()
            return own.span_id if own else super().generate_span_id()


class Spans:
    """Makes the spans of one service, and hands finished ones to a thread that sends them."""

    def __init__(self, service: str) -> None:
        address = f"{settings.OTEL_EXPORTER_OTLP_ENDPOINT.rstrip('/')}/v1/traces"
        exporter = OTLPSpanExporter(address, timeout=LONGEST_SEND)
        # Which traces are kept is decided by is_sampled(), before anything is made.
        self._provider = TracerProvider(
            ALWAYS_ON,
            Resource.create({"service.name": f"breakwater-{service}"}),
            shutdown_on_exit=False,
            id_generator=Ids(),
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, MOST_WAITING, SEND_EVERY, MOST_IN_ONE))
        self._tracer = self._provider.get_tracer("breakwater")
        atexit.register(self._send_the_last)
        # A process of Celery's pool ends without atexit.
        signals.worker_process_shutdown.connect(self._send_the_last)

    def start(
        self,
        name: str,
        since: int,
        kind: "SpanKind",
        attributes: Mapping[str, str | int],
        parent: "SpanContext | None" = None,
        links: "Sequence[SpanContext]" = (),
        own: "SpanContext | None" = None,
    ) -> "Span":
        """Return a span that began at a time of clock(). own: its ids, for the first of a trace."""
        token = _own.set(own)
        try:
            return self._tracer.start_span(
                name,
                # An empty context, not the current one: only what is named here is a parent.
                set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context(),
                kind,
                attributes,
                [Link(one) for one in links],
                start_time=since,
            )
        finally:
            _own.reset(token)

    def end(self, span: "Span", whole: Step, inner: Sequence[Step]) -> None:
        """End the span of a batch, with a span inside for each step in a database."""
        for step in inner:
            facts = {"db.system.name": step.name}
            _finish(self.start(step.name, step.start, SpanKind.CLIENT, facts, span.get_span_context()), step)
        _finish(span, whole)

    def _send_the_last(self, **_: object) -> None:
        # The processor would go on for 30 s; a collector that is away must not hold up a stop.
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(LONGEST_END)


def _finish(span: "Span", step: Step) -> None:
    if step.error:
        span.set_status(Status(StatusCode.ERROR, step.error))
    span.end(step.end)


@cache
def _spans(service: str) -> Spans:
    return Spans(service)
