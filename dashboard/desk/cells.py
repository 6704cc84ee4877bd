"""Registrations of another installation (a cell), read from its stores and given to the workers of this one."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from dashboard.desk.queue_messages import Sender
from landing.submission import Submission
from logs.stores import MongoStore

PAGE = 500
"""Submissions that are in memory at once."""

_COUNT = "SELECT count(*) FROM landing_submission WHERE %(after)s::uuid IS NULL OR request_id > %(after)s"
_ROWS = """
SELECT request_id, phone_number, accepted_at, slug, details, document
FROM landing_submission JOIN landing_registration AS registration ON registration.id = registration_id
    JOIN campaigns_campaign AS campaign ON campaign.id = campaign_id
    LEFT JOIN landing_parked_log USING (request_id)
WHERE %(after)s::uuid IS NULL OR request_id > %(after)s
ORDER BY request_id
"""

_METADATA = ("ip_address", "referrer", "user_agent")

Row = tuple[UUID, str, datetime, str, dict[str, Any] | None, dict[str, Any] | None]


def count(database: str, after: UUID | None) -> int:
    """Return how many submissions the cell's PostgreSQL has. Raises psycopg.Error."""
    with _connect(database) as connection:
        [(number,)] = connection.execute(_COUNT, {"after": after})
        return int(number)


def merge(database: str, documents: str, after: UUID | None, step: Callable[[UUID, int], None]) -> None:
    """Give the workers of this installation every submission of a cell, each message confirmed.

    database, documents: where its PostgreSQL and its MongoDB are; without the second, request logs have no address
    and no browser. after: only greater request_ids, to go on after an interruption. step: called with the last
    request_id of each page and its length. What is stored already stays as it is, so to begin anew is safe too.
    Raises psycopg.Error, StoreUnavailable or one of queues.OUTAGES.
    """
    store = MongoStore(documents) if documents else None
    with Sender() as sender:
        for page in _pages(database, after):
            logs = (
                {one["_id"]: one for one in store.find_many([str(row[0]) for row in page])} if store else {}
            )
            sender.send_in_groups([_wire(row, logs) for row in page])
            step(page[-1][0], len(page))


def _pages(database: str, after: UUID | None) -> Iterator[Sequence[Row]]:
    with _connect(database) as connection, connection.cursor(name="merge") as cursor:
        cursor.execute(_ROWS, {"after": after})
        while page := cursor.fetchmany(PAGE):
            yield page


def _connect(database: str) -> psycopg.Connection[Any]:
    # A cell may be merged while it takes registrations, and nothing is ever written to it.
    reading = "-c default_transaction_read_only=on -c statement_timeout=0"
    return psycopg.connect(database, connect_timeout=10, options=reading, application_name="merge")


def _wire(row: Row, logs: dict[str, dict[str, Any]]) -> list[Any]:
    request_id, phone_number, accepted_at, slug, details, parked = row
    log = logs.get(str(request_id)) or parked or {}
    ip_address, referrer, user_agent = (str(log.get(name) or "") for name in _METADATA)
    return Submission(
        phone_number=phone_number,
        request_id=str(request_id),
        ip_address=ip_address,
        referrer=referrer,
        user_agent=user_agent,
        accepted_at=accepted_at,
        campaign=slug,
        details=details or {},
    ).to_wire()
