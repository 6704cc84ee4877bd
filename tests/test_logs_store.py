"""Where request metadata is kept: each document once, as inert data."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from pymongo import MongoClient
from pytest_django.fixtures import Settings

from logs import stores
from logs import utils as logs
from logs.stores import MongoStore, NoopStore


def document(request_id: Any = None, **fields: Any) -> Any:
    return {"_id": request_id or str(uuid4()), "ip_address": "192.0.2.1", "referrer": ""} | fields


@pytest.fixture
def mongo() -> Any:
    login = {"username": settings.MONGODB_USER, "password": settings.MONGODB_PASSWORD}
    client: MongoClient[Any] = MongoClient(settings.MONGODB_HOST, settings.MONGODB_PORT, **login)
    with client:
        yield client[settings.MONGODB_DB]["request_logs"]


def test_a_document_is_found_by_its_request_id() -> None:
    noon = datetime(2026, 3, 21, 12, tzinfo=UTC)
    kept = document(accepted_at=noon, registration_id=7)
    logs.log_request(kept)
    assert logs.find(kept["_id"]) == kept
    assert logs.find(str(uuid4())) is None


def test_a_document_that_comes_twice_stays_as_it_was() -> None:
    first = document(referrer="https://first.example/")
    logs.log_request(first)
    logs.log_request(first | {"referrer": "https://second.example/"})
    assert logs.find(first["_id"])["referrer"] == "https://first.example/"


def test_the_new_documents_among_known_ones_are_all_kept(mongo: Any) -> None:
    known = [document() for _ in range(3)]
    logs.log_requests(known)
    new = [document() for _ in range(3)]
    logs.log_requests([new[0], known[0], new[1], known[1], known[2], new[2]])
    assert mongo.count_documents({}) == 6
    assert all(logs.find(one["_id"]) for one in new)


def test_the_login_may_stand_in_the_address(settings: Settings) -> None:
    login = f"{settings.MONGODB_USER}:{settings.MONGODB_PASSWORD}"
    settings.MONGODB_URL = f"mongodb://{login}@{settings.MONGODB_HOST}:{settings.MONGODB_PORT}/"
    settings.MONGODB_USER = settings.MONGODB_PASSWORD = ""
    kept = document()
    MongoStore().insert([kept])
    assert logs.find(kept["_id"])


def test_no_documents_are_nothing_to_do() -> None:
    logs.log_requests([])


HOSTILE = [
    "$where: sleep(10000)",
    '{"$gt": ""}',
    "a.b.c",
    "$set",
    "'; db.dropDatabase(); '",
    "\u202eevil\u202c",
    "😀" * 300,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_kept_as_the_text_it_is(text: str) -> None:
    kept = document(referrer=text, user_agent=text)
    logs.log_request(kept)
    assert logs.find(kept["_id"]) == kept


@pytest.mark.parametrize("field", ["$where", "a.b", "$set.x"])
def test_a_hostile_field_name_is_data_too(field: str) -> None:
    kept = document(**{field: "x"})
    logs.log_request(kept)
    assert logs.find(kept["_id"])[field] == "x"


@pytest.mark.parametrize("question", [{"$ne": None}, {"$gt": ""}, {"$where": "true"}])
def test_a_request_id_that_is_a_query_finds_nothing(question: dict[str, Any]) -> None:
    logs.log_request(document())
    assert logs.find(question) is None


def test_what_mongodb_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(logs.StoreUnavailable):
        logs.log_request(document(referrer="x" * 17_000_000))


def test_a_mongodb_that_is_away_is_said(settings: Settings) -> None:
    settings.MONGODB_PORT, settings.MONGODB_TIMEOUT = 9, 0.2
    store = MongoStore()
    try:
        with pytest.raises(logs.StoreUnavailable):
            store.insert([document()])
        with pytest.raises(logs.StoreUnavailable):
            store.find("x")
    finally:
        store._collection.database.client.close()


def test_without_mongodb_the_last_ten_documents_are_remembered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LOGS_STORE = "logs.stores.NoopStore"
    monkeypatch.setattr(stores, "_stores", {})
    NoopStore.last.clear()
    sent = [document() for _ in range(11)]
    logs.log_requests(sent)
    assert list(NoopStore.last) == sent[1:]
    assert logs.find(sent[10]["_id"]) == sent[10]
    assert logs.find(sent[0]["_id"]) is None
