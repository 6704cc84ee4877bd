"""What both doors make of a registration that was sent to a campaign: one judgement, so that they cannot differ."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from campaigns.definition import DEFAULT, Campaign, Shut
from landing.door import problems
from landing.storing import lines
from landing.submission import NO_DETAILS
from lib import phones

PLAIN = Campaign(DEFAULT)
"""The default campaign of an installation without settings: a phone number at any time."""


def judge(
    campaign: Campaign, sent: Mapping[str, Any], accept_language: str, time: datetime
) -> tuple[str, Mapping[str, Any]]:
    """Return the phone number of a body in its canonical form, and the details that are kept beside it.

    time: when it is accepted (UTC). Raises Shut, phones.InvalidPhone, InvalidFields or ConsentRequired, the first that
    applies in this order.
    """
    require_room(campaign, time)
    if "phone_number" not in sent:
        raise phones.InvalidPhone("required")
    phone_number = phones.normalise(sent["phone_number"])
    if not campaign.takes_details:
        return phone_number, NO_DETAILS
    return phone_number, campaign.details(sent, problems.language_of(accept_language))


def require_room(campaign: Campaign, time: datetime) -> None:
    """Raise Shut unless the campaign is open at this time (UTC) and its line is not full."""
    campaign.require_open(time)
    if lines.is_full(campaign.slug):
        raise Shut("campaign_full")
