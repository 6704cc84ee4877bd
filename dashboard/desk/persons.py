"""All that is held about one person, and its erasure from every store."""

from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_noop

from confirmations import forgetting
from courier.models import Delivery
from dashboard.desk import dead_letters
from dashboard.desk.dead_letters import Choice, Letter
from dashboard.models import ErasureRequest, Export, ExportChunk
from landing.models import ErasedSubmission, ParkedLog, Registration, StoredSubmission
from landing.storing import erasures
from landing.storing.erasures import Mark
from landing.submission import slug_in
from lib import phones
from lib.clock import now
from logs import utils as logs

STAYS = {
    gettext_noop("the proxy's log"): gettext_noop(
        "addresses and tracking codes, no phone number; until it rotates"
    ),
    gettext_noop("backups"): gettext_noop(
        "until they expire: after a restore run `manage.py erase --again FILE` with what `--list` printed"
    ),
    gettext_noop("receivers of webhooks"): gettext_noop("what they have got before: tell their owners"),
    gettext_noop("copies of messages"): gettext_noop(
        "for KEEP_DAYS, if that is set; they are not stored again"
    ),
    gettext_noop("downloaded exports"): gettext_noop(
        "until they are deleted by hand: the audit log says who has them"
    ),
}
"""What an erasure does not reach, and until when."""


BATCH, LATELY = 5_000, timedelta(days=1)


@dataclass
class Held:
    """How much there is of a person, or was, by store."""

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
            for letter in _letters_of(phone_number, "")
            for raw in letter.registrations or []
            if _is_of(raw, phone_number, "")
        ],
        "erasure_asked_at": list(
            ErasureRequest.objects.filter(phone_number=phone_number).values_list("requested_at", flat=True)
        ),
    }


def count(phone_number: str, campaign: str, most_letters: int | None = None) -> Held:
    """Return how much erase() would delete. campaign: a slug, "" for all.

    most_letters: no more dead letters than so many are looked at, the oldest. Raises as erase() does.
    """
    registrations, submissions = erasures.found(phone_number, campaign)
    return Held(
        registrations=len(registrations),
        submissions=len(submissions),
        documents=len(logs.find_many([str(one) for one in submissions])),
        exports=Export.objects.filter(state=Export.State.READY).count(),
        dead_letters=len(_letters_of(phone_number, campaign, most_letters)),
    )


def erase(phone_number: str, mark: Mark) -> Held:
    """Erase a person from every store. To repeat it is harmless.

    Raises NoSuchCampaign, StoreUnavailable, django.db.Error or one of queues.OUTAGES: then repeat it.
    """
    erased = Held(exports=forget_exports())

    def forget(registrations: list[int], submissions: list[UUID]) -> None:
        erased.registrations, erased.submissions = len(registrations), len(submissions)
        forgetting.forget(registrations, submissions)

    erasures.erase(phone_number, mark, forget)
    erased.documents = sweep()
    erased.dead_letters = _forget_letters(phone_number, mark.campaign)
    return erased


def erase_again(phone_number: str, mark: Mark) -> int:
    """Delete what a worker has written meanwhile, which stood between two stores. Raises as erase() does.

    Then nothing is left to do, so what staff asked in the admin is closed, and the number goes from there too.
    """
    deleted = sweep() + _forget_letters(phone_number, mark.campaign)
    if not mark.campaign:
        asked = ErasureRequest.objects.filter(phone_number=phone_number, erased_at=None)
        asked.update(phone_number="", erased_at=now())
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


def _letters_of(phone_number: str, campaign: str, most: int | None = None) -> list[Letter]:
    return [
        letter
        for letter in islice(dead_letters.letters(Choice()), most)
        if any(_is_of(raw, phone_number, campaign) for raw in letter.registrations or [])
    ]


def _forget_letters(phone_number: str, campaign: str) -> int:
    """Discard a person's dead letters; a batch with others is sent again, each alone, and the person's is not stored."""
    letters = _letters_of(phone_number, campaign)
    alone = {one.key for one in letters if len(one.registrations or []) == 1}
    mixed = frozenset(one.key for one in letters) - alone
    if alone:
        dead_letters.discard(alone, "erased")
    if mixed:
        dead_letters.replay(Choice(keys=mixed), _nothing, one_by_one=True)
    return len(letters)


def _is_of(raw: Any, phone_number: str, campaign: str) -> bool:
    try:
        return phones.normalise(raw[0]) == phone_number and campaign in ("", slug_in(raw))
    except (phones.InvalidPhone, TypeError, IndexError, KeyError):
        return False


def _nothing(_: Letter) -> None:
    """Say nothing of each letter."""
