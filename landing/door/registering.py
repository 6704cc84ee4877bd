"""What both doors make of a registration that was sent to a campaign: one judgement, so that they cannot differ."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from campaigns.definition import DEFAULT, Campaign
from landing.door import problems
from lib import phones

PLAIN = Campaign(DEFAULT)
"""The default campaign of an installation without settings: a phone number at any time."""


class Judged(NamedTuple):
    """A phone number in its canonical form, and what is kept beside it."""

    phone_number: str
    details: Mapping[str, Any]


def judge(campaign: Campaign, sent: Mapping[str, Any], accept_language: str, time: datetime) -> Judged:
    """Return what is registered of a body, which is accepted at this time (UTC).

    Raises Shut, phones.InvalidPhone, InvalidFields or ConsentRequired, the first that applies in this order.
    """
    campaign.require_open(time)
    if "phone_number" not in sent:
        raise phones.InvalidPhone("required")
    phone_number = phones.normalise(sent["phone_number"])
    if not campaign.takes_details:
        return Judged(phone_number, {})
    return Judged(phone_number, campaign.details(sent, problems.language_of(accept_language)))
