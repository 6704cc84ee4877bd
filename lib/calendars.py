"""Times as people write and read them: in their time zone and their calendar. Data stay in UTC."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from persiantools import digits
from persiantools.jdatetime import JalaliDate

GREGORIAN, JALALI = "gregorian", "jalali"

_AGO = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DAY = re.compile(r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})(.*)", re.DOTALL)
_FIRST_GREGORIAN_YEAR = 1700
"""No campaign of the Gregorian year 1405 is looked for, and none of the Jalali year 2026."""


def show(time: datetime, calendar: str, zone: ZoneInfo) -> str:
    """Return a time to the second: 2026-11-24 12:20:11, or 1405/09/03 12:20:11 in the Jalali calendar."""
    local = time.astimezone(zone)
    return f"{show_day(local.date(), calendar)} {local:%H:%M:%S}"


def show_day(day: date, calendar: str) -> str:
    """Return a day: 2026-11-24, or 1405/09/03 in the Jalali calendar."""
    return _show_jalali(day) if calendar == JALALI else day.isoformat()


def in_persian_digits(text: str) -> str:
    """Return text with its digits as Persians write them."""
    return digits.en_to_fa(text)


def read(text: str, calendar: str, zone: ZoneInfo, now: datetime) -> datetime:
    """Return the time (UTC) that somebody means by 24h, 7d, 2026-11-24, 2026-11-24T12:20Z or 1405/9/3 12:20.

    A time without a zone is one of `zone`; a day alone is its midnight. Jalali days are understood
    where the calendar is Jalali. Raises ValueError, whose text tells what is wanted.
    """
    plain = digits.fa_to_en(digits.ar_to_fa(text.strip()))
    try:
        if (age := ago(plain)) is not None:
            return now - age
        time = datetime.fromisoformat(_in_iso(plain, calendar))
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        example = "1405/09/03 12:20" if calendar == JALALI else "2026-11-24 12:20"
        raise ValueError(
            f"{text!r} is no time such as 24h, 7d, {example} or 2026-11-24T12:20Z "
            f"(without a zone: {zone.key})"
        ) from None


def ago(text: str) -> timedelta | None:
    """Return the time that 15m, 24h or 7d is, or None for any other text."""
    found = _AGO.fullmatch(text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def month_start(day: date, calendar: str) -> date:
    """Return the first day of a day's month."""
    if calendar == JALALI:
        first: date = _jalali(day).replace(day=1).to_gregorian()  # type: ignore[no-untyped-call]
        return first
    return day.replace(day=1)


def _in_iso(text: str, calendar: str) -> str:
    parts = _DAY.fullmatch(text)
    if not parts:
        raise ValueError(text)
    year, month, day = (int(part) for part in parts.groups()[:3])
    if year >= _FIRST_GREGORIAN_YEAR:
        return f"{date(year, month, day).isoformat()}{parts[4]}"
    if calendar != JALALI:
        raise ValueError(text)
    jalali = JalaliDate(year, month, day)  # type: ignore[no-untyped-call]
    return f"{jalali.to_gregorian().isoformat()}{parts[4]}"


@lru_cache(maxsize=4096)
def _show_jalali(day: date) -> str:
    return str(_jalali(day).strftime("%Y/%m/%d"))


def _jalali(day: date) -> JalaliDate:
    jalali: JalaliDate = JalaliDate.to_jalali(day)  # type: ignore[no-untyped-call]
    return jalali
