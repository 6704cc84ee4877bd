"""The verdict on a code that was typed.

A try is counted under the challenge's lock before it is compared, so that twenty at once are twenty tries. It is judged
by when it arrived at the web, however late that is here.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from confirmations import codes, secret
from confirmations.models import Challenge, Try
from landing.models import Registration, StoredSubmission
from landing.storing import events

MOST_TRIES = 10
"""Of one challenge. With five challenges a day a guesser has one chance in 20,000."""
GRACE = timedelta(seconds=5)
"""A code may arrive so much after its end: the visitor's clock and ours count differently."""


@dataclass(frozen=True)
class Typed:
    """A typed code, six ASCII digits, as the web took it."""

    request_id: str
    at: datetime
    try_id: str
    code: str


@transaction.atomic
def judge(typed: Typed) -> str:
    """Return the verdict on a try, and note it. A try that was judged before has the verdict of then.

    Raises django.db.Error.
    """
    challenge = _last_challenge(typed.request_id)
    # Behind the lock: a second delivery of the message may be at work too.
    if known := Try.objects.filter(pk=typed.try_id).values_list("verdict", flat=True).first():
        return str(known)
    if challenge is None or challenge.closed_as in (Challenge.End.CONFIRMED, Challenge.End.EXPIRED):
        return Try.Verdict.WRONG  # the same word as for a wrong code: it tells nothing of the number
    if challenge.closed_as:
        return Try.Verdict.LOCKED
    verdict = _verdict(challenge, typed)
    Try.objects.create(
        pk=typed.try_id,
        request_id=typed.request_id,
        challenge=challenge,
        arrived_at=typed.at,
        verdict=verdict,
    )
    _count(challenge, verdict, typed)
    return verdict


def _last_challenge(request_id: str) -> Challenge | None:
    stored = StoredSubmission.objects.filter(pk=request_id).values_list("registration_id", flat=True).first()
    if stored is None:
        return None
    return (
        Challenge.objects.select_for_update(of=("self",))
        .select_related("registration")
        .filter(registration_id=stored)
        .order_by("-pk")
        .first()
    )


def _verdict(challenge: Challenge, typed: Typed) -> str:
    code = codes.of(secret.key(), bytes(challenge.nonce), challenge.registration.phone_number)
    is_right = hmac.compare_digest(code, typed.code)
    # What arrived before the code was on its way is a guess.
    if not is_right or typed.at < challenge.opened_at:
        return Try.Verdict.WRONG
    return Try.Verdict.CONFIRMED if typed.at <= challenge.expires_at + GRACE else Try.Verdict.LATE


def _count(challenge: Challenge, verdict: str, typed: Typed) -> None:
    challenge.tries += 1
    if verdict == Try.Verdict.CONFIRMED:
        _close(challenge, Challenge.End.CONFIRMED, typed.at)
        is_new = Registration.objects.filter(
            pk=challenge.registration_id, status=Registration.Status.PENDING
        ).update(
            status=Registration.Status.CONFIRMED, confirmed_at=typed.at, confirmed_by=UUID(typed.request_id)
        )
        if is_new:
            events.note_confirmed(typed.request_id)
    elif challenge.tries >= MOST_TRIES:
        _close(challenge, Challenge.End.LOCKED, typed.at)
    challenge.save(update_fields=["tries", "closed_at", "closed_as"])


def _close(challenge: Challenge, end: str, at: datetime) -> None:
    challenge.closed_at, challenge.closed_as = at, end
