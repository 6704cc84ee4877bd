"""Documents as JSON, for what has no dates of its own."""

from datetime import datetime
from typing import Any

from logs.stores import Document

DATE = "$date"


def to_plain(document: Document) -> dict[str, Any]:
    """Return a document as JSON can carry it. A time becomes {"$date": "…"}, so that it comes back as a time."""
    return {
        name: {DATE: value.isoformat()} if isinstance(value, datetime) else value
        for name, value in document.items()
    }


def from_plain(told: Document) -> dict[str, Any]:
    """Return the document that to_plain() was given."""
    return {
        name: datetime.fromisoformat(value[DATE])
        if isinstance(value, dict) and set(value) == {DATE}
        else value
        for name, value in told.items()
    }
