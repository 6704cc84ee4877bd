"""Request metadata in PostgreSQL, for an installation that is to have one server less."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import orjson
from django.db import DataError, connection, transaction
from django.db import Error as DatabaseError

from logs import encoding
from logs.models import RequestLog
from logs.stores import PAGE, Document, DocumentsRefused, StoreUnavailable

_INSERT = """
INSERT INTO logs_requestlog (id, accepted_at, document)
SELECT id, accepted_at, document::jsonb
FROM unnest(%s::text[], %s::timestamptz[], %s::text[]) AS sent (id, accepted_at, document)
ON CONFLICT (id) DO NOTHING
"""


class PostgresStore:
    """Keeps documents in a table beside the registrations."""

    def insert(self, documents: Sequence[Document]) -> None:
        """Keep documents in one statement; a known _id is a redelivery, and stays as it is."""
        bodies = [{name: value for name, value in one.items() if name != "_id"} for one in documents]
        columns: list[list[Any]] = [
            [str(one["_id"]) for one in documents],
            [one.get("accepted_at") for one in documents],
            [orjson.dumps(encoding.to_plain(one)).decode() for one in bodies],
        ]
        # A savepoint where a transaction is open: parked documents are given in one.
        with _as_a_store(), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_INSERT, columns)

    def find(self, request_id: str) -> dict[str, Any] | None:
        found = self.find_many([request_id])
        return found[0] if found else None

    def ids(self, since: datetime | None, until: datetime | None) -> Iterator[Any] | None:
        """Yield the _ids from a cursor that PostgreSQL keeps."""
        rows = RequestLog.objects.order_by()
        if since:
            rows = rows.filter(accepted_at__gte=since)
        if until:
            rows = rows.filter(accepted_at__lt=until)
        return self._pages(rows)

    def find_many(self, ids: Sequence[Any]) -> list[dict[str, Any]]:
        with _as_a_store():
            rows = RequestLog.objects.filter(pk__in=[str(one) for one in ids])
            return [{"_id": row.pk} | encoding.from_plain(row.document) for row in rows]

    def delete(self, ids: Sequence[Any]) -> int:
        with _as_a_store():
            return RequestLog.objects.filter(pk__in=[str(one) for one in ids]).delete()[0]

    def members(self) -> tuple[int, int]:
        """Return 1 and 0: `doctor` tells of PostgreSQL's standbys itself."""
        return 1, 0

    def _pages(self, rows: Any) -> Iterator[Any]:
        with _as_a_store():
            yield from rows.values_list("pk", flat=True).iterator(chunk_size=PAGE)


@contextmanager
def _as_a_store() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DocumentsRefused(repr(error)[:200]) from error
    except DatabaseError as error:
        raise StoreUnavailable(repr(error)) from error
