"""Request metadata goes in and out here; where it is kept is the store's business."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from logs import stores
from logs.stores import Document, StoreUnavailable

__all__ = ["Document", "StoreUnavailable", "find", "log_request", "log_requests"]


def log_requests(documents: Sequence[Document]) -> None:
    """Keep documents, each with its request_id as `_id`; one that is known already stays as it is.

    Raises StoreUnavailable; giving all of them again later is safe.
    """
    if documents:
        _store().insert(documents)


def log_request(document: Document) -> None:
    """Keep one document."""
    log_requests([document])


def find(request_id: str) -> dict[str, Any] | None:
    """Return the document of a request, or None. Raises StoreUnavailable."""
    return _store().find(request_id)


def _store() -> stores.Store:
    return stores.current(import_string(settings.LOGS_STORE))
