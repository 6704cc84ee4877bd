"""What is kept of codes: of a person who asks what is known, or to be forgotten; of everybody, when it is old."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from confirmations.models import Ask, Try
from lib.clock import now

KEPT = timedelta(days=30)
"""For how long questions, challenges and tries are kept. Caps look back one day, and no code is valid for so long."""

# Whatever happens to a question moves one of its times on: a page that speaks, a claim, an outcome. A challenge that
# can be typed, or is claimed again, has its end in the future; one that a question names stays as long as that.
_DUE = """
SELECT
    (SELECT count(*) FROM confirmations_ask WHERE greatest(here_at, claimed_at, settled_at) < %(before)s),
    (SELECT count(*) FROM confirmations_challenge AS challenge WHERE expires_at < %(before)s
        AND NOT EXISTS (SELECT FROM confirmations_ask AS ask WHERE ask.challenge_id = challenge.id
            AND greatest(here_at, claimed_at, settled_at) >= %(before)s))
"""
# The time is asked twice: of a row that somebody was just changing, the outer condition sees the new state.
_DELETE_ASKS = """
DELETE FROM confirmations_ask WHERE greatest(here_at, claimed_at, settled_at) < %(before)s AND id IN (
    SELECT id FROM confirmations_ask WHERE greatest(here_at, claimed_at, settled_at) < %(before)s
    ORDER BY id LIMIT %(most)s
)
"""
_DELETE_CHALLENGES = """
DELETE FROM confirmations_challenge WHERE expires_at < %(before)s AND id IN (
    SELECT id FROM confirmations_challenge AS challenge WHERE expires_at < %(before)s
        AND NOT EXISTS (SELECT FROM confirmations_ask AS ask WHERE ask.challenge_id = challenge.id)
    ORDER BY id LIMIT %(most)s
) RETURNING id
"""


def forget(registrations: Sequence[int], submissions: Sequence[UUID]) -> None:
    """Delete all that is kept of these registrations' codes. Raises django.db.Error."""
    Try.objects.filter(request_id__in=submissions).delete()
    Try.objects.filter(challenge__registration_id__in=registrations).delete()
    Ask.objects.filter(request_id__in=submissions).delete()
    Ask.objects.filter(registration_id__in=registrations).delete()
    with connection.cursor() as cursor:
        # Not through Django, which would read what a challenge is made of before it deletes it.
        cursor.execute(
            "DELETE FROM confirmations_challenge WHERE registration_id = ANY(%s)", [list(registrations)]
        )


def tell(submissions: Sequence[UUID]) -> dict[str, list[dict[str, Any]]]:
    """Return what is kept of these submissions' codes. Raises django.db.Error."""
    asked = ("asked_at", "language", "site", "state", "gateway", "message_id", "settled_at")
    asks = Ask.objects.filter(request_id__in=submissions).order_by("pk").values(*asked)
    tries = (
        Try.objects.filter(request_id__in=submissions).order_by("arrived_at").values("arrived_at", "verdict")
    )
    return {"codes": list(asks), "typed": list(tries)}


def due(kept: timedelta = KEPT) -> int:
    """Return how many questions and challenges are older than that and decide nothing. Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"before": now() - kept})
        asks, challenges = cursor.fetchone()
    return int(asks) + int(challenges)


def forget_old(most: int) -> int:
    """Delete up to so many old questions, and so many challenges with their tries; return how many both were.

    Budget and registrations stay as they are. Raises django.db.Error.
    """
    values: dict[str, datetime | int] = {"before": now() - KEPT, "most": most}
    with connection.cursor() as cursor:
        # Each in its own transaction: claims lock a question before its challenge, judges only a challenge.
        cursor.execute(_DELETE_ASKS, values)
        asks = int(cursor.rowcount)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_DELETE_CHALLENGES, values)
        challenges = [row[0] for row in cursor]
        # After the challenges: a judge holds the lock of one while it adds a try, so this sees the last try too.
        cursor.execute("DELETE FROM confirmations_try WHERE challenge_id = ANY(%s)", [challenges])
    return asks + len(challenges)
