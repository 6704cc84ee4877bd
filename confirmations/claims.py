"""Which questions are answered with an SMS now, and what became of each.

claim() judges switch, caps and budget in one transaction, under the lock of the courier's lease, so that nothing
overshoots, and commits before anybody speaks to a gateway. settle() notes the outcome. What is not known to have
failed counts as sent: no SMS is repeated by the machine.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from confirmations import asks, caps, codes, line, messages, secret, switches
from confirmations.models import Ask, Budget, Challenge, Lease
from landing.models import Registration
from lib.clock import now

HERE = timedelta(seconds=line.HERE)
"""Who has not spoken for so long is gone, as far as an SMS is concerned."""
LEFT = timedelta(minutes=30)
"""After so long the place in the line is gone too."""
LEASE = timedelta(seconds=10)
"""A courier that is silent for so long is replaced by one that stands by."""
GATEWAY_TIMEOUT = timedelta(seconds=10)
UNKNOWN_AFTER = timedelta(seconds=60)
"""A claim that is so old was its courier's last act. Whether the SMS went out nobody knows."""
SAME_CODE = timedelta(minutes=30)
"""From the first SMS of a challenge until another code is made."""

_CANDIDATES = """
WITH here AS MATERIALIZED (
    SELECT id FROM confirmations_ask WHERE state = 'waiting' AND here_at > %(here)s
)
SELECT ask.id, submission.registration_id, campaign.confirms
FROM confirmations_ask AS ask JOIN here USING (id)
JOIN landing_submission AS submission USING (request_id)
JOIN landing_registration AS registration ON registration.id = submission.registration_id
JOIN campaigns_campaign AS campaign ON campaign.id = registration.campaign_id
ORDER BY ask.id LIMIT %(most)s FOR UPDATE OF ask SKIP LOCKED
"""
_WORK = """
SELECT EXISTS (SELECT FROM confirmations_ask WHERE state = 'waiting' AND here_at > %(here)s)
    OR EXISTS (SELECT FROM confirmations_ask WHERE state = 'sending' AND claimed_at < %(dead)s),
    (SELECT holder FROM confirmations_lease WHERE id = 1), (SELECT until FROM confirmations_lease WHERE id = 1)
"""


@dataclass(frozen=True)
class Errand:
    """An SMS to be sent now."""

    ask_id: int
    request_id: str
    phone_number: str
    code: str
    text: str
    language: str
    site: str
    parts: int


@dataclass(frozen=True)
class Outcome:
    """What a gateway has said.

    kind: "accepted"; "not_sent", for certain; "refused", this number; "stop", no message of ours at all; "unknown".
    """

    kind: str
    gateway: str = ""
    message_id: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Claimed:
    """The errands of one claim, the submissions whose state has changed without one, and what holds the line up.

    is_ours: whether this courier is the one that works. held_by: "", "off" or "budget"; None: nobody looked.
    """

    errands: Sequence[Errand] = ()
    changed: Sequence[str] = ()
    is_ours: bool = True
    held_by: str | None = ""


class _BudgetSpentError(Exception):
    """The next SMS would cost more than is left for today."""


def claim(holder: str, most: int) -> Claimed:
    """Take up to so many questions of those who are here, the oldest first. Raises django.db.Error."""
    if (idle := _idle(holder)) is not None:
        return idle
    with transaction.atomic():
        if not _holds_lease(holder):
            return Claimed(is_ours=False)
        changed = _give_up_old()
        if switches.is_off():
            return Claimed(changed=changed, held_by="off")
        budget = _budget()
        errands: list[Errand] = []
        for ask, registration, confirms in _candidates(most):
            try:
                errand = _judge(ask, registration, budget, confirms=confirms)
            except _BudgetSpentError:
                return Claimed(errands, changed, held_by="budget")
            if errand:
                errands.append(errand)
            if ask.state != Ask.State.WAITING:
                changed.append(str(ask.request_id))
        return Claimed(errands, changed)


def settle(errand: Errand, outcome: Outcome) -> None:
    """Note what became of an errand. To repeat it changes nothing. Raises django.db.Error."""
    with transaction.atomic():
        ask = Ask.objects.select_for_update().get(pk=errand.ask_id)
        if ask.state not in (Ask.State.SENDING, Ask.State.UNKNOWN):
            return
        spent = ask.parts
        ask.gateway, ask.message_id = outcome.gateway[:31], outcome.message_id[:64]
        ask.reason = outcome.reason[:100]
        if outcome.kind in ("accepted", "unknown"):
            _note_sent(ask, Ask.State.SENT if outcome.kind == "accepted" else Ask.State.UNKNOWN)
        else:
            _take_back(ask, is_final=outcome.kind == "refused")
            Budget.objects.filter(day=_day(ask.claimed_at)).update(
                parts=F("parts") - spent, sent=F("sent") - 1
            )
        ask.save()


def here_since() -> datetime:
    """Return the time since when a page must have spoken to be here now."""
    return now() - HERE


def parts_today() -> int:
    """Return how many parts of SMS are paid for today. Raises django.db.Error."""
    return Budget.objects.filter(day=_day(now())).values_list("parts", flat=True).first() or 0


def _judge(ask: Ask, registration: Registration, budget: Budget, *, confirms: bool) -> Errand | None:
    """Return the errand that a question becomes, or None if there is no SMS now. Raises _BudgetSpentError."""
    ask.registration = registration
    if reason := _refusal(ask, registration, confirms=confirms):
        _end(ask, Ask.State.REFUSED if reason == "impossible" else Ask.State.DROPPED, reason)
        return None
    time = now()
    challenge = _challenge(registration, time)
    if challenge.pk and Ask.objects.filter(challenge=challenge, state=Ask.State.SENDING).exists():
        return None  # this number's SMS is on its way for another ticket: the next round knows more
    if challenge.sent_at and time - challenge.sent_at < timedelta(seconds=asks.PAUSES[0]):
        # Another ticket of this number has just had it: this one is told the same, and no SMS goes out.
        ask.challenge = challenge
        _end(ask, Ask.State.SENT)
        return None
    errand = _errand(ask, registration, challenge)
    if settings.CODE_BUDGET and budget.parts + errand.parts > settings.CODE_BUDGET:
        raise _BudgetSpentError
    _begin(ask, challenge, errand, time)
    budget.parts += errand.parts
    budget.sent += 1
    budget.save()
    return errand


def _begin(ask: Ask, challenge: Challenge, errand: Errand, time: datetime) -> None:
    # The code may be typed before the gateway has answered.
    challenge.expires_at = time + timedelta(seconds=settings.CODE_TTL) + GATEWAY_TIMEOUT
    challenge.save()
    ask.challenge, ask.state = challenge, Ask.State.SENDING
    ask.claimed_at, ask.parts = time, errand.parts
    ask.save()


def _end(ask: Ask, state: str, reason: str = "") -> None:
    ask.state, ask.reason, ask.settled_at = state, reason, now()
    ask.save()


def _refusal(ask: Ask, registration: Registration, *, confirms: bool) -> str:
    if not confirms:
        return "off"
    if not registration.phone_number.startswith("09"):
        return "impossible"
    return "limit" if caps.are_reached(registration.phone_number, bytes(ask.from_key)) else ""


def _challenge(registration: Registration, time: datetime) -> Challenge:
    """Return the open challenge of a registration, or a new one in place of one whose code is old."""
    known = Challenge.objects.select_for_update().filter(registration=registration, closed_at=None).first()
    if known and (known.first_sent_at is None or time - known.first_sent_at < SAME_CODE):
        return known
    if known:
        known.closed_at, known.closed_as = time, Challenge.End.EXPIRED
        known.save(update_fields=["closed_at", "closed_as"])
    return Challenge(
        registration=registration, nonce=os.urandom(codes.NONCE), opened_at=time, expires_at=time
    )


def _errand(ask: Ask, registration: Registration, challenge: Challenge) -> Errand:
    phone_number = registration.phone_number
    code = codes.of(secret.key(), bytes(challenge.nonce), phone_number)
    text = messages.text(ask.language, ask.site, code)
    request_id = str(ask.request_id)
    return Errand(ask.pk, request_id, phone_number, code, text, ask.language, ask.site, messages.parts(text))


def _note_sent(ask: Ask, state: str) -> None:
    time = now()
    # A code that is sent now is good from now on. One that nobody knows of, since it may have been sent.
    since = time if state == Ask.State.SENT else ask.claimed_at
    assert since is not None
    ask.state, ask.settled_at = state, time
    challenge = Challenge.objects.select_for_update().filter(ask=ask).first()
    if challenge:
        challenge.sent_at = since
        challenge.first_sent_at = challenge.first_sent_at or since
        challenge.expires_at = since + timedelta(seconds=settings.CODE_TTL)
        challenge.save(update_fields=["sent_at", "first_sent_at", "expires_at"])


def _take_back(ask: Ask, *, is_final: bool) -> None:
    """Let a question wait again at its place, or end it: no SMS went out."""
    ask.parts = 0
    ask.state = Ask.State.REFUSED if is_final else Ask.State.WAITING
    ask.settled_at = now() if is_final else None


def _give_up_old() -> list[str]:
    """End claims whose courier has died, and questions of those who have left for good; return their submissions."""
    time = now()
    dead = Ask.objects.select_for_update(skip_locked=True).filter(
        state=Ask.State.SENDING, claimed_at__lt=time - UNKNOWN_AFTER
    )
    changed = []
    for ask in dead:
        _note_sent(ask, Ask.State.UNKNOWN)
        ask.save()
        changed.append(str(ask.request_id))
    Ask.objects.filter(state=Ask.State.WAITING, here_at__lt=time - LEFT).update(
        state=Ask.State.DROPPED, reason="left", settled_at=time
    )
    return changed


def _candidates(most: int) -> Iterator[tuple[Ask, Registration, bool]]:
    if most <= 0:
        return
    with connection.cursor() as cursor:
        cursor.execute(_CANDIDATES, {"here": here_since(), "most": most})
        found = cursor.fetchall()
    known = Ask.objects.in_bulk([ask_id for ask_id, *_ in found])
    registrations = Registration.objects.in_bulk([registration_id for _, registration_id, _ in found])
    for ask_id, registration_id, confirms in found:
        yield known[ask_id], registrations[registration_id], confirms


def _idle(holder: str) -> Claimed | None:
    """Return the claim of a moment without work, or None if there is some: a look costs no write, a lock does."""
    time = now()
    with connection.cursor() as cursor:
        cursor.execute(_WORK, {"here": here_since(), "dead": time - UNKNOWN_AFTER})
        has_work, known, until = cursor.fetchone()
    if known == holder:
        return None if has_work or until < time + LEASE / 2 else Claimed(held_by=None)
    return Claimed(is_ours=False) if known and until > time else None


def _holds_lease(holder: str) -> bool:
    """Return whether this courier is the one that works. The row's lock lets claims follow each other."""
    time = now()
    Lease.objects.bulk_create([Lease(pk=1, holder=holder, until=time)], ignore_conflicts=True)
    lease = Lease.objects.select_for_update().get(pk=1)
    if lease.holder != holder and lease.until > time:
        return False
    lease.holder, lease.until = holder, time + LEASE
    lease.save()
    return True


def _budget() -> Budget:
    day = _day(now())
    Budget.objects.bulk_create([Budget(day=day)], ignore_conflicts=True)
    return Budget.objects.select_for_update().get(pk=day)


def _day(time: datetime | None) -> date:
    assert time is not None
    return time.astimezone(settings.DISPLAY_TIME_ZONE).date()
