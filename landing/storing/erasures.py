"""Forgetting a person: the only code that deletes registrations on somebody's wish.

One transaction under the lock that storing conflicts with: what is stored before it is deleted in it, and what comes
after it meets the row of the erasure (landing/storing/registrations.py). So no queue and no spool is searched.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from campaigns.models import CampaignRow
from landing.models import ErasedSubmission, Erasure, Event, ParkedLog, Registration, StoredSubmission
from landing.storing import erased_phones, registrations, task_states
from landing.storing.task_states import Known, State
from lib.clock import now, read_utc

EVERYBODY = b""
"""In place of a hash: all people of a campaign whose time is over."""

Forget = Callable[[list[int], list[UUID]], None]
"""Deletes what belongs to these registrations and submissions elsewhere in PostgreSQL."""


@dataclass(frozen=True)
class Mark:
    """An erasure as it is kept beside backups. campaign: its slug, "" for all."""

    phone_hash: bytes
    campaign: str
    erased_at: datetime

    def to_line(self) -> list[str]:
        """Return it as JSON can carry it. It names nobody."""
        return [self.phone_hash.hex(), self.campaign, self.erased_at.isoformat()]

    @classmethod
    def from_line(cls, raw: object) -> "Mark":
        """Read what to_line() wrote. Raises ValueError."""
        if not (isinstance(raw, list) and len(raw) == 3 and all(isinstance(one, str) for one in raw)):
            raise ValueError("not three texts")
        if len(phone_hash := bytes.fromhex(raw[0])) != erased_phones.SIZE:
            raise ValueError("no hash")
        return cls(phone_hash, raw[1], read_utc(raw[2]))


def mark_of(phone_number: str, campaign: str) -> Mark:
    """Return the erasure of a person as of now. campaign: a slug, "" for all."""
    return Mark(erased_phones.hash_of(phone_number), campaign, now())


def found(phone_number: str, campaign: str) -> tuple[list[int], list[UUID]]:
    """Return the ids of a person's registrations and submissions. Raises NoSuchCampaign or django.db.Error."""
    rows = Registration.objects.filter(phone_number=phone_number)
    if campaign:
        rows = rows.filter(campaign=CampaignRow.named(campaign))
    ids = list(rows.values_list("pk", flat=True))
    return ids, _submissions_of(ids)


def erase(phone_number: str, mark: Mark, forget: Forget) -> list[UUID]:
    """Erase a person's registrations, and note it for what is still on its way; return the submissions' ids.

    forget: deletes, in the same transaction, what other packages keep of them. Raises NoSuchCampaign or django.db.Error.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        registrations.hold_storing(cursor)
        _note(mark)
        ids, submissions = found(phone_number, mark.campaign)
        forget(ids, submissions)
        _delete(ids, submissions)
    task_states.write({str(one): Known(State.ERASED) for one in submissions})
    return submissions


def close(campaign: CampaignRow) -> None:
    """Let nothing of a campaign be stored any more that was accepted up to now. Raises django.db.Error."""
    with transaction.atomic(), connection.cursor() as cursor:
        registrations.hold_storing(cursor)
        _note(Mark(EVERYBODY, campaign.slug, now()))


def due() -> dict[str, int]:
    """Return how many registrations are still kept of each campaign whose time is over. Raises django.db.Error."""
    over = CampaignRow.objects.filter(keep_until__lt=now()).order_by("slug")
    kept = {row.slug: Registration.objects.filter(campaign=row).count() for row in over}
    return {slug: count for slug, count in kept.items() if count}


def erase_some(campaign: CampaignRow, most: int, forget: Forget) -> int:
    """Erase up to so many registrations of a closed campaign; return how many it was. Raises django.db.Error."""
    with transaction.atomic():
        # The campaign's row before its registrations, as storing has it: two orders could wait for each other.
        CampaignRow.named(campaign.slug, locked=True)
        rows = Registration.objects.filter(campaign=campaign).order_by("pk")
        ids = list(rows.values_list("pk", flat=True)[:most])
        submissions = _submissions_of(ids)
        forget(ids, submissions)
        _delete(ids, submissions)
        CampaignRow.objects.filter(pk=campaign.pk).update(purged=F("purged") + len(ids))
    task_states.write({str(one): Known(State.ERASED) for one in submissions})
    return len(ids)


def marks() -> Iterator[Mark]:
    """Yield all erasures of people, the oldest first. Raises django.db.Error."""
    for one in (
        Erasure.objects.exclude(phone_hash=EVERYBODY).select_related("campaign").order_by("pk").iterator()
    ):
        campaign: CampaignRow | None = one.campaign
        yield Mark(bytes(one.phone_hash), str(campaign) if campaign else "", one.erased_at)


def phones_of(marks: Iterable[Mark]) -> Iterator[tuple[str, Mark]]:
    """Yield the phone numbers that are stored though they were erased, as after a restore. Raises django.db.Error."""
    by_hash: dict[bytes, list[Mark]] = {}
    for mark in marks:
        by_hash.setdefault(mark.phone_hash, []).append(mark)
    phones = Registration.objects.order_by("phone_number").values_list("phone_number", flat=True).distinct()
    for phone_number in phones.iterator(chunk_size=10_000):
        for mark in by_hash.get(erased_phones.hash_of(phone_number), ()):
            yield phone_number, mark


def _submissions_of(ids: list[int]) -> list[UUID]:
    return list(StoredSubmission.objects.filter(registration_id__in=ids).values_list("pk", flat=True))


def _note(mark: Mark) -> None:
    campaign = CampaignRow.named(mark.campaign) if mark.campaign else None
    known = Erasure.objects.filter(phone_hash=mark.phone_hash, campaign=campaign)
    if not known.filter(erased_at__gte=mark.erased_at).exists():
        known.delete()
        Erasure.objects.create(phone_hash=mark.phone_hash, campaign=campaign, erased_at=mark.erased_at)


def _delete(ids: list[int], submissions: list[UUID]) -> None:
    ErasedSubmission.objects.bulk_create(
        [ErasedSubmission(request_id=one) for one in submissions], ignore_conflicts=True
    )
    ParkedLog.objects.filter(pk__in=submissions).delete()
    Event.objects.filter(request_id__in=submissions).delete()
    StoredSubmission.objects.filter(pk__in=submissions).delete()
    registrations.delete(ids)
