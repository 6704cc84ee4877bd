"""The time, as everything that is stored or sent has it."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the time in UTC, with microseconds."""
    return datetime.now(UTC)


def read_utc(text: str) -> datetime:
    """Return the time in UTC that an ISO 8601 text with a time zone means. Raises ValueError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("no time zone")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("before the year 1 or after 9999") from error
