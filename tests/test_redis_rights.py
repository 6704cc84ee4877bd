"""docker/redis/users.acl: each process may do with Redis what it does, found out by doing it."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.db import connection
from redis import Redis
from redis.exceptions import NoPermissionError

from tests.test_rehearse import web
from tests.waiting import eventually
from tests.workers import worker

pytestmark = pytest.mark.django_db(transaction=True)

RIGHTS = Path(__file__).resolve().parent.parent / "docker" / "redis" / "users.acl"
PASSWORD = "the same for all here"

LIVE_PAGE = """
import django; django.setup()
from dashboard.live import snapshot
assert snapshot.now()["dependencies"]["redis"] == "ok"
snapshot.points(0)
snapshot.sample(0)
reporter = snapshot.web_reporter()
reporter.report()
reporter.start()
reporter.stop()
"""
SPOOLS = """
import django; django.setup()
from dashboard.live import counters
counters.processes()
"""
FLOWER = """
import sys
from config.celery import app
assert app.AsyncResult(sys.argv[1]).state == "SUCCESS"
"""


@pytest.fixture
def rights() -> Any:
    """Give the tests' Redis the users of the containers; return a client that may do everything."""
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    with Redis.from_url(settings.REDIS_URL, decode_responses=True) as redis:
        users = {}
        for line in RIGHTS.read_text().splitlines():
            _, name, *rules = line.split()
            users[name] = [f"#{digest}" if rule == f"#@{name}@" else rule for rule in rules]
        del users["default"]  # that is the tests' own
        for name, rules in users.items():
            redis.execute_command("ACL", "SETUSER", name, *rules)
        redis.acl_log_reset()
        try:
            yield redis
        finally:
            redis.acl_deluser(*users)


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Log the processes that a test starts in as one of the users."""

    def become(user: Any) -> None:
        monkeypatch.setenv("REDIS_USER", user)
        monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)

    return become


def refused(redis: Any) -> Any:
    """What Redis has refused to whom."""
    return {(entry["username"], entry["reason"], entry["object"]) for entry in redis.acl_log()}


def registered(url: str) -> Any:
    """Register one number, and return its id when the web says that it is stored."""
    answer = httpx.post(f"{url}/api/register/", json={"phone_number": "09123456789"})
    task_id = answer.json()["task_id"]
    status = f"{url}/api/register/{task_id}/"
    eventually(lambda: httpx.get(status).json()["status"] == "Registered", within=40)
    return task_id


def run(*command: Any) -> Any:
    return subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"POSTGRES_DB": connection.settings_dict["NAME"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_web_and_worker_ask_redis_for_nothing_that_it_refuses(
    rights: Any, become: Callable[..., Any]
) -> None:
    become("web")
    with web() as url:
        become("worker")
        with worker():
            registered(url)
            assert httpx.get(f"{url}/readyz").json()["checks"]["redis"] == "ok"
            assert httpx.get(f"{url}/metrics").status_code == 200
            seen = "metrics:processes"
            eventually(lambda: {name.split()[0] for name in rights.hkeys(seen)} == {"web", "worker"})
    assert refused(rights) == set()
    assert rights.hlen("metrics:processes") == 0  # each has taken leave


def test_the_live_page_asks_redis_for_nothing_that_it_refuses(
    rights: Any, become: Callable[..., Any]
) -> None:
    become("web")
    done = run("-c", LIVE_PAGE)
    assert done.returncode == 0, done.stderr
    assert refused(rights) == set()


def test_flower_and_toolbox_ask_redis_for_nothing_that_it_refuses(
    rights: Any, become: Callable[..., Any]
) -> None:
    with web() as url, worker():
        task_id = registered(url)
    become("flower")
    done = run("-c", FLOWER, task_id)
    assert done.returncode == 0, done.stderr
    become("toolbox")
    assert "Redis" in run("manage.py", "doctor").stdout
    assert '"SUCCESS"' in run("manage.py", "trace", task_id, "--json").stdout
    assert run("-c", SPOOLS).returncode == 0
    assert refused(rights) == set()


def test_a_command_that_a_user_lacks_is_found(rights: Any) -> None:
    login = {"username": "web", "password": PASSWORD}
    with Redis(settings.REDIS_HOST, settings.REDIS_PORT, **login) as redis, pytest.raises(NoPermissionError):
        redis.flushall()
    assert refused(rights) == {("web", "command", "flushall")}
