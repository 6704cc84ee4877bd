"""Request logs in a replica set of MongoDB: on the disks of a majority, each once, also through a fail-over."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from logs.stores import MongoStore, StoreUnavailable
from tests.replica_set import ReplicaSet
from tests.waiting import eventually


@pytest.fixture
def replica_set() -> Iterator[ReplicaSet]:
    members = ReplicaSet()
    yield members
    members.close()


@pytest.fixture
def store(replica_set: ReplicaSet, settings: Settings) -> MongoStore:
    settings.MONGODB_URL, settings.MONGODB_USER, settings.MONGODB_TIMEOUT = replica_set.url, "", 2.0
    return MongoStore()


def documents(count: int = 3) -> list[dict[str, Any]]:
    return [{"_id": str(uuid4())} for _ in range(count)]


def insert_until_taken(store: MongoStore, batch: list[dict[str, Any]]) -> None:
    """Give a batch again and again, as the outbox does."""

    def is_taken() -> bool:
        try:
            store.insert(batch)
        except StoreUnavailable:
            return False
        return True

    eventually(is_taken)


def test_a_document_is_acknowledged_by_a_majority_and_its_journals(
    store: MongoStore, replica_set: ReplicaSet
) -> None:
    store.insert(documents())
    assert [(one["w"], one["j"]) for one in replica_set.concerns] == [("majority", True)]
    assert len(replica_set.documents) == 3


def test_a_fail_over_doubles_and_loses_no_document(store: MongoStore, replica_set: ReplicaSet) -> None:
    before, after = documents(), documents()
    store.insert(before)
    replica_set.primary = 1
    insert_until_taken(store, before + after)
    assert sorted(replica_set.documents) == sorted(one["_id"] for one in before + after)


def test_what_the_majority_has_not_acknowledged_is_given_again(
    store: MongoStore, replica_set: ReplicaSet
) -> None:
    batch = documents()
    replica_set.is_late = True
    with pytest.raises(StoreUnavailable):
        store.insert(batch)
    replica_set.is_late = False
    insert_until_taken(store, batch)
    assert len(replica_set.documents) == len(batch)


def test_a_slow_majority_holds_up_no_worker_for_longer_than_the_timeout(
    store: MongoStore, replica_set: ReplicaSet
) -> None:
    store.insert(documents())
    replica_set.lag = 20.0
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.insert(documents())
    assert time.monotonic() - started < 10


def test_a_member_that_is_away_is_counted(store: MongoStore, replica_set: ReplicaSet) -> None:
    eventually(lambda: store.members() == (3, 0))
    replica_set.members[2].end()
    eventually(lambda: store.members() == (3, 1))
