"""docker/ha: what Compose makes of docker-compose.yml and each overlay. It needs Docker's client, and no engine."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

if subprocess.run(["sh", "-c", "docker compose version"], capture_output=True, check=False).returncode:
    pytest.skip("needs Docker's client with the compose plugin", allow_module_level=True)

SETTINGS = {
    "PRIVATE_ADDRESS": "10.0.0.11",
    "RABBITMQ_NODE": "1",
    "RABBITMQ_1": "127.0.0.1",
    "RABBITMQ_2": "10.0.0.12",
    "RABBITMQ_3": "10.0.0.13",
    "RABBITMQ_HOST": "10.0.0.11,10.0.0.12,10.0.0.13",
    "RABBITMQ_MANAGEMENT_URL": "http://10.0.0.11:15672,http://10.0.0.12:15672",
    "POSTGRES_HOST": "10.0.0.21,10.0.0.22",
    "REDIS_HOST": "10.0.0.31",
    "MONGODB_HOST": "10.0.0.41",
    "TRUSTED_PROXIES": "10.0.0.11,10.0.0.12",
    "WEB_HOSTS": "web:8000,10.0.0.12:8000",
}
"""Of the first machine."""


APPS = ("web", "worker", "migrate", "flower", "toolbox")


def compose(folder: Path, *roles: str, without: str = "") -> Any:
    """Let Compose merge the overlays of these roles, with all settings but one."""
    env_file = folder / "env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in SETTINGS.items() if name != without))
    command = [
        "docker",
        "compose",
        "--env-file",
        str(env_file),
        "--profile",
        "toolbox",
        "-f",
        "docker-compose.yml",
    ]
    for role in roles:
        command += ["-f", f"docker/{role}.yml" if role == "without-mongodb" else f"docker/ha/{role}.yml"]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "ENV_FILE": str(env_file)}
    return subprocess.run(
        [*command, "config", "--format", "json"], env=environment, capture_output=True, text=True, check=False
    )


def services(folder: Path, *roles: str) -> Any:
    done = compose(folder, *roles)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


def published(service: Any) -> Any:
    return {(port["host_ip"], int(port["published"])) for port in service["ports"]}


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("broker", ["rabbitmq"]),
        ("web", ["web", "migrate", "toolbox"]),
        ("worker", ["worker", "flower"]),
        ("lb", ["nginx"]),
    ],
)
def test_what_runs_on_a_machine_waits_for_no_server_of_another(tmp_path: Path, role: str, names: Any) -> None:
    merged = services(tmp_path, role)
    assert [name for name in names if merged[name].get("depends_on")] == []


def test_without_mongodb_it_is_not_started_and_postgresql_has_the_request_log(tmp_path: Path) -> None:
    merged = services(tmp_path, "without-mongodb")
    assert "mongodb" not in merged
    assert "mongodb" not in merged["worker"]["depends_on"]
    for name in ("web", "worker", "migrate", "toolbox"):
        assert merged[name]["environment"]["LOGS_STORE"] == "logs.postgresql.PostgresStore"


def test_the_broker_s_and_the_web_s_ports_are_on_the_private_address_alone(tmp_path: Path) -> None:
    merged = services(tmp_path, "broker", "web", "worker", "lb")
    assert published(merged["rabbitmq"]) == {("10.0.0.11", port) for port in (5672, 15672, 4369, 25672)}
    assert published(merged["web"]) == {("10.0.0.11", 8000)}
    assert published(merged["nginx"]) == {("0.0.0.0", 8080)}


def test_each_process_can_leave_the_machine_and_nginx_reaches_the_web_from_one_address(
    tmp_path: Path,
) -> None:
    merged = services(tmp_path, "broker", "web", "worker", "lb")
    for name in (*APPS, "rabbitmq"):
        assert "private_network" in merged[name]["networks"], name
    assert set(merged["nginx"]["networks"]) & set(merged["web"]["networks"]) == {"backend_network"}


def test_all_processes_have_the_servers_and_the_proxies_that_the_settings_name(tmp_path: Path) -> None:
    merged = services(tmp_path, "web", "worker")
    for name in APPS:
        environment = merged[name]["environment"]
        assert environment["TRUSTED_PROXIES"] == f"10.213.57.0/24,{SETTINGS['TRUSTED_PROXIES']}"
        for setting in (
            "POSTGRES_HOST",
            "RABBITMQ_HOST",
            "RABBITMQ_MANAGEMENT_URL",
            "REDIS_HOST",
            "MONGODB_HOST",
        ):
            assert environment[setting] == SETTINGS[setting], (name, setting)


def test_the_cluster_s_nodes_are_the_names_that_the_machines_have(tmp_path: Path) -> None:
    rabbitmq = services(tmp_path, "broker")["rabbitmq"]
    asked = set(re.findall(r"rabbit@(\S+)", Path("docker/ha/cluster.conf").read_text()))
    assert {one.split("=")[0] for one in rabbitmq["extra_hosts"]} == asked
    assert rabbitmq["hostname"] in asked


@pytest.mark.parametrize(
    ("role", "name"),
    [("broker", "RABBITMQ_NODE"), ("broker", "RABBITMQ_3"), ("web", "PRIVATE_ADDRESS"), ("lb", "WEB_HOSTS")],
)
def test_a_setting_that_is_missing_is_named(tmp_path: Path, role: str, name: str) -> None:
    done = compose(tmp_path, role, without=name)
    assert done.returncode != 0
    assert name in done.stderr
