"""A worker ends when it is told to, also in the middle of an outage, and a deaf one ends by itself."""

import os
from typing import Any

import pytest
from celery import current_app
from django.db import connection

from landing.door.receipts import request_id_for
from landing.keeping import queues
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib.clock import now
from local.servers import Servers
from tests.messages import depth
from tests.waiting import eventually
from tests.workers import worker

pytestmark = pytest.mark.django_db(transaction=True)


def send() -> None:
    submission = Submission("09120000000", request_id_for("", "09120000000"), "", "", "", now())
    save_phones_async.delay([submission.to_wire()])


def consumers() -> Any:
    with current_app.connection_for_write() as broker:
        return broker.default_channel.queue_declare(queues.LIVE, passive=True).consumer_count


def test_a_worker_that_waits_for_postgresql_gives_its_batch_back_and_ends(servers: Servers) -> None:
    connection.close()
    servers.postgres.stop()
    try:
        with worker() as process:
            eventually(lambda: consumers() == 1, within=30)
            send()
            eventually(lambda: depth(queues.live) == 0)
            process.terminate()
            assert process.wait(25) == 0
    finally:
        servers.postgres.start()
    eventually(lambda: depth(queues.live) == 1)


def test_a_worker_that_hears_nothing_ends_to_be_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "WORKER_DEAF_AFTER", "1")
    with worker() as process:
        eventually(lambda: consumers() == 1, within=30)
        current_app.control.cancel_consumer(queues.LIVE)
        eventually(lambda: consumers() == 0)
        send()
        assert process.wait(20) == 1
    assert depth(queues.live) == 1
