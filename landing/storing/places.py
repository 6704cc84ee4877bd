"""The numbers and places of a campaign (campaigns/line.py): the only code that changes them, but for the worker's count.

Each act is one transaction. It locks the campaign's row first, as storing does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from campaigns.line import Line
from campaigns.models import CampaignRow
from landing.models import Registration
from landing.storing import events, registrations
from lib import phones

ORDERS = ("first", "lottery")

_NUMBER = """
WITH ticket AS (
    SELECT id, {order} FROM landing_registration
    WHERE campaign_id = %(campaign)s AND number IS NULL AND phone_number NOT LIKE %(synthetic)s
), given AS (
    UPDATE landing_registration AS registration
    SET number = %(last)s + ticket.place FROM ticket WHERE ticket.id = registration.id
    RETURNING 1
)
SELECT count(*) FROM given
"""
_FIRST = "row_number() OVER (ORDER BY first_seen, id) AS place"
# By the first tracking code of each person: it is all that a person needs, beside the seed, to check the draw.
_LOTTERY = """
row_number() OVER (ORDER BY sha256(convert_to(%(seed)s || (
    SELECT request_id FROM landing_submission WHERE registration_id = landing_registration.id
    ORDER BY accepted_at, request_id LIMIT 1
)::text, 'UTF8')), id) AS place
"""


class NotPossible(ValueError):
    """The campaign is not in the state for this; the text says why, and the next step."""


@dataclass(frozen=True)
class Change:
    """The line of a campaign before and after an act, and the number that it concerned, if one."""

    before: Line
    after: Line
    number: int | None = None


def begin(slug: str) -> int:
    """Have a campaign give numbers from now on, and give one to each who is registered, by first_seen.

    Returns how many got one now. To repeat it is harmless. Raises NoSuchCampaign or django.db.Error.
    """
    with _locked(slug, hold_storing=True) as (cursor, campaign):
        return _number(cursor, campaign, _FIRST)


def draw(slug: str, capacity: int, order: str, seed: str = "", *, dry_run: bool = False) -> Change:
    """Number all who are registered in a campaign that gave no numbers, by first_seen or by lot, and place the first.

    order: one of ORDERS. seed: of the lottery; the ticket of a person is sha256_hex(seed, task_id) with the task_id of
    their first submission, and the least tickets win. Raises NoSuchCampaign, NotPossible or django.db.Error.
    """
    with _locked(slug, hold_storing=True, dry_run=dry_run) as (cursor, campaign):
        if campaign.is_numbered:
            raise NotPossible(
                f"{slug} has its numbers already: they were given as people came, or by an earlier draw."
            )
        before = campaign.line
        _number(cursor, campaign, _LOTTERY if order == "lottery" else _FIRST, seed)
        return Change(before, _save(cursor, campaign, campaign.line.with_capacity(capacity)))


def set_capacity(slug: str, capacity: int, *, dry_run: bool = False) -> Change:
    """Give a campaign so many places. Who has one keeps it. Raises NoSuchCampaign, NotPossible or django.db.Error."""
    with _locked(slug, dry_run=dry_run) as (cursor, campaign):
        _require_numbers(campaign)
        return Change(campaign.line, _save(cursor, campaign, campaign.line.with_capacity(capacity)))


def cancel(slug: str, phone_number: str, *, dry_run: bool = False) -> Change:
    """Cancel a person's number, for good; the next one moves up. To repeat it is harmless.

    Raises NoSuchCampaign, NotPossible or django.db.Error.
    """
    with _locked(slug, dry_run=dry_run) as (cursor, campaign):
        _require_numbers(campaign)
        known = Registration.objects.filter(
            phone_number=phone_number, campaign=campaign, number__isnull=False
        )
        if (number := known.values_list("number", flat=True).first()) is None:
            raise NotPossible("Nobody with this phone number has a number in this campaign.")
        return Change(campaign.line, _save(cursor, campaign, campaign.line.without(number)), number)


def ticket(seed: str, task_id: str) -> str:
    """Return what a lottery orders people by: 64 hexadecimal digits."""
    return sha256(f"{seed}{task_id}".encode()).hexdigest()


def _require_numbers(campaign: CampaignRow) -> None:
    if not campaign.is_numbered:
        remedy = "Write places = true in its page.toml and run `manage.py migrate`, or draw after its close."
        raise NotPossible(f"{campaign.slug} gives no numbers. {remedy}")


@contextmanager
def _locked(
    slug: str, *, hold_storing: bool = False, dry_run: bool = False
) -> Iterator[tuple[CursorWrapper, CampaignRow]]:
    with transaction.atomic(), connection.cursor() as cursor:
        campaign = CampaignRow.named(slug, locked=True)
        if hold_storing:
            registrations.hold_storing(cursor)
        yield cursor, campaign
        if dry_run:
            transaction.set_rollback(True)


def _number(cursor: CursorWrapper, campaign: CampaignRow, order: str, seed: str = "") -> int:
    asked: dict[str, str | int] = {
        "campaign": campaign.pk,
        "last": campaign.last_number,
        "seed": seed,
        "synthetic": f"{phones.SYNTHETIC}%",
    }
    cursor.execute(_NUMBER.format(order=order), asked)
    [given] = cursor.fetchone()
    campaign.is_numbered = True
    campaign.last_number += given
    campaign.save(update_fields=["is_numbered", "last_number"])
    return int(given)


def _save(cursor: CursorWrapper, campaign: CampaignRow, line: Line) -> Line:
    events.note_placed(cursor, campaign.pk, campaign.admitted, line)
    campaign.capacity, campaign.admitted, campaign.cancelled = (
        line.capacity,
        line.admitted,
        list(line.cancelled),
    )
    campaign.save(update_fields=["capacity", "admitted", "cancelled"])
    return line
