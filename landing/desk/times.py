"""Times in the admin: in DISPLAY_TIME_ZONE, and in the calendar of the reader's language."""

from datetime import date, datetime

from django.conf import settings
from django.utils.translation import get_language

from lib import calendars
from lib.clock import now


def calendar() -> str:
    """Return CALENDAR in Persian, the Gregorian calendar in English."""
    return settings.CALENDAR if get_language() == "fa" else calendars.GREGORIAN


def show(time: datetime | None) -> str:
    """Return a time to the second, or "" for None."""
    if time is None:
        return ""
    text = calendars.show(time, calendar(), settings.DISPLAY_TIME_ZONE)
    return calendars.in_persian_digits(text) if get_language() == "fa" else text


def show_day(day: date) -> str:
    return calendars.show_day(day, calendar())


def read(text: str) -> datetime:
    """Return the time (UTC) that somebody has typed. Raises ValueError that says how."""
    return calendars.read(text, settings.CALENDAR, settings.DISPLAY_TIME_ZONE, now())


def today() -> date:
    """Return the day in DISPLAY_TIME_ZONE."""
    return now().astimezone(settings.DISPLAY_TIME_ZONE).date()
