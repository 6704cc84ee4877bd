"""Times as people write them: the Jalali calendar, time zones, Persian digits."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.calendars import GREGORIAN, JALALI, in_persian_digits, month_start, read, show, show_day

TEHRAN = ZoneInfo("Asia/Tehran")
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)

# First days of Jalali years, 1403 and 1408 being leap years (calendar.ut.ac.ir).
NEW_YEARS = {
    "1400/01/01": date(2021, 3, 21),
    "1403/01/01": date(2024, 3, 20),
    "1403/12/30": date(2025, 3, 20),
    "1404/01/01": date(2025, 3, 21),
    "1405/01/01": date(2026, 3, 21),
    "1408/12/30": date(2030, 3, 20),
    "1409/01/01": date(2030, 3, 21),
}


@pytest.mark.parametrize(("shown", "day"), NEW_YEARS.items())
def test_a_known_day_is_the_same_in_both_calendars(shown: str, day: Any) -> None:
    assert show_day(day, JALALI) == shown
    assert read(shown, JALALI, TEHRAN, NOW) == datetime(day.year, day.month, day.day, tzinfo=TEHRAN)


@given(
    time=st.integers(-(10**9), 3 * 10**9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    calendar=st.sampled_from([GREGORIAN, JALALI]),
    persian=st.booleans(),
)
def test_what_is_shown_is_read_as_the_same_second(time: Any, calendar: Any, persian: Any) -> None:
    shown = show(time, calendar, TEHRAN)
    read_again = read(in_persian_digits(shown) if persian else shown, calendar, TEHRAN, NOW)
    # An hour that came twice when summer time ended is read as its first.
    assert time.replace(microsecond=0) - read_again in (timedelta(0), timedelta(hours=1))


def test_a_time_of_its_own_zone_keeps_it() -> None:
    assert read("1405/09/03 12:20+00:00", JALALI, TEHRAN, NOW) == datetime(2026, 11, 24, 12, 20, tzinfo=UTC)
    assert read("2026-11-24T12:20Z", JALALI, TEHRAN, NOW) == datetime(2026, 11, 24, 12, 20, tzinfo=UTC)


def test_some_time_ago_is_counted_from_now() -> None:
    assert read("۲۴h", JALALI, TEHRAN, NOW) == NOW - timedelta(hours=24)


@pytest.mark.parametrize(
    "text", ["", "1404/12/30", "1405/7/31", "0000/01/01", "1405/01/01 25:00", "1405", "x", "9999999d"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Asia/Tehran"):
        read(text, JALALI, TEHRAN, NOW)


def test_a_month_begins_as_its_calendar_says() -> None:
    assert month_start(date(2026, 11, 24), GREGORIAN) == date(2026, 11, 1)
    assert month_start(date(2026, 11, 24), JALALI) == date(2026, 11, 22)
