"""The whole life of one request, gathered from the stores it went through."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import Error as DatabaseError

from confirmations.models import Ask, Try
from courier.models import Delivery
from dashboard.desk import dead_letters
from dashboard.desk.dead_letters import Choice
from landing.door import status
from landing.keeping import queues
from landing.models import ParkedLog, StoredSubmission
from landing.storing.task_states import Known, State
from lib import phones
from logs import utils as logs

MOST_SUBMISSIONS = 50
MOST_LETTERS = 200
"""Dead letters that are looked through for one request. Each look costs RabbitMQ a delivery."""

POSTGRESQL, MONGODB, DEAD_LETTERS = "PostgreSQL", "MongoDB", "RabbitMQ's dead letters"


@dataclass(frozen=True)
class Hop:
    """One place that a request has passed: its name, when (UTC, None if it left no time), and what is known."""

    name: str
    time: datetime | None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trace:
    """The hops of a request, in order, and the stores that could not be asked."""

    hops: list[Hop]
    silent: list[str]

    @property
    def timeline(self) -> Iterable[tuple[Hop, float | None]]:
        """Yield each hop with the seconds since the one before it that left a time."""
        before = None
        for hop in self.hops:
            yield hop, (hop.time - before).total_seconds() if hop.time and before else None
            before = hop.time or before


def of(request_id: UUID) -> Trace:
    """Return what is known of a request; no hops for an id that nothing is known of."""
    silent: list[str] = []
    document = _asked(MONGODB, lambda: logs.find(str(request_id)), silent) or {}
    submission, parked = _asked(POSTGRESQL, lambda: _rows(request_id), silent) or (None, None)
    hops = _before_storing(document, submission) + _stored(submission) + _logged(document, parked)
    hops += _asked(POSTGRESQL, lambda: _codes(request_id) + _webhooks(request_id), silent) or []
    if submission is None:
        hops += _asked(DEAD_LETTERS, lambda: _buried(request_id), silent) or []
    known = Known(State.STORED) if submission else status.of(str(request_id))
    if known and (hops or known.state is not State.STORED):
        hops.append(Hop("state", None, {"status": known.state.shown, "celery": str(known.state)}))
    return Trace(hops, silent)


def submissions_of(phone_number: str) -> list[StoredSubmission]:
    """Return the newest submissions of a phone number, at most MOST_SUBMISSIONS."""
    found = StoredSubmission.objects.filter(registration__phone_number=phone_number)
    return list(found.order_by("-accepted_at")[:MOST_SUBMISSIONS])


def _asked(store: str, ask: Callable[[], Any], silent: list[str]) -> Any:
    try:
        return ask()
    except (logs.StoreUnavailable, DatabaseError, *queues.OUTAGES):
        silent.append(store)
        return None


def _rows(request_id: UUID) -> tuple[StoredSubmission | None, ParkedLog | None]:
    stored = StoredSubmission.objects.select_related("registration__campaign").filter(pk=request_id)
    return stored.first(), ParkedLog.objects.filter(pk=request_id).first()


def _before_storing(document: dict[str, Any], submission: StoredSubmission | None) -> list[Hop]:
    hops = []
    if accepted_at := submission.accepted_at if submission else document.get("accepted_at"):
        hops.append(Hop("accepted", accepted_at))
    if queued_at := document.get("queued_at"):
        hops.append(Hop("queued", queued_at, {"queue": "registrations"}))
    return hops


def _stored(submission: StoredSubmission | None) -> list[Hop]:
    if submission is None:
        return []
    facts = {
        "store": "PostgreSQL",
        "registration": submission.registration.pk,
        "phone_number": phones.mask(submission.registration.phone_number),
        "confirmation": submission.registration.status,
        "campaign": str(submission.registration.campaign),
        "number": submission.registration.number,
        # Which, and not what: the values are as personal as the number.
        "details": sorted(submission.details or {}) or None,
    }
    return [Hop("stored", submission.stored_at, facts)]


def _logged(document: dict[str, Any], parked: ParkedLog | None) -> list[Hop]:
    if document:
        names = ("registration_id", "ip_address", "referrer", "user_agent")
        facts = {"store": "MongoDB"} | {name: document.get(name) for name in names}
        return [Hop("logged", document.get("logged_at"), facts)]
    return [Hop("parked", parked.parked_at, {"waits for": "MongoDB"})] if parked else []


def _codes(request_id: UUID) -> list[Hop]:
    """Return each question for a code with what became of it, and each code that was typed."""
    hops: list[tuple[datetime, Hop]] = []
    for ask in Ask.objects.filter(request_id=request_id):
        hops.append((ask.asked_at, Hop("asked", ask.asked_at, {"language": ask.language})))
        if ask.claimed_at:
            facts = {"outcome": ask.state, "gateway": ask.gateway, "id": ask.message_id, "reason": ask.reason}
            at = ask.settled_at or ask.claimed_at
            hops.append((at, Hop("code", at, {name: fact for name, fact in facts.items() if fact})))
    hops += [
        (typed.arrived_at, Hop("typed", typed.arrived_at, {"verdict": typed.verdict}))
        for typed in Try.objects.filter(request_id=request_id)
    ]
    return [hop for _, hop in sorted(hops, key=itemgetter(0))]


def _webhooks(request_id: UUID) -> list[Hop]:
    """Return each message to a webhook that it is in, with what became of it."""
    return [
        Hop(
            "webhook",
            one.ended_at or one.created_at,
            {"webhook": one.webhook, "event": one.kind, "state": one.state, "id": str(one.message_id)}
            | ({"reason": one.reason} if one.reason else {}),
        )
        for one in Delivery.objects.filter(request_ids__contains=[request_id]).order_by("pk")
    ]


def _buried(request_id: UUID) -> list[Hop]:
    letters = islice(dead_letters.letters(Choice()), MOST_LETTERS)
    choice = Choice(request_id=str(request_id))
    return [
        Hop(
            "dead", letter.died_at, {"reason": letter.reason, "deliveries": letter.message.deliveries or None}
        )
        for letter in letters
        if choice.takes(letter)
    ]
