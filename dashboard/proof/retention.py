"""What has been kept long enough: campaigns whose time is over, and old questions for codes.

How many registrations it was stays known, and so does what codes have cost.
"""

from collections.abc import Callable

from campaigns.models import CampaignRow
from confirmations import forgetting
from dashboard.desk import dead_letters, persons
from dashboard.desk.dead_letters import Choice
from landing.storing import erasures
from landing.submission import slug_in

BATCH = 5_000
"""Registrations in one transaction, or questions for codes."""


def purge(slug: str, step: Callable[[int], object]) -> int:
    """Delete everything that is kept of a campaign; return how many registrations it was. To repeat it is harmless.

    step: is called with the registrations of each batch. Raises NoSuchCampaign, StoreUnavailable, django.db.Error or one
    of queues.OUTAGES: then repeat it.
    """
    campaign = CampaignRow.named(slug)
    persons.forget_exports()
    erasures.close(campaign)
    deleted = 0
    while count := erasures.erase_some(campaign, BATCH, forgetting.forget):
        deleted += count
        step(count)
    persons.sweep()
    _forget_letters(slug)
    return deleted


def purge_codes(step: Callable[[int], object]) -> int:
    """Delete what is kept of codes for more than 30 days; return how many rows it was. To repeat it is harmless.

    step: is called with the rows of each batch. Raises django.db.Error: then repeat it.
    """
    deleted = 0
    while count := forgetting.forget_old(BATCH):
        deleted += count
        step(count)
    return deleted


def _forget_letters(slug: str) -> None:
    """Discard dead letters that hold nobody of another campaign. What is in others is not stored when they are replayed."""
    keys = {
        letter.key
        for letter in dead_letters.letters(Choice())
        if letter.registrations and all(slug_in(raw) == slug for raw in letter.registrations)
    }
    if keys:
        dead_letters.discard(keys, "the campaign's time is over")
