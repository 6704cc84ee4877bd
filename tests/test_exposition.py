"""/metrics: its format, who may ask, and that the docs, the dashboard and the alerts know its names."""

import asyncio
import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from redis import Redis

from campaigns.line import Line
from config import scrape
from confirmations.line import Line as CodeLine
from courier import health
from courier.health import Health
from dashboard.live import counters, exposition, probes
from landing.storing import lines
from lib import metrics
from local.servers import Servers
from tests.test_outages import without

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parent.parent
NAME = re.compile(r"breakwater_[a-z_]+")
SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="(?:[^"\\]|\\.)*"\})? (?:[0-9.e+-]+|\+Inf)')


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test is told what another was."""
    monkeypatch.setattr(probes, "FRESH", 0)
    metrics.take()


@pytest.fixture
def _counted(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(settings, "SENDS_CODES", True)
    told = CodeLine(waiting=1, here=1, at=time.time())
    Redis.from_url(settings.REDIS_URL).set("codes:line", told.to_json())
    for name in ("accepted:spool", "refused:rate_limited", "dead_lettered:malformed", "stored"):
        metrics.count(name, 3)
    for seconds in (0.004, 0.004, 100):
        metrics.observe("register_seconds", seconds)
    counters.Adder().flush()
    lines.note({"gala": Line(last_number=3).with_capacity(2)})
    # Not rows: a probe asks in a thread of its own, and sees nothing of this test's transaction.
    crm = Health("crm", True, True, 7, None, None, 3, datetime.now(UTC) - timedelta(seconds=90), 1)
    monkeypatch.setattr(health, "of_all", lambda: [crm])
    yield
    lines.note({})


def scraped() -> Any:
    """The samples of an answer, by name and labels."""
    lines = exposition.text().decode().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert all(SAMPLE.fullmatch(sample) for sample in samples)
    return {name: float(value) for name, value in (sample.rsplit(" ", 1) for sample in samples)}


def names(texts: dict[str, Any] | list[str]) -> Any:
    """The metrics that are named in texts; a histogram has three names."""
    found = {name for text in texts for name in NAME.findall(text)}
    return {re.sub(r"_seconds_(bucket|sum|count)$", "_seconds", name) for name in found}


@pytest.mark.usefixtures("_counted")
def test_what_waits_for_a_webhook_is_told() -> None:
    found = scraped()
    assert found['breakwater_webhook_waiting{webhook="crm"}'] == 3
    assert 90 <= found['breakwater_webhook_oldest_seconds{webhook="crm"}'] < 100
    assert found['breakwater_webhook_failed{webhook="crm"}'] == 1
    assert found['breakwater_webhook_paused{webhook="crm"}'] == 1
    assert found["breakwater_events_untaken_seconds"] == 0


@pytest.mark.usefixtures("_counted")
def test_what_was_counted_is_told() -> None:
    found = scraped()
    assert found['breakwater_accepted_total{home="spool"}'] == 3
    assert found['breakwater_accepted_total{home="rabbitmq"}'] == 0
    assert found['breakwater_refused_total{reason="rate_limited"}'] == 3
    assert found['breakwater_register_seconds_bucket{le="0.003"}'] == 0
    assert found['breakwater_register_seconds_bucket{le="0.005"}'] == 2
    assert found['breakwater_register_seconds_bucket{le="+Inf"}'] == 3
    assert found["breakwater_register_seconds_count"] == 3
    assert found["breakwater_register_seconds_sum"] == 100.008
    assert found["breakwater_queue_messages"] == 0
    assert found['breakwater_dependency_up{dependency="redis"}'] == 1


@pytest.mark.usefixtures("_counted")
@pytest.mark.parametrize("path", ["deploy/grafana/breakwater.json", "deploy/prometheus/alerts.yaml"])
def test_dashboard_and_alerts_use_names_that_are_really_told(path: str) -> None:
    used = names([(ROOT / path).read_text()])
    assert used
    assert used <= names(scraped())


@pytest.mark.usefixtures("_counted")
def test_the_docs_list_exactly_what_is_told() -> None:
    listed = re.findall(
        r"^\| `(breakwater_[a-z_]+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
    )
    assert set(listed) == names(scraped())
    assert listed == re.findall(r"^# TYPE (\S+)", exposition.text().decode(), re.MULTILINE)


def test_the_dashboard_and_the_alerts_can_be_read() -> None:
    panels = json.loads((ROOT / "deploy/grafana/breakwater.json").read_text())["panels"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    [group] = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    assert all({"alert", "expr", "labels", "annotations"} <= set(rule) for rule in group["rules"])


def test_without_redis_the_counts_are_left_out_and_the_rest_is_told(servers: Servers) -> None:
    with without(servers.redis):
        found = scraped()
    assert found['breakwater_dependency_up{dependency="redis"}'] == 0
    assert found['breakwater_dependency_up{dependency="postgresql"}'] == 1
    assert found["breakwater_queue_messages"] == 0
    assert "breakwater_stored_total" not in found


def test_a_label_cannot_break_out_of_its_line() -> None:
    metrics.count('refused:"} 1\nbreakwater_stored_total 99\\')
    counters.Adder().flush()
    assert scraped()["breakwater_stored_total"] == 0


def asked(peer: str | None, *headers: Any, method: Any = "GET") -> Any:
    scope = {"method": method, "client": peer and (peer, 5000), "headers": headers}
    return asyncio.run(scrape.metrics(scope))


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "10.4.5.6", "::ffff:192.168.1.1"])
def test_an_internal_address_is_answered(peer: str) -> None:
    assert asked(peer).status == 200


@pytest.mark.parametrize("peer", ["203.0.113.9", "2001:db8::1", "::ffff:8.8.8.8", "", "nonsense", None])
def test_an_outside_address_finds_nothing(peer: str | None) -> None:
    assert asked(peer) is None
    assert asked(peer, (b"x-forwarded-for", b"127.0.0.1")) is None


@pytest.mark.parametrize("header", [b"x-forwarded-for", b"forwarded", b"via"])
def test_what_a_proxy_passes_on_finds_nothing(header: bytes) -> None:
    assert asked("127.0.0.1", (header, b"127.0.0.1")) is None


def test_the_default_networks_are_loopback_and_private_ones() -> None:
    inside = ["127.0.0.1", "::1", "10.1.2.3", "172.16.0.9", "192.168.1.1", "fd00::1"]
    assert [peer for peer in inside if peer not in settings.METRICS_NETWORKS] == []
    assert "8.8.8.8" not in settings.METRICS_NETWORKS
