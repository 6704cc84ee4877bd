"""What is kept of a person's codes, for those who ask what is known of them, or to be forgotten."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from confirmations.models import Ask, Try


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
