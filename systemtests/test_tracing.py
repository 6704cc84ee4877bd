"""One trace for each registration, though web and worker handle many at once."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from systemtests.collector import collecting
from systemtests.stack import Stack, eventually, family_of

WAY = ["register", "send", "process", "postgresql", "mongodb", "redis"]


class TracedStack(Stack):
    """A stack that somebody has started with OTEL_EXPORTER_OTLP_ENDPOINT set."""

    endpoint = ""

    @property
    def shell(self) -> Any:
        # The spans are those of the way through RabbitMQ.
        return super().shell | {"OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint, "SPOOL_SHARE": "0"}


@pytest.fixture(scope="module")
def collector() -> Any:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(collector: Any) -> Any:
    stack = TracedStack(Path(tempfile.mkdtemp(prefix="breakwater-traced-")).resolve())
    stack.endpoint = collector.url
    stack.start()
    yield stack
    assert stack.interrupt() == 0, stack.output.read_text()
    shutil.rmtree(stack.state_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def request_ids(traced: Any, collector: Any) -> Any:
    """What fifty visitors at once were given. The first waits for a silent Redis, so the others form a group."""
    with traced.paused("redis"), ThreadPoolExecutor(50) as crowd:
        receipts = list(crowd.map(lambda _: traced.register(), range(50)))
    assert {receipt.status_code for receipt in receipts} == {202}
    request_ids = [receipt.json()["request_id"] for receipt in receipts]
    eventually(lambda: all(len(collector.trace(one)) >= len(WAY) for one in request_ids), within=40)
    return request_ids


def test_each_registration_of_a_batch_has_a_trace_of_its_own_from_web_to_databases(
    collector: Any, request_ids: Any
) -> None:
    for request_id in request_ids:
        spans = collector.trace(request_id)
        assert [span.name for span in spans] == WAY
        assert [span.service for span in spans] == ["breakwater-web"] * 2 + ["breakwater-worker"] * 4


def test_a_trace_is_one_tree(collector: Any, request_ids: Any) -> None:
    for request_id in request_ids:
        by_name = {span.name: span for span in collector.trace(request_id)}
        root, process = by_name["register"], by_name["process"]
        assert root.parent_id == ""
        assert by_name["send"].parent_id == process.parent_id == root.span_id
        assert {by_name[name].parent_id for name in WAY[3:]} == {process.span_id}
        assert all(span.start <= span.end for span in by_name.values())


def test_the_span_of_a_batch_links_to_its_registrations_and_they_to_it(
    collector: Any, request_ids: Any
) -> None:
    trace_ids = {request_id.replace("-", "") for request_id in request_ids}
    for one, many in (("send", "send group"), ("process", "process batch")):
        groups = [span for span in collector.spans if span.name == many and span.linked & trace_ids]
        assert sum(len(group.linked) for group in groups) == len(trace_ids)  # each in one group
        assert max(len(group.linked) for group in groups) > 1
        for group in groups:
            assert int(group.attributes["messaging.batch.message_count"]) == len(group.linked)
            for trace_id in group.linked:
                [member] = [span for span in collector.trace(trace_id) if span.name == one]
                assert member.linked == {group.trace_id}


def test_no_span_holds_anything_personal(collector: Any, request_ids: Any) -> None:
    named = {name for span in collector.spans for name in span.attributes}
    assert named == {
        "http.request.method",
        "http.response.status_code",
        "messaging.system",
        "messaging.destination.name",
        "messaging.operation.type",
        "messaging.batch.message_count",
        "breakwater.home",
        "db.system.name",
    }


@pytest.mark.usefixtures("request_ids")  # they have their connections before the server dies
def test_a_try_that_failed_is_in_the_trace_with_its_error(traced: Any, collector: Any) -> None:
    traced.kill(*family_of(traced.leader("postgres")))
    request_id = traced.register().json()["request_id"]
    eventually(lambda: "redis" in [span.name for span in collector.trace(request_id)], within=40)
    *failed, last = [span for span in collector.trace(request_id) if span.name == "postgresql"]
    assert last.error == ""
    assert {span.error for span in failed} <= {"OperationalError", "InterfaceError"}
    assert failed
