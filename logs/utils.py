"""Request metadata goes in and out here; where it is kept is the store's business."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from logs import stores
from logs.stores import Document, DocumentsRefused, StoreUnavailable

__all__ = [
    "Document",
    "DocumentsRefused",
    "StoreUnavailable",
    "delete",
    "find",
    "find_many",
    "ids",
    "log_request",
    "log_requests",
    "members",
]


def log_requests(documents: Sequence[Document]) -> None:
    """Keep documents, each with its request_id as `_id`; one that is known already stays as it is.

    Raises StoreUnavailable; giving all of them again later is safe.
    """
    if documents:
        _store().insert(documents)


def log_request(document: Document) -> None:
    log_requests([document])


def find(request_id: str) -> dict[str, Any] | None:
    """Return the document of a request, or None. Raises StoreUnavailable."""
    return _store().find(request_id)


def ids(since: datetime | None = None, until: datetime | None = None) -> Iterator[Any] | None:
    """Yield the _id of every document, or of those accepted from `since` to before `until`, in any order.

    An _id that is no text was not put there by us. Returns None if the store keeps nothing for
    good. Raises StoreUnavailable.
    """
    return _store().ids(since, until)


def find_many(ids: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the documents with these _ids, in any order. Raises StoreUnavailable."""
    return _store().find_many(ids)


def delete(ids: Sequence[Any]) -> int:
    """Remove documents and return how many there were. Raises StoreUnavailable."""
    return _store().delete(ids)


def members() -> tuple[int, int]:
    """Return how many servers keep each document, and how many of them are away. Raises StoreUnavailable."""
    return _store().members()


def _store() -> stores.Store:
    return stores.current(import_string(settings.LOGS_STORE))
