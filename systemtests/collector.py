"""A tiny OpenTelemetry collector: takes OTLP over HTTP and remembers every span. No product code."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import decompress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: dict[str, str]
    linked: frozenset[str]
    """The traces that it links to."""
    error: str
    """What went wrong, if anything."""


class Collector:
    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.url = ""

    def trace(self, request_id: str) -> list[Span]:
        """The spans of a registration, in the order in which they began."""
        mine = [span for span in self.spans if span.trace_id == request_id.replace("-", "")]
        return sorted(mine, key=lambda span: span.start)

    def take(self, body: bytes) -> None:
        for of_service in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _texts(of_service.resource.attributes)["service.name"]
            for scope in of_service.scope_spans:
                self.spans += [_span(service, raw) for raw in scope.spans]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a port of its own."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            collector.take(decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield collector
        server.shutdown()


def _span(service: str, raw: Any) -> Span:
    return Span(
        service,
        raw.name,
        raw.trace_id.hex(),
        raw.span_id.hex(),
        raw.parent_span_id.hex(),
        raw.start_time_unix_nano,
        raw.end_time_unix_nano,
        _texts(raw.attributes),
        frozenset(link.trace_id.hex() for link in raw.links),
        raw.status.message,
    )


def _texts(attributes: Any) -> dict[str, str]:
    return {one.key: one.value.string_value or str(one.value.int_value) for one in attributes}
