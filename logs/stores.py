"""Where request metadata can be kept: MongoDB, or nowhere. LOGS_STORE names the class."""

import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

import pymongo
from bson.errors import InvalidDocument
from django.conf import settings
from pymongo import MongoClient, WriteConcern
from pymongo.errors import BulkWriteError, DocumentTooLarge, PyMongoError
from pymongo.read_concern import ReadConcern

Document = Mapping[str, Any]

DUPLICATE_KEY = 11000

PAGE = 10_000
"""Ids that are asked for at once when all are read."""

READ_TIMEOUT = 120.0
"""Seconds for reading many documents, which no worker and no visitor waits for."""


class StoreUnavailable(Exception):
    """The store could not take the documents. Some may be in it; to give all again is safe."""


class DocumentsRefused(StoreUnavailable):
    """The store works, and will not take some of the documents, however often they are given. Others may be in it."""


class Store(Protocol):
    """Keeps documents by their `_id`."""

    def insert(self, documents: Sequence[Document]) -> None:
        """Keep documents; those whose _id is known stay as they are. Raises StoreUnavailable."""

    def find(self, request_id: str) -> dict[str, Any] | None:
        """Return one document, or None. Raises StoreUnavailable."""

    def ids(self, since: datetime | None, until: datetime | None) -> Iterator[Any] | None:
        """Yield every _id of this time of acceptance, in any order; None if nothing is kept for good."""

    def find_many(self, ids: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the documents with these _ids, as far as they are there. Raises StoreUnavailable."""

    def delete(self, ids: Sequence[Any]) -> int:
        """Remove documents and return how many there were. Raises StoreUnavailable."""

    def members(self) -> tuple[int, int]:
        """Return how many servers keep each document, and how many of them are away. Raises StoreUnavailable."""


class MongoStore:
    """Keeps documents in the collection `request_logs`."""

    def __init__(self, url: str = "") -> None:
        """Use the settings' server, or another installation's: its address has login and database in it."""
        milliseconds = int(settings.MONGODB_TIMEOUT * 1000)
        # None would win over the login in an address.
        login: dict[str, Any] = {}
        if settings.MONGODB_USER and not url:
            login = {"username": settings.MONGODB_USER, "password": settings.MONGODB_PASSWORD}
        client: MongoClient[dict[str, Any]] = MongoClient(
            url or settings.MONGODB_URL or settings.MONGODB_HOST,
            settings.MONGODB_PORT,
            **login,
            tls=bool(settings.MONGODB_CA_PATH),
            tlsCAFile=settings.MONGODB_CA_PATH or None,
            # By default pymongo waits 30 s for a server and for ever for a place in its pool.
            timeoutMS=milliseconds,
            serverSelectionTimeoutMS=milliseconds,
            tz_aware=True,
        )
        # On the disks of most members, or a fail-over rolls back what was acknowledged; a single server is the
        # majority of itself. Without the journal an acknowledged document is in memory only.
        database = client.get_default_database(settings.MONGODB_DB) if url else client[settings.MONGODB_DB]
        self._collection = database.get_collection(
            "request_logs", write_concern=WriteConcern(w="majority", j=True)
        )
        # What is counted for a proof must not be rolled back after it was counted.
        self._proven = self._collection.with_options(read_concern=ReadConcern("majority"))

    def insert(self, documents: Sequence[Document]) -> None:
        """Keep documents in one unordered bulk; a known _id is not an error but a redelivery."""
        try:
            self._insert(documents)
        except (DocumentTooLarge, InvalidDocument) as error:
            raise DocumentsRefused(repr(error)[:200]) from error
        except PyMongoError as error:
            raise StoreUnavailable(repr(error)) from error

    def _insert(self, documents: Sequence[Document]) -> None:
        try:
            # Unordered: MongoDB goes on after a duplicate key, so a batch of which half is there is completed.
            self._collection.insert_many([dict(document) for document in documents], ordered=False)
        except BulkWriteError as error:
            # Both are looked at: a write that is refused says nothing of whether the others are on the disk.
            failed = self._without_redelivered(error.details["writeErrors"], documents)
            if error.details.get("writeConcernErrors"):
                raise StoreUnavailable("not on the disk in time") from error
            if failed:
                said = str(failed[0].get("errmsg"))[:200]
                raise DocumentsRefused(f"{len(failed)} documents refused: {said}") from error

    def _without_redelivered(
        self, errors: Sequence[Mapping[str, Any]], documents: Sequence[Document]
    ) -> list[Mapping[str, Any]]:
        """Leave out those whose _id is known: which unique index it was that refused them, if any, says little."""
        ids = [documents[one["index"]]["_id"] for one in errors if one["code"] == DUPLICATE_KEY]
        known = {one["_id"] for one in self._collection.find({"_id": {"$in": ids}}, {"_id": 1})}
        return [one for one in errors if documents[one["index"]]["_id"] not in known]

    def find(self, request_id: str) -> dict[str, Any] | None:
        """Return one document by its request_id, which is compared as text, never as a query."""
        try:
            return self._collection.find_one({"_id": str(request_id)})
        except PyMongoError as error:
            raise StoreUnavailable(repr(error)) from error

    def ids(self, since: datetime | None, until: datetime | None) -> Iterator[Any] | None:
        """Yield the _ids, page by page: no page takes longer than a timeout allows."""
        window = {name: time for name, time in (("$gte", since), ("$lt", until)) if time}
        return self._pages({"accepted_at": window} if window else {})

    def find_many(self, ids: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the documents with these _ids."""
        with self._long_enough():
            return list(self._proven.find({"_id": {"$in": list(ids)}}))

    def delete(self, ids: Sequence[Any]) -> int:
        with self._long_enough():
            return self._collection.delete_many({"_id": {"$in": list(ids)}}).deleted_count

    def members(self) -> tuple[int, int]:
        """Return the size of the replica set and how many of it are away; a single server is one of one."""
        client = self._collection.database.client
        try:
            hello = client.admin.command("hello")
        except PyMongoError as error:
            raise StoreUnavailable(repr(error)) from error
        members = {_address(one) for one in hello.get("hosts", [])}
        return max(1, len(members)), len(members - client.nodes)

    def _pages(self, query: dict[str, Any]) -> Iterator[Any]:
        cursor = self._proven.find(query, {"_id": 1}, batch_size=PAGE)
        while True:
            with self._long_enough():
                page = [document["_id"] for document in islice(cursor, PAGE)]
            if not page:
                return
            yield from page

    @contextmanager
    def _long_enough(self) -> Iterator[None]:
        """Give an operator's question the time it needs. That the server is away is noticed as fast as ever."""
        try:
            self._collection.database.client.admin.command("ping")
            with pymongo.timeout(READ_TIMEOUT):
                yield
        except PyMongoError as error:
            raise StoreUnavailable(repr(error)) from error


def _address(member: str) -> tuple[str, int]:
    host, _, port = member.rpartition(":")
    return host, int(port)


class NoopStore:
    """Keeps nothing but the last ten documents, for installations and tests without MongoDB."""

    last: deque[Document] = deque(maxlen=10)

    def insert(self, documents: Sequence[Document]) -> None:
        self.last.extend(documents)

    def find(self, request_id: str) -> dict[str, Any] | None:
        """Return one of the last ten."""
        return next((dict(one) for one in self.last if one["_id"] == request_id), None)

    def ids(self, since: datetime | None, until: datetime | None) -> Iterator[Any] | None:
        """Return None: ten documents are no record."""
        return None

    def find_many(self, ids: Sequence[Any]) -> list[dict[str, Any]]:
        """Return those of the last ten."""
        return [dict(one) for one in self.last if one["_id"] in ids]

    def delete(self, ids: Sequence[Any]) -> int:
        """Forget nothing: they go by themselves."""
        return 0

    def members(self) -> tuple[int, int]:
        return 1, 0


_stores: dict[type[Store], Store] = {}
_making = threading.Lock()


def current(make: type[Store]) -> Store:
    """Return this process's store of a kind."""
    with _making:
        if make not in _stores:
            _stores[make] = make()
        return _stores[make]


def _begin_again() -> None:
    """Forget in a forked child what is the parent's: a MongoClient does not survive a fork."""
    global _making  # noqa: PLW0603
    _making = threading.Lock()
    _stores.clear()


os.register_at_fork(after_in_child=_begin_again)
