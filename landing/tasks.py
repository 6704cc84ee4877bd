"""The Celery tasks: a policy and a call.

A message is acknowledged after the work, and the work may be done twice: whatever kills a worker,
its batch is delivered again and changes nothing. An outage is waited out with the batch in hand;
only what no retry can save becomes a dead letter, alone and with its reason.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from celery import shared_task
from celery.exceptions import Reject
from django.db import DataError, IntegrityError

from landing.keeping import queues, task_messages, tracing
from landing.storing import dead_lettering, outages, outbox, registrations, task_states
from landing.storing.registrations import Stored
from landing.storing.task_states import Known, State
from landing.submission import MalformedSubmission, Submission
from lib import metrics
from lib.clock import now
from lib.outage import Outage

log = logging.getLogger(__name__)

Arrival = tuple[Submission, str | None]
"""A submission, and when RabbitMQ was given it."""

Culprit = tuple[Any, str]
"""A raw registration that no retry can save, and why."""

_burying_outage = Outage(pause=30.0)


@shared_task(name=task_messages.TASK, ignore_result=True)
@outages.gives_back
def save_phones_async(batch: list[Any], queued_at: str | None = None) -> None:
    """Store a batch of submissions in their wire form (Submission.to_wire)."""
    save_batches_async([[batch, queued_at]])


@shared_task(name=task_messages.JOINED, ignore_result=True)
@outages.gives_back
def save_batches_async(batches: list[Any]) -> None:
    """Store several batches, each with the time it was queued at, in the same slices."""
    raws = [(raw, queued_at) for batch, queued_at in batches for raw in batch]
    culprits: list[Culprit] = []
    for start in range(0, len(raws), task_messages.MOST):
        arrivals, malformed = _read(raws[start : start + task_messages.MOST])
        culprits += malformed
        culprits += _save(arrivals)
    # At the end, since a memory or disk alarm of RabbitMQ lets nobody bury, and everybody consume.
    _bury(culprits)


@shared_task(name="landing.tasks.save_phone_async")
@outages.gives_back
def save_phone_async(
    phone_number: str,
    request_id: str,
    ip_address: str,
    referrer: str,
    user_agent: str = "",
    accepted_at: str | None = None,
) -> None:
    """Store one registration: the call of requirement R16 (docs/requirements.md).

    save_phone_async.delay("09123456789", str(uuid4()), "192.0.2.1", "https://example.com/")
    """
    time = accepted_at or now().isoformat()
    save_phones_async([[phone_number, request_id, ip_address, referrer, user_agent, time]])


@tracing.batch
def _save(arrivals: Sequence[Arrival]) -> list[Culprit]:
    stored, culprits = _store([submission for submission, _ in arrivals])
    refused = {raw[1] for raw, _ in culprits}
    erased = [
        one.request_id
        for one, _ in arrivals
        if one.request_id not in stored and one.request_id not in refused
    ]
    if erased:  # of people who have asked to be forgotten since
        task_states.write(dict.fromkeys(erased, Known(State.ERASED)))
    arrivals = [one for one in arrivals if one[0].request_id in stored]
    documents = [
        _document(submission, stored[submission.request_id].registration_id, queued_at)
        for submission, queued_at in arrivals
    ]
    outages.wait_out(lambda: outbox.deliver(documents), "deliver request logs")
    metrics.count("stored", len(documents))
    for slug, count in Counter(one.campaign for one, _ in arrivals).items():
        metrics.count(f"campaign_stored:{registrations.campaign_label(slug)}", count)
    # After both stores: a visitor who reads "Registered" has a row and a document.
    task_states.write(
        {
            one.request_id: Known(State.STORED, one.campaign, stored[one.request_id].number)
            for one, _ in arrivals
        }
    )
    log.info("stored", extra={"request_ids": [one.request_id for one, _ in arrivals]})
    return culprits


def _store(batch: Sequence[Submission]) -> tuple[dict[str, Stored], list[Culprit]]:
    """Store a batch; if the data are at fault, halve it until the one culprit stands alone."""
    # Halved, since PostgreSQL names no row of a statement that it refuses. With one culprit among 500 that is
    # nine statements more, and its neighbours are stored all the same.
    if not batch:
        return {}, []
    try:
        return outages.wait_out(lambda: registrations.store(batch), "store registrations"), []
    except (DataError, IntegrityError) as error:
        if len(batch) == 1:
            return {}, [(batch[0].to_wire(), f"refused by PostgreSQL: {type(error.__cause__).__name__}")]
        middle = len(batch) // 2
        (stored, culprits), (more, more_culprits) = _store(batch[:middle]), _store(batch[middle:])
        return stored | more, culprits + more_culprits


def _read(raws: Sequence[tuple[Any, str | None]]) -> tuple[list[Arrival], list[Culprit]]:
    arrivals, malformed = [], []
    for raw, queued_at in raws:
        try:
            arrivals.append((Submission.from_wire(raw), queued_at))
        except MalformedSubmission as error:
            malformed.append((raw, f"malformed: {error}"))
    return arrivals, malformed


def _bury(culprits: Sequence[Culprit]) -> None:
    """Make a dead letter of each; if RabbitMQ does not take it, let it make one of the whole message.

    That is RabbitMQ's own doing, inside, which no alarm holds up. It keeps all that is in the message,
    of which the sound ones are stored, so that a replay leaves the culprits alone. To wait here instead
    would take a process from the pool for each such message until the alarm ends.
    """
    try:
        for raw, reason in culprits:
            if _burying_outage.is_on:
                raise Reject("a dead letter cannot be buried", requeue=False)
            dead_lettering.bury(raw, reason)
    except queues.OUTAGES as error:
        _burying_outage.note_failure()
        log.warning(
            "RabbitMQ takes no dead letter: it keeps the whole message as one", extra={"reason": repr(error)}
        )
        raise Reject(error, requeue=False) from error
    finally:
        if ids := [request_id for raw, _ in culprits if (request_id := _request_id(raw))]:
            task_states.write(dict.fromkeys(ids, Known(State.DEAD)))


def _request_id(raw: Any) -> str | None:
    try:
        return str(UUID(raw[1]))
    except (ValueError, TypeError, IndexError, KeyError, AttributeError):
        return None


def _document(submission: Submission, registration_id: int, queued_at: str | None) -> dict[str, Any]:
    return {
        "_id": submission.request_id,
        "registration_id": registration_id,
        "ip_address": submission.ip_address,
        "referrer": submission.referrer,
        "user_agent": submission.user_agent,
        "accepted_at": submission.accepted_at,
        "queued_at": datetime.fromisoformat(queued_at) if queued_at else None,
        "logged_at": now(),
    }
