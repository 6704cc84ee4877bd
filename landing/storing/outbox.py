"""Documents that MongoDB cannot take wait in PostgreSQL, and go on when it is back."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models import Q

from landing.keeping import tracing
from landing.models import ParkedLog
from landing.storing.background import run_in_worker
from lib import metrics
from lib.clock import now
from lib.outage import Outage
from logs import encoding
from logs import utils as logs

log = logging.getLogger(__name__)

BATCH = 500
INTERVAL = 10.0
"""Seconds between two looks at the parked documents."""

REFUSED_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(days=1)
"""The pause before a document that the log store has refused is given again doubles, up to a day."""

_outage = Outage(pause=5.0)


@tracing.step("mongodb")
def deliver(documents: Sequence[logs.Document]) -> None:
    """Give documents to the log store; park them if it does not take them.

    Raises django.db.Error if they cannot be parked either. While the store is known to be away it
    is not asked, so that its outage does not slow down PostgreSQL's work.
    """
    if _outage.is_on:
        park(documents)
        return
    try:
        logs.log_requests(documents)
    except logs.DocumentsRefused as error:
        # The store works. Which of them it was, redrive() finds out.
        log.warning("the log store refuses request logs", extra={"reason": str(error)})
        park(documents)
    except logs.StoreUnavailable as error:
        if _outage.note_failure():
            log.warning("request logs are parked in PostgreSQL", extra={"reason": str(error)})
        park(documents)
    else:
        _outage.note_success()
        metrics.count("documents:mongodb", len(documents))


def park(documents: Sequence[logs.Document]) -> None:
    """Keep documents in PostgreSQL; one that is parked already stays as it is."""
    ParkedLog.objects.bulk_create(
        [ParkedLog(request_id=one["_id"], document=encoding.to_plain(one)) for one in documents],
        ignore_conflicts=True,
    )
    metrics.count("documents:parked", len(documents))


def find_many(request_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the request logs of these registrations, by request_id: those in the log store, else those that wait for it.

    The times in one that waits are as in encoding.to_plain(). Raises StoreUnavailable or django.db.Error.
    """
    found = {str(document["_id"]): document for document in logs.find_many(request_ids)}
    missing = [one for one in request_ids if one not in found]
    parked = ParkedLog.objects.filter(pk__in=missing) if missing else ()
    return found | {str(one.pk): one.document for one in parked}


def redrive() -> int:
    """Move one batch of parked documents to the log store; return how many went, or were found to be refused.

    One that the store refuses stays, with the reason, and is given again after a pause that grows.
    Raises StoreUnavailable or django.db.Error, and then they are still parked. Several workers
    may do this at once: each takes rows that no other has locked.
    """
    with transaction.atomic():
        due = ParkedLog.objects.filter(Q(try_at=None) | Q(try_at__lte=now()))
        parked = list(due.select_for_update(skip_locked=True).order_by("parked_at")[:BATCH])
        refused = _give(parked)
        ParkedLog.objects.filter(pk__in={one.pk for one in parked} - {one.pk for one in refused}).delete()
        ParkedLog.objects.bulk_update(refused, ["refusals", "try_at", "reason"])
    metrics.count("documents:mongodb", len(parked) - len(refused))
    return len(parked)


def _give(parked: Sequence[ParkedLog]) -> list[ParkedLog]:
    """Give documents to the log store; halve what it refuses until each culprit stands alone, and return those."""
    try:
        logs.log_requests([encoding.from_plain(one.document) for one in parked])
    except logs.DocumentsRefused as error:
        if len(parked) > 1:
            middle = len(parked) // 2
            return _give(parked[:middle]) + _give(parked[middle:])
        [culprit] = parked
        culprit.refusals, culprit.reason = culprit.refusals + 1, str(error)
        culprit.try_at = now() + min(REFUSED_PAUSE * 2**culprit.refusals, LONGEST_PAUSE)
        log.error(
            "the log store refuses a request log",
            extra={"request_id": str(culprit.pk), "reason": culprit.reason, "refusals": culprit.refusals},
        )
        return [culprit]
    return []


@run_in_worker("redrive", every=INTERVAL)
def redrive_all() -> None:
    """Move parked documents to the log store until there are none, or it takes no more."""
    try:
        while moved := redrive():
            log.info("parked request logs delivered", extra={"count": moved})
    except (logs.StoreUnavailable, DatabaseError) as error:
        log.info("parked request logs still wait", extra={"reason": repr(error)})
