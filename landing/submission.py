"""Submission: the one value that travels from the POST to the row, and how it is written on the wire."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from lib import phones
from lib.texts import inert


class MalformedSubmission(ValueError):
    """What came off the queue is no submission; the text says why, without personal data."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One accepted request.

    phone_number: canonical, 0 and ten digits. request_id: a UUID, which is the task_id too.
    accepted_at: UTC.
    """

    phone_number: str
    request_id: str
    ip_address: str
    referrer: str
    user_agent: str
    accepted_at: datetime

    def to_wire(self) -> list[str]:
        """Return the six fields as JSON can carry them."""
        return [
            self.phone_number,
            self.request_id,
            self.ip_address,
            self.referrer,
            self.user_agent,
            self.accepted_at.isoformat(),
        ]

    @classmethod
    def from_wire(cls, raw: object) -> "Submission":
        """Read what to_wire wrote, or what somebody else put on the queue.

        Raises MalformedSubmission. Nothing that this returns can be refused by a store.
        """
        if not isinstance(raw, list) or len(raw) != 6 or not all(isinstance(t, str) for t in raw):
            raise MalformedSubmission("not six texts")
        phone_number, request_id, ip_address, referrer, user_agent, accepted_at = raw
        try:
            return cls(
                phone_number=phones.normalise(phone_number),
                request_id=str(UUID(request_id)),
                ip_address=inert(ip_address)[:64],
                referrer=inert(referrer),
                user_agent=inert(user_agent),
                accepted_at=_utc(accepted_at),
            )
        except phones.InvalidPhone as error:
            raise MalformedSubmission(f"phone number: {error.reason}") from None
        except (ValueError, OverflowError):
            raise MalformedSubmission("request id or time") from None


def _utc(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("no time zone")
    return time.astimezone(UTC)
