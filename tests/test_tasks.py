"""The tasks: good registrations are stored, bad ones become dead letters alone, and the state is told."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest
from amqp.exceptions import MessageNacked
from celery.result import AsyncResult
from django.test import Client

from config.celery import app
from landing.door import status
from landing.door.status import Known, State
from landing.keeping import queues
from landing.models import Registration, StoredSubmission
from landing.storing import outages, task_states
from landing.submission import Submission
from landing.tasks import save_phone_async, save_phones_async
from logs import utils as logs
from tests.waiting import eventually
from tests.workers import worker

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 3, 21, 12, tzinfo=UTC)


def wire(phone_number: str = "09123456789") -> Any:
    return Submission(
        phone_number, str(uuid4()), "192.0.2.1", "https://a.example/", "A browser", NOON
    ).to_wire()


def dead_letters() -> Any:
    """Take all dead letters off their queue: what each holds, and its reason."""
    letters = []
    with app.connection_for_write() as connection:
        queue = queues.dead.bind(connection.default_channel)
        while message := queue.get(no_ack=True):
            [raw] = message.payload[0][0]
            letters.append((raw, message.headers["x-reason"]))
    return letters


def test_the_call_that_the_document_names_stores_a_registration() -> None:
    request_id = str(uuid4())
    result = save_phone_async.delay("09123456789", request_id, "192.0.2.1", "https://campaign.example/")
    with worker():
        eventually(lambda: AsyncResult(result.id, app=app).state == "SUCCESS")
    assert StoredSubmission.objects.get(request_id=request_id).registration.phone_number == "09123456789"
    assert logs.find(request_id)["referrer"] == "https://campaign.example/"
    assert AsyncResult(request_id, app=app).state == "SUCCESS"


def test_a_batch_is_stored_with_a_document_for_each() -> None:
    batch = [wire(), wire("09351112233")]
    save_phones_async(batch, queued_at=NOON.isoformat())
    for phone_number, request_id, *_ in batch:
        stored = StoredSubmission.objects.get(request_id=request_id)
        assert stored.registration.phone_number == phone_number
        document = logs.find(request_id)
        assert document["registration_id"] == stored.registration_id
        assert document["accepted_at"] == document["queued_at"] == NOON
        assert status.of(request_id) == Known(State.STORED)


def test_a_document_holds_no_phone_number() -> None:
    one = wire()
    save_phones_async([one])
    assert "09123456789" not in repr(logs.find(one[1]))


def test_a_batch_that_is_delivered_twice_changes_nothing() -> None:
    one = wire()
    save_phones_async([one])
    document = logs.find(one[1])
    save_phones_async([one, one])
    assert StoredSubmission.objects.count() == Registration.objects.count() == 1
    assert logs.find(one[1]) == document


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (wire("0912"), "malformed: phone number: too_short"),
        (wire()[:5], "malformed: not six texts"),
        ({"phone_number": "09123456789"}, "malformed: not six texts"),
        (None, "malformed: not six texts"),
        ([*wire()[:5], "yesterday"], "malformed: request id or time"),
    ],
)
def test_a_bad_registration_becomes_a_dead_letter_and_its_neighbours_are_stored(
    bad: dict[str, Any] | list[str] | None, reason: str
) -> None:
    before, after = wire(), wire("09351112233")
    save_phones_async([before, bad, after])
    assert dead_letters() == [(bad, reason)]
    assert {str(stored.pk) for stored in StoredSubmission.objects.all()} == {before[1], after[1]}


def test_a_dead_registration_is_told_as_failed(client: Client) -> None:
    bad = wire("0912")
    save_phones_async([bad])
    assert client.get(f"/api/register/{bad[1]}/").json()["status"] == "Failed"
    assert AsyncResult(bad[1], app=app).state == "FAILURE"


def test_what_postgresql_refuses_becomes_a_dead_letter_and_its_neighbours_are_stored() -> None:
    from django.db import connection

    batch = [wire("09123456789"), wire("09350000000"), wire("09351112233")]
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE landing_registration ADD CONSTRAINT no_0935 CHECK (phone_number <> '09350000000')"
        )
        try:
            save_phones_async(batch)
        finally:
            cursor.execute("ALTER TABLE landing_registration DROP CONSTRAINT no_0935")
    [(raw, reason)] = dead_letters()
    assert raw == batch[1]
    assert reason == "refused by PostgreSQL: CheckViolation"
    assert StoredSubmission.objects.count() == 2
    assert status.of(batch[1][1]) == Known(State.DEAD)


def test_a_dead_letter_is_a_task_that_can_be_sent_again() -> None:
    bad = wire("0912")
    save_phones_async([bad])
    with app.connection_for_write() as connection:
        letter = queues.dead.bind(connection.default_channel).get(no_ack=True)
    assert letter.headers["task"] == save_phones_async.name
    assert letter.properties["delivery_mode"] == 2
    assert orjson.loads(letter.body)[0] == [[bad]]
    assert "0912" not in letter.headers["argsrepr"]


def test_a_message_that_is_no_batch_becomes_a_dead_letter_and_the_worker_goes_on() -> None:
    good = wire()
    save_phones_async.delay(7)
    save_phones_async.delay([good])
    with worker():
        eventually(lambda: status.of(good[1]) == Known(State.STORED))
    with app.connection_for_write() as connection:
        assert queues.dead.bind(connection.default_channel).get(no_ack=True).payload[0] == [7]


def test_a_redelivered_registration_that_was_dead_is_told_as_registered_once_it_is_stored() -> None:
    one = wire()
    task_states.write({one[1]: Known(State.DEAD)})
    save_phones_async([one])
    assert status.of(one[1]) == Known(State.STORED)


def test_a_dead_letter_that_rabbitmq_refuses_is_an_outage_to_be_waited_out() -> None:
    assert outages.is_outage(MessageNacked())
