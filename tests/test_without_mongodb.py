"""docker/without-mongodb.yml: no process waits for MongoDB or keeps documents in it. No Docker is needed."""

from pathlib import Path
from typing import Any

import yaml

STORE = "logs.postgresql.PostgresStore"


class Overlay(yaml.SafeLoader):
    """Reads Compose's `!reset null` as a text."""


Overlay.add_constructor("!reset", lambda *_: "reset")

SERVICES = yaml.safe_load(Path("docker-compose.yml").read_text())["services"]
OVERLAY = yaml.load(Path("docker/without-mongodb.yml").read_text(), Overlay)["services"]


def started(service: Any) -> bool:
    """Whether `docker compose up` starts a service of the two files."""
    return not (SERVICES[service].get("profiles") or OVERLAY.get(service, {}).get("profiles"))


def test_mongodb_is_not_started_and_nothing_that_is_waits_for_it() -> None:
    assert not started("mongodb")
    for name, service in SERVICES.items():
        if started(name) and "mongodb" in service.get("depends_on", {}):
            assert OVERLAY[name]["depends_on"] == {"mongodb": "reset"}, name


def test_each_process_with_a_login_to_mongodb_keeps_documents_in_postgresql() -> None:
    for name, service in SERVICES.items():
        if "MONGODB_USER" in service.get("environment", {}):
            assert OVERLAY[name]["environment"] == {"LOGS_STORE": STORE}, name
