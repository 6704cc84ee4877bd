"""The time, as everything that is stored or sent has it."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the time in UTC, with microseconds."""
    return datetime.now(UTC)
