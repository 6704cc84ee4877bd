"""Where an accepted request can be, read as ids: rows, documents, spools, queue, dead letters."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from dashboard.desk import dead_letters, spools
from dashboard.desk.dead_letters import Choice
from dashboard.desk.queue_messages import Queue, request_id_of
from landing.keeping import queues
from landing.models import ErasedSubmission, ParkedLog, StoredSubmission
from logs import utils as logs

PEEKS = 5
"""Looks at one message of the live queue. RabbitMQ counts each as a delivery, and workers need the rest."""

# The primary key's index gives the order, and COPY sends rows as fast as they can be read.
_ROWS = """
COPY (
    SELECT request_id FROM landing_submission
    WHERE (%(since)s::timestamptz IS NULL OR accepted_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR accepted_at < %(until)s)
    ORDER BY request_id
) TO STDOUT
"""
_ORPHANS = """
SELECT id FROM landing_registration AS registration
WHERE NOT EXISTS (SELECT FROM landing_submission WHERE registration_id = registration.id)
"""


class QueueNotRead(Exception):
    """The live queue holds messages that cannot be looked at without harm; nothing can be said of them."""


def rows(since: datetime | None, until: datetime | None) -> Iterator[str]:
    """Yield the request_id of every submission accepted from `since` to before `until`, in order."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        with cursor.copy(_ROWS, {"since": since, "until": until}) as copy:
            for row in copy:
                yield str(row, "ascii").rstrip()


def orphans() -> Iterator[int]:
    """Yield the id of every registration that no submission belongs to."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(_ORPHANS)
        for (registration_id,) in cursor:
            yield registration_id


def parked() -> Iterator[str]:
    """Yield the request_id of every document that waits for MongoDB."""
    return (str(one) for one in ParkedLog.objects.values_list("pk", flat=True).iterator())


def erased() -> Iterator[str]:
    """Yield the request_id of each submission that was erased."""
    return (str(one) for one in ErasedSubmission.objects.values_list("pk", flat=True).iterator())


def dead() -> Iterator[str]:
    """Yield every request_id among the dead letters."""
    for letter in dead_letters.letters(Choice()):
        yield from letter.request_ids


def spooled() -> Iterator[str]:
    """Yield every request_id in the spools that this machine can see. Raises SpoolFailed."""
    for raw in spools.waiting(Path(settings.SPOOL_DIR)):
        if one := request_id_of(raw):
            yield one


def queued() -> Iterator[str]:
    """Yield every request_id that is ready in the live queues, as queued_raws() finds them."""
    return (one for raw in queued_raws() if (one := request_id_of(raw)))


def queued_raws() -> Iterator[Any]:
    """Yield every raw registration that is ready in the live queues; each message goes back to its place.

    Raises QueueNotRead before a message has been looked at so often that it might become a dead letter.
    """
    for live in queues.lives:
        with Queue(live.name) as queue:
            for message in queue.messages():
                if message.deliveries >= PEEKS:
                    raise QueueNotRead(
                        f"the queue {live.name} holds {queue.ready() + 1} messages, "
                        f"and has been looked into {PEEKS} times already"
                    )
                yield from message.registrations() or []


def among_rows(ids: Sequence[str]) -> set[str]:
    """Return which of these ids have a row now."""
    return {str(one) for one in StoredSubmission.objects.filter(pk__in=ids).values_list("pk", flat=True)}


def among_documents(ids: Sequence[str]) -> set[str]:
    """Return which of these ids have a document now, or one that waits for MongoDB."""
    found = {str(document["_id"]) for document in logs.find_many(ids)}
    return found | {str(one) for one in ParkedLog.objects.filter(pk__in=ids).values_list("pk", flat=True)}


Acceptance = tuple[int, datetime]


def rows_by_acceptance(documents: Sequence[dict[str, Any]]) -> dict[Acceptance, str]:
    """Return the rows of these documents' registrations, by registration and time of acceptance."""
    registrations = {told[0] for document in documents if (told := acceptance(document))}
    found = StoredSubmission.objects.filter(registration_id__in=registrations)
    return {
        (registration_id, _milliseconds(accepted_at)): str(request_id)
        for request_id, registration_id, accepted_at in found.values_list(
            "pk", "registration_id", "accepted_at"
        )
    }


def acceptance(document: dict[str, Any]) -> Acceptance | None:
    """Return what tells one acceptance from another if the _id does not: whose it is, and when it was."""
    registration_id, accepted_at = document.get("registration_id"), document.get("accepted_at")
    if isinstance(registration_id, int) and isinstance(accepted_at, datetime):
        return registration_id, _milliseconds(accepted_at)
    return None


def _milliseconds(time: datetime) -> datetime:
    """Return a time as MongoDB keeps it."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
