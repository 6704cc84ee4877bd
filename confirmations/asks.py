"""A visitor asks for a code, or says "I am here": the row of a question, from the message of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from confirmations import secret

PAUSES = (60, 120, 300)
"""Seconds after the first code, the second and each later one before another can be asked for."""

# It compares with the message's time alone, so a redelivery changes nothing, in whatever order it comes.
_NOTE = """
WITH last AS (
    SELECT id, n, state, settled_at FROM confirmations_ask
    WHERE request_id = %(request_id)s ORDER BY n DESC LIMIT 1 FOR UPDATE
), here AS (
    UPDATE confirmations_ask AS ask SET here_at = greatest(ask.here_at, %(at)s)
    FROM last WHERE ask.id = last.id AND last.state IN ('waiting', 'sending')
)
INSERT INTO confirmations_ask (
    request_id, n, asked_at, here_at, language, site, from_key, state, gateway, message_id, parts, reason
)
SELECT %(request_id)s, coalesce((SELECT n FROM last), 0) + 1, %(at)s, %(at)s, %(language)s, %(site)s, %(from_key)s,
    'waiting', '', '', 0, ''
WHERE NOT EXISTS (
    SELECT FROM last WHERE state IN ('waiting', 'sending')
        OR %(at)s <= settled_at + make_interval(secs => (%(pauses)s::int[])[least(n, cardinality(%(pauses)s::int[]))])
)
ON CONFLICT (request_id, n) DO NOTHING
"""


@dataclass(frozen=True)
class Asked:
    """A question for a code, as the web took it. site: the host of the page. group: the address group, not kept."""

    request_id: str
    at: datetime
    language: str
    site: str
    group: str


def note(asked: Sequence[Asked]) -> None:
    """Put each into the line, or note that its page is still there. Safe to repeat. Raises django.db.Error."""
    with transaction.atomic(), connection.cursor() as cursor:
        # In one order, so that two batches lock rows in the same order.
        for one in sorted(asked, key=lambda one: one.request_id):
            cursor.execute(
                _NOTE,
                {
                    "request_id": UUID(one.request_id),
                    "at": one.at,
                    "language": one.language,
                    "site": one.site,
                    "from_key": secret.group_key(one.group, one.at),
                    "pauses": list(PAUSES),
                },
            )


def pause_after(n: int) -> int:
    """Return the seconds after question n of a submission until the next one."""
    return PAUSES[min(n, len(PAUSES)) - 1]
