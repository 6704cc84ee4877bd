"""Every spelling of a phone number, with its canonical number or the reason why it is refused."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lib.phones import PATTERN, InvalidPhone, mask, normalise
from tests.spellings import LANDLINE, LANDLINES, REFUSALS, SENDER, SPELLINGS

modest = hypothesis_settings(deadline=None, max_examples=300)


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_each_spelling_of_the_senders_number_is_one_number(spelling: str) -> None:
    assert normalise(spelling) == SENDER


@pytest.mark.parametrize(("raw", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_no_number_of_ours_is_refused_with_its_reason(raw: Any, reason: str) -> None:
    with pytest.raises(InvalidPhone) as refused:
        normalise(raw)
    assert refused.value.reason == reason


@pytest.mark.parametrize("spelling", LANDLINES.values(), ids=LANDLINES)
def test_landlines_may_register_too(spelling: str) -> None:
    assert normalise(spelling) == LANDLINE


numbers = st.from_regex(r"0[1-9][0-9]{9}", fullmatch=True)
prefixes = st.sampled_from(["0", "+98", "0098", "98", "+980", "00980", "980"])
noise = st.text(
    " \u00a0\u200c\u200e\u200f\u2066\u2069\ufeff-\u2011\u2013\u2212\n().,/\\_[\u0640\u060c\u066b\u00b7",
    max_size=2,
)
scripts = st.sampled_from([0x30, 0x06F0, 0x0660, 0xFF10])


@st.composite
def spelled(draw: Any) -> Any:
    """A number, and the way that somebody types it."""
    number = draw(numbers)
    mobile = [""] if number[1] == "9" else []
    prefix = draw(prefixes | st.sampled_from(mobile)) if mobile else draw(prefixes)
    letters = [draw(noise) + _in_script(letter, draw(scripts)) for letter in prefix + number[1:]]
    return number, "".join(letters) + draw(noise)


def _in_script(letter: str, zero: int) -> Any:
    return letter if letter == "+" else chr(zero + int(letter))


@modest
@given(spelled())
def test_however_a_number_is_typed_it_stays_that_number(case: Any) -> None:
    number, spelling = case
    assert normalise(spelling) == number


@modest
@given(st.from_regex(r"[+0-9 \u06f0-\u06f9]{9,16}", fullmatch=True) | st.text())
def test_whatever_is_typed_gives_eleven_ascii_digits_or_a_refusal(typed: Any) -> None:
    try:
        number = normalise(typed)
    except InvalidPhone:
        return
    assert number.isascii()
    assert number.isdigit()
    assert (number[0], len(number)) == ("0", 11)
    assert normalise(number) == number


@modest
@given(
    st.sampled_from(
        [
            *SPELLINGS.values(),
            *LANDLINES.values(),
            *(raw for raw, _ in REFUSALS.values() if isinstance(raw, str)),
        ]
    )
    | spelled().map(lambda case: case[1])
    | st.from_regex(r"[+0-9\u06f0-\u06f9]{9,16}", fullmatch=True)
    | st.from_regex(re.compile(PATTERN), fullmatch=True)
    | st.text()
)
def test_the_published_pattern_is_the_rule(typed: Any) -> None:
    assert bool(re.search(PATTERN, typed)) == is_taken(typed) or len(typed) > 64


def is_taken(typed: str) -> bool:
    try:
        normalise(typed)
    except InvalidPhone:
        return False
    return True


def test_every_mark_that_is_taken_away_is_in_the_published_pattern() -> None:
    for mark in map(chr, range(0x10000)):
        spelling = f"{mark}0912345{mark}6789"
        assert bool(re.search(PATTERN, spelling)) == is_taken(spelling), ascii(mark)


def test_a_masked_number_cannot_be_called() -> None:
    assert mask(SENDER) == "0912***6789"
    assert mask("0912345") == "***"
