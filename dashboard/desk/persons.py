"""All that is held about one person, and its erasure from every store."""

from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from confirmations import forgetting
from courier.models import Delivery
from dashboard.desk import dead_letters
from dashboard.desk.dead_letters import Choice, Letter
from dashboard.models import Export, ExportChunk
from landing.models import ErasedSubmission, ParkedLog, Registration, StoredSubmission
from landing.storing import erasures
from landing.storing.erasures import Mark
from lib import phones
from lib.clock import now
from logs import utils as logs

STAYS = {
    "the proxy's log": "addresses and tracking codes, no phone number; until it rotates",
    "backups": "until they expire: after a restore run `manage.py erase --again FILE` with what `--list` printed",
}
"""What an erasure does not reach, and until when."""


BATCH, LATELY = 5_000, timedelta(days=1)


@dataclass
class Erased:
    """How much was erased, by store."""

    registrations: int = 0
    submissions: int = 0
    documents: int = 0
    exports: int = 0
    dead_letters: int = 0


def tell(phone_number: str) -> dict[str, Any]:
    """Return all that is held about a person. Raises StoreUnavailable, django.db.Error or one of queues.OUTAGES."""
    registrations, submissions = erasures.found(phone_number, "")
    rows = Registration.objects.filter(pk__in=registrations).select_related("campaign").order_by("pk")
    return {
        "phone_number": phone_number,
        "registrations": [
            {
                "campaign": str(row.campaign),
                "status": row.status,
                "number": row.number,
                "first_seen": row.first_seen,
                "last_seen": row.last_seen,
                "confirmed_at": row.confirmed_at,
            }
            for row in rows
        ],
        "submissions": list(
            StoredSubmission.objects.filter(pk__in=submissions)
            .order_by("accepted_at")
            .values("request_id", "accepted_at", "stored_at", "details")
        ),
        "request_log": logs.find_many([str(one) for one in submissions]),
        "waiting_for_the_request_log": list(
            ParkedLog.objects.filter(pk__in=submissions).values_list("document", flat=True)
        ),
        **forgetting.tell(submissions),
        "webhooks": list(
            Delivery.objects.filter(request_ids__overlap=submissions)
            .order_by("pk")
            .values("webhook", "kind", "state", "created_at", "ended_at")
        ),
        "dead_letters": [
            raw
            for letter in _letters_of(phone_number)
            for raw in letter.registrations or []
            if _is_of(raw, phone_number)
        ],
    }


def erase(phone_number: str, mark: Mark) -> Erased:
    """Erase a person from every store. To repeat it is harmless.

    Raises NoSuchCampaign, StoreUnavailable, django.db.Error or one of queues.OUTAGES: then repeat it.
    """
    erased = Erased(exports=forget_exports())

    def forget(registrations: list[int], submissions: list[UUID]) -> None:
        erased.registrations, erased.submissions = len(registrations), len(submissions)
        forgetting.forget(registrations, submissions)

    erasures.erase(phone_number, mark, forget)
    erased.documents = sweep()
    if not mark.campaign:
        erased.dead_letters = _forget_letters(phone_number)
    return erased


def erase_again(phone_number: str, mark: Mark) -> int:
    """Delete what a worker has written meanwhile, which stood between two stores. Raises as erase() does."""
    deleted = sweep()
    if not mark.campaign:
        deleted += _forget_letters(phone_number)
    return deleted


def sweep() -> int:
    """Delete documents of all that was erased lately; return how many there were. Raises as erase() does.

    By the ids that PostgreSQL keeps, so that it also ends the work of an erasure that was killed in the middle.
    """
    ids = ErasedSubmission.objects.filter(erased_at__gt=now() - LATELY).values_list("pk", flat=True)
    there, deleted = ids.iterator(chunk_size=BATCH), 0
    while batch := [str(one) for one in islice(there, BATCH)]:
        ParkedLog.objects.filter(pk__in=batch).delete()
        deleted += logs.delete(batch)
    return deleted


def forget_exports() -> int:
    """Delete the files of exports: each may hold anybody."""
    ready = Export.objects.filter(state=Export.State.READY)
    ExportChunk.objects.filter(export__in=ready).delete()
    return ready.update(state=Export.State.EXPIRED)


def _letters_of(phone_number: str) -> list[Letter]:
    return [
        letter
        for letter in dead_letters.letters(Choice())
        if any(_is_of(raw, phone_number) for raw in letter.registrations or [])
    ]


def _forget_letters(phone_number: str) -> int:
    """Discard a person's dead letters; a batch with others is sent again, each alone, and the person's is not stored."""
    letters = _letters_of(phone_number)
    alone = {one.key for one in letters if len(one.registrations or []) == 1}
    mixed = frozenset(one.key for one in letters) - alone
    if alone:
        dead_letters.discard(alone, "erased")
    if mixed:
        dead_letters.replay(Choice(keys=mixed), _nothing, one_by_one=True)
    return len(letters)


def _is_of(raw: Any, phone_number: str) -> bool:
    try:
        return phones.normalise(raw[0]) == phone_number
    except (phones.InvalidPhone, TypeError, IndexError, KeyError):
        return False


def _nothing(_: Letter) -> None:
    """Say nothing of each letter."""
