"""What the absence of PostgreSQL, MongoDB or Redis changes, and that everything kept comes through it."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from redis.client import Pipeline

from landing.door import status
from landing.door.status import Known, State
from landing.keeping import intake
from landing.models import ParkedLog, Registration, StoredSubmission
from landing.storing import outbox, task_states
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib.outage import Outage
from local.servers import Servers
from logs import stores
from logs import utils as logs
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_memory_of_outages(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No other test meets a breaker that these have opened."""
    monkeypatch.setattr(outbox, "_outage", Outage(pause=5))
    monkeypatch.setattr(task_states, "_outage", Outage(pause=5))
    for outage in (status._redis()._outage, status._postgresql()._off_loop.outage):
        outage.note_success()
    yield
    if limiter := intake.current().limiter:
        eventually(lambda: not limiter.is_alone)


@contextmanager
def without(server: Any) -> Any:
    """Stop a server for a while."""
    server.stop()
    try:
        yield
    finally:
        connection.close()
        server.start()


@contextmanager
def hung(server: Any) -> Any:
    """Let a server hang for a while: it takes connections and answers nothing."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


def post(client: Client, phone_number: str = "09123456789", **headers: Any) -> Any:
    return client.post(
        "/api/register/", {"phone_number": phone_number}, content_type="application/json", headers=headers
    )


def batch_of(*phone_numbers: Any) -> Any:
    now = datetime.now(UTC)
    return [Submission(phone, str(uuid4()), "192.0.2.1", "", "", now).to_wire() for phone in phone_numbers]


def in_a_worker(batch: list[list[str]]) -> Any:
    """Work on a batch in a thread, as a worker does."""

    def work() -> None:
        try:
            save_phones_async(batch)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_without_postgresql_a_worker_keeps_its_batch_and_stores_it_afterwards(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    batch = batch_of("09123456789", "09351112233")
    with without(servers.postgres):
        work = in_a_worker(batch)
        eventually(lambda: "waiting for an outage to end" in caplog.text)
        assert work.is_alive()
    work.join(30)
    assert {str(stored.pk) for stored in StoredSubmission.objects.all()} == {one[1] for one in batch}
    assert all(logs.find(one[1]) for one in batch)


def test_without_postgresql_registrations_are_accepted_and_their_state_is_told(
    client: Client, servers: Servers
) -> None:
    with without(servers.postgres):
        accepted = post(client)
        assert accepted.status_code == 202
        assert client.get(accepted["Location"]).json()["status"] == "Processing"
        assert client.get(f"/api/register/{uuid4()}/").status_code == 404


def test_without_mongodb_registrations_are_stored_and_their_documents_follow_later(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    batch = batch_of("09123456789", "09351112233")
    with without(servers.mongodb):
        save_phones_async(batch)
        save_phones_async(batch_of("09350000000"))
        assert Registration.objects.count() == 3
        assert status.of(batch[0][1]) == Known(State.STORED)
        assert ParkedLog.objects.count() == 3
        with pytest.raises(logs.StoreUnavailable):
            outbox.redrive()
        assert ParkedLog.objects.count() == 3
    assert [record.message for record in caplog.records].count("request logs are parked in PostgreSQL") == 1
    assert outbox.redrive() == 3
    assert outbox.redrive() == 0
    for phone_number, request_id, *_ in batch:
        document = logs.find(request_id)
        stored = StoredSubmission.objects.get(pk=request_id)
        assert stored.registration.phone_number == phone_number
        assert document["registration_id"] == stored.registration_id
        assert document["accepted_at"].replace(microsecond=0) == stored.accepted_at.replace(microsecond=0)


def test_a_parked_document_is_the_one_that_would_have_been_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    [one] = batch_of("09123456789")
    save_phones_async([one])
    delivered = logs.find(one[1])
    outbox.park([delivered])
    taken: list[Any] = []
    monkeypatch.setattr(logs, "log_requests", taken.extend)
    assert outbox.redrive() == 1
    assert taken == [delivered]


@pytest.fixture
def _unique_referrers() -> Any:
    """An index that somebody has made in MongoDB, by which it refuses a second document."""
    collection = stores.current(stores.MongoStore)._collection
    collection.create_index("referrer", unique=True, name="ours_not")
    yield
    collection.drop_index("ours_not")


@pytest.mark.usefixtures("_unique_referrers")
def test_a_document_that_mongodb_refuses_holds_up_no_other_and_waits_with_its_reason() -> None:
    batch = [one | {"referrer": f"https://{place}.example/"} for place, one in enumerate(documents(5))]
    batch[3] |= {"referrer": batch[1]["referrer"]}
    outbox.park(batch)
    while outbox.redrive():
        pass
    assert [bool(logs.find(one["_id"])) for one in batch].count(True) == 4
    refused = ParkedLog.objects.get()
    assert str(refused.pk) in {batch[1]["_id"], batch[3]["_id"]}
    assert "11000" in refused.reason or "duplicate" in refused.reason
    assert refused.try_at > datetime.now(UTC)
    before = refused.try_at - datetime.now(UTC)
    ParkedLog.objects.update(try_at=datetime.now(UTC))
    assert outbox.redrive() == 1
    refused.refresh_from_db()
    assert refused.refusals == 2
    assert refused.try_at - datetime.now(UTC) > before


@pytest.mark.usefixtures("_unique_referrers")
def test_a_document_that_mongodb_refuses_at_once_is_parked_and_stays_no_outage() -> None:
    first, second = documents(2)
    outbox.deliver([first | {"referrer": "https://a.example/"}])
    outbox.deliver([second | {"referrer": "https://a.example/"}])
    assert str(ParkedLog.objects.get().pk) == second["_id"]
    assert not outbox._outage.is_on


def documents(count: int) -> Any:
    return [{"_id": str(uuid4()), "accepted_at": datetime.now(UTC)} for _ in range(count)]


def test_without_redis_registrations_go_on_and_postgresql_tells_their_state(
    client: Client, servers: Servers
) -> None:
    [stored] = batch_of("09123456789")
    with without(servers.redis):
        accepted = post(client, **{"x-forwarded-for": "203.0.113.50"})
        assert accepted.status_code == 202
        save_phones_async([stored])
        assert client.get(f"/api/register/{stored[1]}/").json()["status"] == "Registered"
        assert client.get(accepted["Location"]).json()["status"] == "Processing"
        assert client.get(f"/api/register/{uuid4()}/").status_code == 404


def test_a_redis_that_hangs_does_not_stop_registrations(client: Client, servers: Servers) -> None:
    with hung(servers.redis):
        assert post(client, **{"x-forwarded-for": "203.0.113.51"}).status_code == 202


def test_a_redis_that_has_just_failed_is_not_waited_for_by_the_next_batch(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, execute = [], Pipeline.execute
    monkeypatch.setattr(Pipeline, "execute", lambda *of: asked.append("a batch") or execute(*of))
    with without(servers.redis):
        for _ in range(3):
            task_states.write({str(uuid4()): Known(State.STORED)})
    assert asked == ["a batch"]
