"""Documents as JSON, for stores that have no dates of their own."""

from datetime import datetime
from typing import Any

import orjson

from logs.stores import Document

DATE = "$date"


def to_json(document: Document) -> bytes:
    """Return a document without its _id. A time becomes {"$date": "…"}, so that it comes back as a time."""
    return orjson.dumps({name: _plain(value) for name, value in document.items() if name != "_id"})


def from_json(request_id: str, told: dict[str, Any]) -> dict[str, Any]:
    """Return the document that to_json() wrote."""
    return {"_id": request_id} | {name: _read(value) for name, value in told.items()}


def _plain(value: Any) -> Any:
    return {DATE: value.isoformat()} if isinstance(value, datetime) else value


def _read(value: Any) -> Any:
    return datetime.fromisoformat(value[DATE]) if isinstance(value, dict) and set(value) == {DATE} else value
