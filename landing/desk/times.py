"""Times in the admin: in the zone of the settings, and in the calendar that its language goes with."""

from datetime import date, datetime

from django.conf import settings
from django.utils.translation import get_language

from lib import calendars
from lib.clock import now


def calendar() -> str:
    """Return the calendar of now: the settings' in Persian, the Gregorian in English."""
    return settings.CALENDAR if get_language() == "fa" else calendars.GREGORIAN


def show(time: datetime | None) -> str:
    """Return a time for a screen, to the second; nothing for none."""
    if time is None:
        return ""
    text = calendars.show(time, calendar(), settings.DISPLAY_TIME_ZONE)
    return calendars.in_persian_digits(text) if get_language() == "fa" else text


def show_day(day: date) -> str:
    """Return a day as `read` understands it."""
    return calendars.show_day(day, calendar())


def read(text: str) -> datetime:
    """Return the time (UTC) that somebody has typed. Raises ValueError, whose text tells what is wanted."""
    return calendars.read(text, settings.CALENDAR, settings.DISPLAY_TIME_ZONE, now())


def today() -> date:
    """Return the day that it is in the zone of the settings."""
    return now().astimezone(settings.DISPLAY_TIME_ZONE).date()
