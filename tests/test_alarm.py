"""RabbitMQ has a memory alarm: it takes nothing from anybody, and reads no good-bye from a connection that has tried."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

import pytest
from django.conf import settings

from dashboard.desk.dead_letters import Choice, replay
from dashboard.live import settings_drift
from landing.door.receipts import request_id_for
from landing.keeping import broker, queues
from landing.models import StoredSubmission
from landing.storing import dead_lettering
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib.clock import now
from local.servers import Servers
from local.state import Ports
from tests.messages import depth, ready
from tests.waiting import eventually
from tests.workers import worker

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def alarm(servers: Servers) -> Any:
    """Let RabbitMQ have too much in memory for a while."""
    ctl = servers.rabbitmq.ctl
    ctl("set_vm_memory_high_watermark", "0")
    try:
        eventually(lambda: "memory" in ctl("eval", "rabbit_alarm:get_alarms()."), within=30)
        yield
    finally:
        ctl("set_vm_memory_high_watermark", "0.4")
        eventually(lambda: "memory" not in ctl("eval", "rabbit_alarm:get_alarms()."), within=30)


def sound(number: int) -> Any:
    phone = f"0912000000{number}"
    return Submission(phone, request_id_for("", phone), "", "", "", now()).to_wire()


CULPRITS = [["not a phone", request_id_for("", ""), "", "", "", now().isoformat()] for _ in range(2)]


def test_sound_registrations_beside_a_culprit_are_stored_and_nothing_is_lost(servers: Servers) -> None:
    for number, culprit in enumerate(CULPRITS):  # more than the worker has processes
        save_phones_async.delay([culprit, sound(number)])
    save_phones_async.delay([sound(2)])

    with alarm(servers), worker() as process:
        eventually(lambda: StoredSubmission.objects.count() == 3, within=60)
        eventually(lambda: depth(queues.dead) == 2, within=30)
        assert depth(queues.live) == 0
        process.terminate()
        process.wait(25)

    # The whole messages are there, and perhaps a letter that RabbitMQ has read only after the alarm.
    # Sent again, only the culprits are left, each with its reason.
    letters = replay(Choice(), lambda _: None)
    assert letters in (2, 3)
    with worker():
        eventually(lambda: depth(queues.dead) == letters and depth(queues.live) == 0, within=60)
    assert {raw[1] for [[raw]] in ready(queues.dead)} == {raw[1] for raw in CULPRITS}
    assert StoredSubmission.objects.count() == 3


def test_who_publishes_during_an_alarm_waits_no_longer_than_a_deadline(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_lettering, "CONFIRM_TIMEOUT", 0.5)
    monkeypatch.setattr(settings_drift, "PATIENCE", 0.5)
    with alarm(servers):
        began = time.monotonic()
        settings_drift.announce("web")
        with pytest.raises(queues.OUTAGES):
            dead_lettering.bury(CULPRITS[0], "malformed: for a test")
        assert time.monotonic() - began < 10


def test_a_server_that_does_not_answer_any_more_is_waited_for_no_longer_than_a_deadline(
    servers: Servers,
) -> None:
    with broker.errand(0.5) as connection:
        channel = connection.default_channel
        servers.rabbitmq.pause()
        try:
            began = time.monotonic()
            with pytest.raises(queues.OUTAGES):
                channel.queue_declare(queues.LIVE, passive=True)
            broker.drop(connection)
            assert time.monotonic() - began < 10
        finally:
            servers.rabbitmq.resume()


def test_a_web_ends_within_seconds(servers: Servers) -> None:
    port = str(Ports.pick().epmd)
    command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "config.asgi:application"]
    environment = os.environ | {"PORT": port, "WEB_CONCURRENCY": "1"}
    with alarm(servers):
        web = subprocess.Popen(command, env=environment, cwd=settings.BASE_DIR, stdout=subprocess.DEVNULL)
        try:
            eventually(lambda: answers(port), within=60)
            began = time.monotonic()
            web.terminate()
            assert web.wait(60) == 0
            assert time.monotonic() - began < 12
        finally:
            web.kill()
            web.wait()


def answers(port: str) -> Any:
    try:
        with urlopen(f"http://127.0.0.1:{port}/livez", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
