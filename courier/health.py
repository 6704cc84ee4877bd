"""How each webhook is now, for the command, the doctor and /metrics. No model: the web imports this before Django is set up."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from lib.clock import now

_FIGURES = """
SELECT receiver.name, subscription.name IS NOT NULL, is_paused, failures, wait_until, last_delivered_at,
    waiting.count, waiting.oldest, failed.count
FROM courier_receiver AS receiver LEFT JOIN landing_subscription AS subscription USING (name)
CROSS JOIN LATERAL (
    SELECT count(*), min(created_at) AS oldest FROM courier_delivery WHERE webhook = receiver.name AND state = 'waiting'
) AS waiting
CROSS JOIN LATERAL (
    SELECT count(*) FROM courier_delivery WHERE webhook = receiver.name AND state = 'failed'
) AS failed
ORDER BY receiver.name
"""


@dataclass(frozen=True)
class Health:
    """How a webhook is.

    is_listed: a courier has it in its file. failures: calls in a row. waiting, failed: messages. oldest: when the oldest
    that waits was made. Times in UTC.
    """

    name: str
    is_listed: bool
    is_paused: bool
    failures: int
    wait_until: datetime | None
    last_delivered_at: datetime | None
    waiting: int
    oldest: datetime | None
    failed: int


def of_all() -> list[Health]:
    """Return how each webhook is that a courier has ever had. Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_FIGURES)
        rows: list[Any] = cursor.fetchall()
    return [Health(*row) for row in rows]


def untaken() -> float:
    """Return for how many seconds the oldest event has waited for a courier, 0 if none does. Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT created_at FROM landing_event ORDER BY id LIMIT 1")
        found = cursor.fetchone()
    return (now() - found[0]).total_seconds() if found else 0.0
