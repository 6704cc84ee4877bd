"""One contract for all stores of the request log: each document once, found by its id, and an outage is said."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import transaction
from pytest_django.fixtures import Settings

from dashboard.proof import ledger
from landing.tasks import save_phone_async
from lib import request_ids
from logs import lines, stores
from logs.elastic import ElasticStore
from logs.lines import LineStore
from logs.models import RequestLog
from logs.postgresql import PostgresStore
from logs.stores import DocumentsRefused, MongoStore, Store, StoreUnavailable
from tests import fake_elastic

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 3, 21, 12, tzinfo=UTC)


@pytest.fixture(params=["mongodb", "postgresql", "elastic"])
def store(request: Any, settings: Settings) -> Iterator[Store]:
    if request.param == "mongodb":
        mongo = MongoStore()
        yield mongo
        mongo._collection.database.client.close()
    elif request.param == "postgresql":
        yield PostgresStore()
    else:
        with fake_elastic.running() as (url, _):
            settings.ELASTIC_URL = os.environ.get("ELASTIC_URL") or url
            settings.ELASTIC_INDEX = f"test-{uuid4()}"
            elastic = ElasticStore()
            yield elastic
            elastic._client.close()


def document(**fields: Any) -> dict[str, Any]:
    return {"_id": str(uuid4()), "ip_address": "192.0.2.1", "referrer": "", "accepted_at": NOON} | fields


def test_a_document_is_found_as_it_was_given(store: Store) -> None:
    kept = document(registration_id=7, queued_at=NOON, logged_at=NOON, user_agent="😀 \u202eevil $where")
    store.insert([kept])
    assert store.find(kept["_id"]) == kept
    assert store.find(str(uuid4())) is None


def test_a_known_document_stays_as_it_was_among_new_ones(store: Store) -> None:
    known = document(referrer="first")
    store.insert([known])
    new = document()
    store.insert([known | {"referrer": "second"}, new])
    assert sorted(one["referrer"] for one in store.find_many([known["_id"], new["_id"]])) == ["", "first"]


def test_ids_are_told_by_their_time_of_acceptance(store: Store) -> None:
    days = [document(accepted_at=NOON + timedelta(days=day)) for day in range(4)]
    store.insert(days)
    told = store.ids(NOON + timedelta(days=1), NOON + timedelta(days=3))
    assert told is not None
    assert sorted(told) == sorted(one["_id"] for one in days[1:3])
    everything = store.ids(None, None)
    assert everything is not None
    assert set(everything) >= {one["_id"] for one in days}


def test_many_batches_that_come_twice_are_kept_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("logs.stores", "logs.postgresql", "logs.elastic"):
        monkeypatch.setattr(f"{module}.PAGE", 700)
    batches = [[document() for _ in range(500)] for _ in range(4)]
    for batch in batches:
        store.insert(batch)
        store.insert(batch)
    told = store.ids(None, None)
    assert told is not None
    ids = list(told)
    assert len(ids) == len(set(ids)) == 2000


def test_what_is_deleted_is_counted_and_gone(store: Store) -> None:
    both = [document(), document()]
    store.insert(both)
    assert store.delete([both[0]["_id"], str(uuid4())]) == 1
    assert store.find(both[0]["_id"]) is None
    assert store.find(both[1]["_id"]) is not None
    assert store.delete([]) == 0


def test_it_tells_how_many_servers_keep_a_document(store: Store) -> None:
    members, missing = store.members()
    assert members >= 1
    assert 0 <= missing < members


def test_an_elasticsearch_that_is_away_or_refuses_is_said(settings: Settings) -> None:
    settings.ELASTIC_URL, settings.MONGODB_TIMEOUT = "http://127.0.0.1:1", 0.3
    with pytest.raises(StoreUnavailable):
        ElasticStore().insert([document()])
    with fake_elastic.running() as (url, index):
        settings.ELASTIC_URL = url
        store = ElasticStore()
        with pytest.raises(DocumentsRefused):
            store.insert([document(referrer="refused"), document()])
        assert len(index.documents) == 1
        index.refuses = 429
        with pytest.raises(StoreUnavailable) as busy:
            store.insert([document(referrer="refused")])
        store._client.close()
        assert not isinstance(busy.value, DocumentsRefused)


def test_a_document_that_postgresql_refuses_is_said_and_breaks_no_transaction() -> None:
    with transaction.atomic():
        with pytest.raises(DocumentsRefused):
            PostgresStore().insert([document(referrer="\0")])
        PostgresStore().insert([document()])
    assert RequestLog.objects.count() == 1


def test_postgresql_alone_proves_a_registration(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LOGS_STORE, settings.MONGODB_PORT = "logs.postgresql.PostgresStore", 1
    monkeypatch.setattr(stores, "_stores", {})
    call_command("migrate", verbosity=0)
    request_id = request_ids.new(settings.SECRET_KEY.encode())
    save_phone_async("09123456789", request_id, "192.0.2.1", "https://example.com/")
    assert RequestLog.objects.get().pk == request_id
    report = ledger.reconcile(ledger.Question())
    assert (report.stored, report.damage, report.documents_kept) == (1, 0, True)


SHIPPED = """
import django; django.setup()
from logs.lines import LineStore
from datetime import datetime, UTC
LineStore().insert([{"_id": str(n), "accepted_at": datetime(2026, 3, 21, tzinfo=UTC), "referrer": "x" * 9000} for n in range(20)])
"""


def test_lines_go_to_stdout_whole_and_in_order() -> None:
    done = subprocess.run([sys.executable, "-c", SHIPPED], capture_output=True, text=True, check=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["_id"] for one in told] == [str(n) for n in range(20)]
    assert {one["event"] for one in told} == {"request log"}
    assert told[0]["accepted_at"] == "2026-03-21T00:00:00+00:00"


def test_a_reader_that_has_stalled_is_an_outage(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MONGODB_TIMEOUT = 0.2
    reading, writing = os.pipe()
    monkeypatch.setattr(lines, "STDOUT", writing)
    try:
        with pytest.raises(StoreUnavailable, match="nobody reads"):
            LineStore().insert([document(referrer="x" * 9000) for _ in range(100)])
    finally:
        os.close(reading)
        os.close(writing)
    assert (LineStore().ids(None, None), LineStore().find("x")) == (None, None)
