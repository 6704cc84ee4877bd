"""Submission: the one value that travels from the POST to the row, and how it is written on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from campaigns import details as campaign_details
from campaigns.definition import DEFAULT, SLUG
from lib import phones
from lib.clock import read_utc
from lib.texts import inert

NO_DETAILS: Mapping[str, Any] = MappingProxyType({})


class MalformedSubmission(ValueError):
    """What came off the queue is no submission; the text says why, without personal data."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One accepted request.

    phone_number: canonical, 0 and ten digits. request_id: a UUID, which is the task_id too.
    accepted_at: UTC. campaign: its slug. details: its fields, consent and source, as Campaign.details() returns them.
    has_proof: a right proof of work came with it (landing/keeping/proofs.py). Nobody needs to know after the 202.
    """

    phone_number: str
    request_id: str
    ip_address: str
    referrer: str
    user_agent: str
    accepted_at: datetime
    campaign: str = DEFAULT
    details: Mapping[str, Any] = field(default_factory=lambda: NO_DETAILS)
    has_proof: bool = field(default=False, compare=False)

    def to_wire(self) -> list[Any]:
        """Return six texts as JSON can carry them, and the campaign with its details if there is more to say.

        A worker of before there were campaigns takes six only: upgrade workers before a campaign is opened.
        """
        plain: list[Any] = [
            self.phone_number,
            self.request_id,
            self.ip_address,
            self.referrer,
            self.user_agent,
            self.accepted_at.isoformat(),
        ]
        if self.details or self.campaign != DEFAULT:
            plain += [self.campaign, dict(self.details)]
        return plain

    @classmethod
    def from_wire(cls, raw: object) -> "Submission":
        """Read what to_wire wrote, or what somebody else put on the queue.

        Raises MalformedSubmission. Nothing that this returns can be refused by a store.
        """
        if (
            not isinstance(raw, list)
            or len(raw) not in (6, 8)
            or not all(isinstance(t, str) for t in raw[:6])
        ):
            raise MalformedSubmission("not six texts")
        phone_number, request_id, ip_address, referrer, user_agent, accepted_at, *more = raw
        try:
            return cls(
                phone_number=phones.normalise(phone_number),
                request_id=str(UUID(request_id)),
                ip_address=inert(ip_address)[:64],
                referrer=inert(referrer),
                user_agent=inert(user_agent),
                accepted_at=read_utc(accepted_at),
                **(_campaign_of(*more) if more else {}),
            )
        except phones.InvalidPhone as error:
            raise MalformedSubmission(f"phone number: {error.reason}") from None
        except MalformedSubmission:
            raise
        except ValueError:
            raise MalformedSubmission("request id or time") from None


def slug_in(raw: object) -> str:
    """Return the slug of the campaign that a raw registration is for, "" if it is none. Six texts are of the default one."""
    if not isinstance(raw, list) or len(raw) < 6:
        return ""
    return DEFAULT if len(raw) == 6 else str(raw[6])


def _campaign_of(slug: object, details: object) -> dict[str, Any]:
    if not (isinstance(slug, str) and SLUG.fullmatch(slug)):
        raise MalformedSubmission("campaign")
    try:
        return {"campaign": slug, "details": campaign_details.read(details)}
    except ValueError as error:
        raise MalformedSubmission(f"details: {error}") from None
