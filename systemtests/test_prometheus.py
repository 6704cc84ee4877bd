"""A real Prometheus reads /metrics, judges by the alerts, and answers whatever the dashboard asks."""

import json
import subprocess
from typing import Any

import httpx
import pytest

from systemtests.stack import ROOT, Stack, eventually, free_port

DASHBOARD = json.loads((ROOT / "deploy/grafana/breakwater.json").read_text())
QUESTIONS = sorted({target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]})


class Prometheus:
    """What its API tells."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **parameters: Any) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, trust_env=False).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def has_read(self) -> Any:
        try:
            httpx.get(f"{self.url}/-/ready", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            return False
        return [one["health"] for one in self.ask("targets")["activeTargets"]] == ["up"]

    def rules(self) -> Any:
        [group] = self.ask("rules")["groups"]
        return group["rules"]


@pytest.fixture(scope="module")
def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("prometheus")
    settings = directory / "prometheus.json"  # JSON is YAML too
    job = {"job_name": "breakwater", "static_configs": [{"targets": [stack.url.removeprefix("http://")]}]}
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    rules = [str(ROOT / "deploy/prometheus/alerts.yaml")]
    settings.write_text(json.dumps({"global": every, "rule_files": rules, "scrape_configs": [job]}))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={settings}", f"--web.listen-address={address}"]
    with (directory / "output").open("wb") as out:
        process = subprocess.Popen(
            [*command, f"--storage.tsdb.path={directory}/data"], stdout=out, stderr=out
        )
    prometheus = Prometheus(f"http://{address}")
    try:
        eventually(prometheus.has_read, within=30)
        yield prometheus
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_dashboards_questions_have_an_answer(prometheus: Any, question: Any) -> None:
    eventually(lambda: prometheus.ask("query", query=question)["result"])


def test_every_alert_is_judged(prometheus: Any) -> None:
    eventually(lambda: all(rule["health"] == "ok" for rule in prometheus.rules()))


def test_a_server_that_is_away_raises_its_alert(prometheus: Any, stack: Stack) -> None:
    with stack.paused("redis"):
        [alert] = eventually(
            lambda: [
                alert for alert in prometheus.ask("alerts")["alerts"] if alert["labels"].get("dependency")
            ],
            within=40,
        )
    assert alert["labels"]["alertname"] == "BreakwaterDependencyDown"
    assert alert["labels"]["dependency"] == "redis"
    assert alert["annotations"]["summary"] == "redis does not answer."
