"""On how many disks what was promised is, and the messages that no worker has."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import current_app
from django.db import connection, connections
from pytest_django.fixtures import Settings

from dashboard.desk import doctor
from dashboard.live import copies, counters, management_api, orphans, probes, reporter, snapshot
from landing.keeping import queues
from landing.models import StoredSubmission
from landing.storing import registrations
from landing.submission import Submission
from lib.clock import now
from local.servers import postgres_program
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What three nodes of RabbitMQ tell of our queues. The real ones are in the cluster drill."""
    told: dict[str, Any] = {"members": ["a", "b", "c"], "online": ["a", "b", "c"]}
    arguments = {queue.name: queue.queue_arguments for queue in queues.promised}

    def queue(name: str, timeout: float) -> dict[str, Any]:
        return {"name": name, "arguments": arguments[name], **told}

    monkeypatch.setattr(management_api, "queue", queue)
    monkeypatch.setattr(management_api, "get", lambda path, timeout: [{"name": name} for name in "abc"])
    return told


@pytest.fixture
def standby(tmp_path: Path) -> Iterator[None]:
    """A receiver of PostgreSQL's log, as a standby is one, that nobody waits for."""
    server = connection.settings_dict
    command = [postgres_program("pg_receivewal"), "--no-loop", "--directory", tmp_path]
    command += ["--host", server["HOST"], "--port", str(server["PORT"]), "--username", server["USER"]]
    with subprocess.Popen(command, env=os.environ | {"PGPASSWORD": server["PASSWORD"]}) as receiver:
        eventually(lambda: copies.postgresql()[0].members == 2)
        yield
        receiver.terminate()


def about_copies() -> list[tuple[str, str]]:
    return [(one.verdict, one.saw) for one in doctor.examine() if one.part == "copies"]


def test_single_servers_hold_one_copy_each() -> None:
    assert about_copies() == [("ok", "a 202 is on 1 disk, a stored row on 1, a spooled one on 1")]


def test_without_a_spool_no_single_disk_is_promised(settings: Settings) -> None:
    settings.SPOOL_MODE = "off"
    assert about_copies()[-1] == ("ok", "a 202 is on 1 disk, a stored row on 1, and nothing is spooled")


def test_a_majority_of_three_members_has_confirmed(cluster: dict[str, Any]) -> None:
    assert about_copies() == [("ok", "a 202 is on 2 disks, a stored row on 1, a spooled one on 1")]


def test_a_queue_with_one_member_in_a_cluster_of_three_is_told(cluster: dict[str, Any]) -> None:
    cluster |= {"members": ["a"], "online": ["a"]}
    assert ("warning", "rabbitmq: registrations has 1 of 3 nodes for members") in about_copies()
    assert copies.rabbitmq(1)[0].disks == 1


def test_a_member_that_is_away_is_told(cluster: dict[str, Any]) -> None:
    cluster |= {"online": ["a", "b"]}
    assert copies.rabbitmq(1)[0].missing == 1
    assert ("warning", "rabbitmq: 1 of 3 members of registrations are away") in about_copies()


def test_a_standby_that_nobody_waits_for_is_told(standby: None) -> None:
    found, _ = copies.postgresql()
    assert found.disks == 1
    assert "a fail-over loses the newest rows" in found.warning


@contextmanager
def absent_standby() -> Iterator[None]:
    """Let commits wait for a synchronous standby that is away."""
    with connection.cursor() as operator:
        operator.execute("ALTER SYSTEM SET synchronous_standby_names = 'away'")
        operator.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            operator.execute("ALTER SYSTEM RESET synchronous_standby_names")
            operator.execute("SELECT pg_reload_conf()")


def store_one() -> None:
    registrations.store([Submission("09123456789", str(uuid4()), "", "", "", now())])
    connections.close_all()


def test_rows_that_wait_for_a_standby_are_told_and_stored_once_nobody_waits_for_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "SLOW_STORE", 0.2)
    worker = threading.Thread(target=store_one)
    with absent_standby():
        eventually(lambda: copies.postgresql()[0].disks == 2)
        worker.start()
        eventually(lambda: copies.postgresql()[1] == 1)
        assert "0 of 1 synchronous standbys are there: rows wait" in copies.postgresql()[0].warning
        eventually(lambda: registrations.longest_store() > 0.2)
        reporter.worker_status()
        reporter.worker_status()
    worker.join(10)
    assert StoredSubmission.objects.count() == 1
    assert caplog.text.count("its synchronous standby may be away") == 1


@pytest.mark.parametrize(
    ("names", "standbys"),
    [("", 0), ("*", 1), ("a, b", 1), ("ANY 2 (a, b, c)", 2), ("first 1 (a)", 1), ("3 (*)", 3), ('"1 (x"', 1)],
)
def test_commits_wait_for_as_many_standbys_as_the_setting_says(names: str, standbys: int) -> None:
    assert copies.waited_for(names) == standbys


def test_the_first_node_that_answers_tells(settings: Settings) -> None:
    settings.RABBITMQ_MANAGEMENT_URLS = ["http://127.0.0.1:1", *settings.RABBITMQ_MANAGEMENT_URLS]
    assert management_api.queue(queues.LIVE, 3)["name"] == queues.LIVE


# -- messages that no worker has


@pytest.fixture
def taken() -> Iterator[None]:
    """A message that was delivered to a connection which is no worker's, and not acknowledged."""
    with current_app.connection_for_write() as broker:
        queue = queues.live.bind(broker.default_channel)
        broker.Producer().publish({}, exchange=queues.live.exchange, routing_key=queues.LIVE)
        eventually(queue.get)
        # RabbitMQ counts for the management API every five seconds.
        eventually(lambda: copies.rabbitmq(3)[1] == 1, within=20)
        yield


def looked(times: int, orphaned: int) -> None:
    """Note the same at each of the last looks."""
    now = counters.bucket_of(time.time())
    for look in range(times):
        counters.sample(now - look * counters.BUCKET, {orphans.GAUGE: orphaned})


def test_a_look_counts_what_is_delivered_and_in_no_workers_hand(
    taken: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "DEADLINE", 5.0)
    bucket = counters.bucket_of(time.time())

    def sampled() -> int:
        snapshot.sample(bucket)
        return counters.hour(bucket)[bucket].get(orphans.GAUGE, 0)

    # The probe may still give an answer of five seconds ago.
    eventually(lambda: sampled() == 1)
    assert orphans.count(1, [{"messages": 1}]) == 0


def test_orphans_are_told_once_they_were_there_at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looked(5, orphaned=3)
    assert orphans.judge(time.time()) == 0
    looked(10, orphaned=3)
    assert orphans.judge(time.time()) == counters.orphans() == 3
    monkeypatch.setattr(probes, "FRESH", 0)
    assert "orphans" in snapshot.now()["degraded"]
    looked(1, orphaned=0)
    assert orphans.judge(time.time()) == counters.orphans() == 0


@pytest.mark.parametrize(("age", "ends"), [(60, False), (3600, True)])
def test_a_worker_restarts_for_orphans_and_not_again_and_again(
    monkeypatch: pytest.MonkeyPatch, age: int, ends: bool
) -> None:
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    monkeypatch.setattr("logging.shutdown", lambda: None)
    monkeypatch.setattr(orphans, "_began", time.monotonic() - age)
    orphans.restart_for_orphans()
    assert not ended
    counters.note_orphans(2)
    orphans.restart_for_orphans()
    assert bool(ended) is ends
