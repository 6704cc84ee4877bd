"""docker/ha, black box: three machines with Compose, and one of them is lost.

    COMPOSE=1 pytest systemtests/test_three_machines.py

Each machine is a Compose project of the same engine, and a Docker network stands in for the private network. So
nothing here goes through a port on a private address: Docker lets no container reach another project's that way.
One PostgreSQL, one Redis and one MongoDB, on machine 3, stand in for the clusters that docs/high-availability.md asks
for.
"""

import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from systemtests.test_compose import free_port, random_phone, run, wait_until

pytestmark = pytest.mark.timeout(900)

NETWORK = "breakwater-ha-test"
PREFIX = "10.213.61."
HOSTS = {
    1: {"rabbitmq": 11, "web": 12, "nginx": 13},
    2: {"rabbitmq": 21, "web": 22},
    3: {"rabbitmq": 31, "worker": 32, "postgres": 33, "redis": 34, "mongodb": 35},
}
"""Machines, their services, and the last number of each one's address in the private network."""


class Machine:
    """A Compose project with the settings that docs/high-availability.md gives to a machine."""

    def __init__(self, number: int, folder: Path, port: int) -> None:
        override, env_file = folder / f"{number}.yml", folder / f"{number}.env"
        at_home = {
            name: {"networks": {"private_network": {"ipv4_address": f"{PREFIX}{last}"}}}
            for name, last in HOSTS[number].items()
        }
        private_network = {"private_network": {"external": True, "name": NETWORK}}
        override.write_text(json.dumps({"services": at_home, "networks": private_network}))
        overlays = [f"docker/ha/{role}.yml" for role in ("broker", "web", "worker", "lb")]
        settings = {
            "COMPOSE_FILE": ":".join(["docker-compose.yml", *overlays, str(override)]),
            "COMPOSE_PROJECT_NAME": f"breakwater-ha-test-{number}",
            "ENV_FILE": env_file,
            "SECRETS_DIR": folder / "secrets",
            "TAG": "test",
            "BACKEND_SUBNET": f"10.213.{61 + number}.0/24",
            "PRIVATE_ADDRESS": f"127.0.0.1{number}",
            "RABBITMQ_NODE": number,
            **{f"RABBITMQ_{one}": f"{PREFIX}{one}1" for one in HOSTS},
            f"RABBITMQ_{number}": "127.0.0.1",
            "RABBITMQ_HOST": ",".join(f"{PREFIX}{one}1" for one in HOSTS),
            "POSTGRES_HOST": f"{PREFIX}33",
            "REDIS_HOST": f"{PREFIX}34",
            "MONGODB_HOST": f"{PREFIX}35",
            "WEB_HOSTS": f"{PREFIX}12:8000,{PREFIX}22:8000",
            "TRUSTED_PROXIES": f"{PREFIX}13",
            "HTTP_ADDRESS": "127.0.0.1",
            "HTTP_PORT": port,
            "RATE_LIMIT": "off",
        }
        env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self.command = ["docker", "compose", "--env-file", str(env_file)]
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in settings and not name.startswith("COMPOSE")
        }

    def compose(self, *arguments: str, check: bool = True) -> Any:
        return run(*self.command, *arguments, env=self.environment, check=check)

    def up(self, *services: str) -> None:
        self.compose("up", "-d", "--wait", "--wait-timeout", "240", *services)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three machines after a first start, and an HTTP client of the balancer."""
    folder, port = tmp_path_factory.mktemp("machines"), free_port()
    run("docker/make_secrets.sh", env={**os.environ, "SECRETS_DIR": str(folder / "secrets")})
    first, second, third = machines = [Machine(number, folder, port) for number in HOSTS]
    try:
        run(
            "docker",
            "network",
            "create",
            "--subnet",
            f"{PREFIX}0/24",
            "--ip-range",
            f"{PREFIX}128/25",
            NETWORK,
        )
        first.compose("build", "web", "nginx")
        for machine in machines:
            machine.compose("up", "-d", "rabbitmq")
        for machine in machines:
            machine.up("rabbitmq")
        third.up("postgres", "redis", "mongodb")
        first.compose("run", "--rm", "-T", "migrate")
        third.up("worker")
        second.up("web")
        first.up("web", "nginx")
        with httpx.Client(base_url=f"http://localhost:{port}", trust_env=False, timeout=20) as http:
            yield machines, http
    finally:
        for machine in machines:
            machine.compose("down", "-v", check=False)
        run("docker", "network", "rm", NETWORK, check=False)


def members(machine: Machine) -> Any:
    """The nodes that have each queue."""
    ask = (
        "rabbitmqctl",
        "-q",
        "list_queues",
        "--vhost",
        "breakwater",
        "--formatter",
        "json",
        "name",
        "members",
    )
    return {
        one["name"]: one["members"] for one in json.loads(machine.compose("exec", "-T", "rabbitmq", *ask))
    }


def registered(http: Any) -> Any:
    """Register as the page does, with a key, and return the task_id."""
    key = {"Idempotency-Key": str(uuid4())}
    answer = http.post("/api/register/", json={"phone_number": random_phone()}, headers=key)
    assert answer.status_code == 202, answer.text
    return answer.json()["task_id"]


def assert_stored(http: Any, task_ids: Any) -> None:
    for one in task_ids:
        wait_until(lambda one=one: http.get(f"/api/register/{one}/").json()["status"] == "Registered")


def test_the_queue_has_a_member_on_each_machine(machines: Any) -> None:
    (first, *_), _ = machines
    assert sorted(members(first)["registrations"]) == [f"rabbit@rabbitmq-{number}" for number in HOSTS]


def test_a_web_that_is_stopped_is_passed_by(machines: Any) -> None:
    (_, second, _), http = machines
    second.compose("stop", "web")
    try:
        assert_stored(http, [registered(http) for _ in range(20)])
    finally:
        second.up("web")


def test_a_machine_that_is_lost_costs_no_registration(machines: Any) -> None:
    (_, second, _), http = machines
    before = [registered(http) for _ in range(20)]
    second.compose("kill")
    try:
        assert_stored(http, before + [registered(http) for _ in range(20)])
    finally:
        second.up("rabbitmq", "web")
