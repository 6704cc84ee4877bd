"""Frames that no producer of ours sends never kill, block or pass a worker: they become dead letters."""

import pickle
from typing import Any

import pytest
from celery import current_app

from landing.door.receipts import request_id_for
from landing.keeping import queues
from landing.models import StoredSubmission
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib.clock import now
from tests.messages import depth
from tests.waiting import eventually
from tests.workers import worker

pytestmark = pytest.mark.django_db(transaction=True)

TASK = {"task": save_phones_async.name, "id": "1b671a64-40d5-491e-99b0-da01ff1f3341"}
JSON = {"content_type": "application/json", "content_encoding": "utf-8"}
BODY = b'[[[["09123456789","x","","","",""]]],{},{}]'


class Bomb:
    def __reduce__(self) -> Any:
        return (exit, (3,))


POISON = {
    "pickle": (pickle.dumps(Bomb()), {"headers": TASK, "content_type": "application/x-python-serialize"}),
    "yaml": (
        b"a: !!python/object/apply:os.abort []",
        {"headers": TASK, "content_type": "application/x-yaml"},
    ),
    "broken JSON": (b'[[["0912', {"headers": TASK} | JSON),
    "no headers, broken JSON": (b"\xff\x00", JSON),
    "no headers, a number": (b"7", JSON),
    "unknown task": (BODY, {"headers": TASK | {"task": "os.system"}} | JSON),
    "no id": (BODY, {"headers": {"task": save_phones_async.name}} | JSON),
    "arguments of another shape": (b'[[{"a":1}],{"b":2},{}]', {"headers": TASK} | JSON),
    "no arguments": (b"[[],{},{}]", {"headers": TASK} | JSON),
    "NUL": (b"\0" * 64, {"headers": TASK} | JSON),
    "a delayed task": (BODY, {"headers": TASK | {"eta": "2999-01-01T00:00:00+00:00"}} | JSON),
    "an expiring task": (BODY, {"headers": TASK | {"expires": "2000-01-01T00:00:00+00:00"}} | JSON),
    "a deep body": (b"[" * 100_000, {"headers": TASK} | JSON),
    "a malformed registration": (BODY, {"headers": TASK} | JSON),
}


def publish(body: bytes, **properties: Any) -> None:
    with current_app.connection_for_write() as connection:
        message = connection.default_channel.prepare_message(
            body,
            properties={"delivery_mode": 2},
            **properties,
        )
        connection.default_channel.basic_publish(message, exchange=queues.LIVE, routing_key=queues.LIVE)


def test_every_culprit_is_a_dead_letter_and_every_neighbour_is_stored() -> None:
    sound = Submission("09120000000", request_id_for("", "09120000000"), "", "", "", now())
    for body, properties in POISON.values():
        publish(body, **properties)
    save_phones_async.delay([sound.to_wire()])

    with worker() as process:
        eventually(lambda: StoredSubmission.objects.filter(pk=sound.request_id).exists(), within=30)
        eventually(lambda: depth(queues.dead) == len(POISON), within=30)
        assert process.poll() is None

    assert depth(queues.live) == 0
    assert StoredSubmission.objects.count() == 1
