"""What became of webhooks: what the receiver has taken, against the tables."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from systemtests import receiver as receivers
from systemtests.receiver import Receiver
from tools.drills.ground import Ground, SiteFailed

MOODS = {500: 0.1, "reset": 0.05}
"""How often the receiver does not take a message, on good days."""
TOLD_WITHIN = 60.0
"""Seconds after the drill in which the receiver must have been told of everything."""

# A day passes: what failed is due, and the receiver is left alone no longer.
_HASTEN = (
    "UPDATE courier_delivery SET next_at = now() WHERE state = 'waiting'",
    "UPDATE courier_receiver SET wait_until = NULL",
)


@contextmanager
def receiver(site: Ground) -> Iterator[Receiver | None]:
    """Receive the webhook of a drill, not always in good temper; None where no courier runs."""
    if not site.receiver_port:
        yield None
        return
    with receivers.running(site.receiver_port) as running:
        running.mode = MOODS
        yield running


def count(site: Ground, receiver: Receiver) -> None:
    """Complain of each submission that was not told, and of each that was told though it is not stored."""
    receiver.mode = 204
    for statement in _HASTEN:
        site.sql(statement)
    with suppress(SiteFailed):  # what is not told by then is complained of
        site.wait_for(lambda: not _stored(site) - _told(receiver).keys(), TOLD_WITHIN, "webhooks")
    told, stored, erased = _told(receiver), _stored(site), _erased(site)
    if missing := stored - told.keys():
        site.complaints.append(f"webhooks: {len(missing)} submissions were not told, such as {min(missing)}")
    if untrue := told.keys() - stored - erased:
        site.complaints.append(f"webhooks: {len(untrue)} were told and are not stored, such as {min(untrue)}")
    if not told:
        site.complaints.append("webhooks: nothing was told, so this drill says nothing of them")
    twice = sum(times > 1 for times in told.values())
    site.notes.append(f"webhooks: {len(told)} submissions told, {twice} of them more than once")
    _judge_erasures(site)


def _judge_erasures(site: Ground) -> None:
    """Complain of each person who was erased and is stored again by what was accepted before."""
    for phone, erased_at in site.erased.items():
        if site.sql(
            f"SELECT FROM landing_registration WHERE campaign_id = 1 AND phone_number = '{phone}' AND first_seen <= '{erased_at}'"
        ):
            site.complaints.append("erase-persons: somebody who was erased is stored again")
    site.notes.append(f"{len(site.erased)} people erased, {len(_erased(site))} submissions")


def _told(receiver: Receiver) -> Counter[str]:
    return Counter(one for call in receiver.taken for one in call.ids)


def _stored(site: Ground) -> set[str]:
    return {str(one) for (one,) in site.sql("SELECT request_id FROM landing_submission")}


def _erased(site: Ground) -> set[str]:
    return {str(one) for (one,) in site.sql("SELECT request_id FROM landing_erased")}
