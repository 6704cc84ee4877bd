"""The whole life of one request, gathered from the stores it went through."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from landing import status
from landing.models import ParkedLog, StoredSubmission
from landing.states import State
from lib import phones
from logs import utils as logs


@dataclass(frozen=True)
class Hop:
    """One place that a request has passed: its name, when (UTC, None if it left no time), and what is known."""

    name: str
    time: datetime | None
    facts: dict[str, Any] = field(default_factory=dict)


def of(request_id: UUID) -> list[Hop]:
    """Return the hops of a request, in order; none for an id that nothing is known of.

    Raises StoreUnavailable or django.db.Error when a store does not answer.
    """
    document = logs.find(str(request_id)) or {}
    submission = StoredSubmission.objects.select_related("registration").filter(pk=request_id).first()
    hops = _before_storing(document, submission) + _stored(submission) + _logged(request_id, document)
    state = status.of(str(request_id))
    if state and (hops or state is not State.STORED):
        hops.append(Hop("state", None, {"status": state.shown, "celery": str(state)}))
    return hops


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
    }
    return [Hop("stored", submission.stored_at, facts)]


def _logged(request_id: UUID, document: dict[str, Any]) -> list[Hop]:
    if document:
        names = ("registration_id", "ip_address", "referrer", "user_agent")
        facts = {"store": "MongoDB"} | {name: document.get(name) for name in names}
        return [Hop("logged", document.get("logged_at"), facts)]
    parked = ParkedLog.objects.filter(pk=request_id).first()
    return [Hop("parked", parked.parked_at, {"waits for": "MongoDB"})] if parked else []
