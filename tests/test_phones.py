"""Every spelling of a phone number, with its canonical number or the reason why it is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lib.phones import PATTERN, InvalidPhone, mask, normalise

modest = hypothesis_settings(deadline=None, max_examples=300)

SENDER = "09123456789"

SPELLINGS = {
    "as it is": "09123456789",
    "Persian digits": "۰۹۱۲۳۴۵۶۷۸۹",
    "Arabic-Indic digits": "٠٩١٢٣٤٥٦٧٨٩",
    "full-width digits": "０９１２３４５６７８９",
    "mixed digits": "۰٩1２۳٤5６۷٨9",
    "+98": "+989123456789",
    "full-width plus": "＋989123456789",
    "0098": "00989123456789",
    "98": "989123456789",
    "Persian +98": "+۹۸۹۱۲۳۴۵۶۷۸۹",
    "Persian 0098": "۰۰۹۸۹۱۲۳۴۵۶۷۸۹",
    "+98 and 0": "+98 0912 345 6789",
    "0098 and 0": "009809123456789",
    "98 and 0": "9809123456789",
    "bare 9": "9123456789",
    "bare Persian 9": "۹۱۲۳۴۵۶۷۸۹",
    "spaces": " 0912 345 6789 ",
    "no-break spaces": "0912\u00a0345\u202f6789",
    "wide and thin spaces": "0912\u3000345\u20096789",
    "tabs": "\t0912\t345\t6789",
    "trailing newline": "09123456789\n",
    "Windows line end": "09123456789\r\n",
    "Unicode line ends": "0912\u2028345\u20296789\x85",
    "zero-width non-joiner": "0912\u200c345\u200c6789",
    "zero-width joiner and space": "0912\u200d345\u200b6789",
    "direction marks": "\u200e0912345\u200f6789",
    "Arabic letter mark": "\u061c09123456789",
    "embedding": "\u202a+989123456789\u202c",
    "override": "\u202d09123456789\u202c",
    "isolate": "\u2066+98 912 345 6789\u2069",
    "byte order mark": "\ufeff09123456789",
    "word joiner": "0912\u2060345\u20606789",
    "soft hyphens": "0912\u00ad345\u00ad6789",
    "ASCII hyphens": "0912-345-6789",
    "hyphens": "0912\u2010345\u20116789",
    "dashes": "0912\u2012345\u2013678\u20149",
    "horizontal bar": "0912\u2015345\u20156789",
    "minus signs": "0912\u2212345\u22126789",
    "small and full-width hyphens": "0912\ufe63345\uff0d6789",
}

REFUSALS = {
    "null": (None, "not_text"),
    "number": (9123456789, "not_text"),
    "fraction": (0.9, "not_text"),
    "true": (True, "not_text"),
    "false": (False, "not_text"),
    "list": (["09123456789"], "not_text"),
    "dict": ({"phone_number": "09123456789"}, "not_text"),
    "bytes": (b"09123456789", "not_text"),
    "empty": ("", "blank"),
    "spaces": (" \t\r\n ", "blank"),
    "invisible": ("\u200c\u200f\ufeff", "blank"),
    "hyphens": ("---", "blank"),
    "letters": ("0912345678a", "bad_characters"),
    "letter O": ("O9123456789", "bad_characters"),
    "emoji": ("0912345678😀", "bad_characters"),
    "keycaps": ("0️⃣9️⃣1️⃣2️⃣3️⃣4️⃣5️⃣6️⃣7️⃣8️⃣9️⃣", "bad_characters"),
    "superscripts": ("0912345678⁹", "bad_characters"),
    "Devanagari digits": ("०९१२३४५६७८९", "bad_characters"),
    "fraction sign": ("0912345678½", "bad_characters"),
    "NUL": ("0912345\x006789", "bad_characters"),
    "lone surrogate": ("0912345678\ud800", "bad_characters"),
    "two pluses": ("++989123456789", "bad_characters"),
    "plus in the middle": ("0912+3456789", "bad_characters"),
    "plus alone": ("+", "bad_characters"),
    "two numbers": ("09123456789,09123456780", "bad_characters"),
    "SQL": ("0912'; DROP TABLE landing_registration; --", "bad_characters"),
    "10 digits": ("0912345678", "too_short"),
    "12 digits": ("091234567890", "too_long"),
    "one digit": ("0", "too_short"),
    "+98 and too few": ("+98 912 345 678", "too_short"),
    "+98, 0 and too few": ("+98 0912 345 678", "too_short"),
    "+98 and too many": ("+98 912 345 67890", "too_long"),
    "11 digits from 1": ("19123456789", "wrong_start"),
    "Germany": ("+49 171 1234567", "wrong_country"),
    "USA": ("+1 202 555 0143", "wrong_country"),
    "Persian digits of the USA": ("+۱۲۰۲۵۵۵۰۱۴۳", "wrong_country"),
    "plus and 0": ("+09123456789", "wrong_country"),
    "10,000 digits": ("0" * 10_000, "too_long"),
    "10,000 spaces": (" " * 10_000, "too_long"),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_each_spelling_of_the_senders_number_is_one_number(spelling):
    assert normalise(spelling) == SENDER


@pytest.mark.parametrize(("raw", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_no_number_of_ours_is_refused_with_its_reason(raw, reason):
    with pytest.raises(InvalidPhone) as refused:
        normalise(raw)
    assert refused.value.reason == reason


def test_landlines_may_register_too():
    assert normalise("+98 21 8888 7777") == "02188887777"


numbers = st.from_regex(r"0[1-9][0-9]{9}", fullmatch=True)
prefixes = st.sampled_from(["0", "+98", "0098", "98", "+980", "00980", "980"])
noise = st.text(" \u00a0\u200c\u200e\u200f\u2066\u2069\ufeff-\u2011\u2013\u2212\n", max_size=2)
scripts = st.sampled_from([0x30, 0x06F0, 0x0660, 0xFF10])


@st.composite
def spelled(draw):
    """A number, and the way that somebody types it."""
    number = draw(numbers)
    mobile = [""] if number[1] == "9" else []
    prefix = draw(prefixes | st.sampled_from(mobile)) if mobile else draw(prefixes)
    letters = [draw(noise) + _in_script(letter, draw(scripts)) for letter in prefix + number[1:]]
    return number, "".join(letters) + draw(noise)


def _in_script(letter, zero):
    return letter if letter == "+" else chr(zero + int(letter))


@modest
@given(spelled())
def test_however_a_number_is_typed_it_stays_that_number(case):
    number, spelling = case
    assert normalise(spelling) == number


@modest
@given(st.from_regex(r"[+0-9 \u06f0-\u06f9]{9,16}", fullmatch=True) | st.text())
def test_whatever_is_typed_gives_eleven_ascii_digits_or_a_refusal(typed):
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
    st.sampled_from([*SPELLINGS.values(), *(raw for raw, _ in REFUSALS.values() if isinstance(raw, str))])
    | spelled().map(lambda case: case[1])
    | st.from_regex(r"[+0-9\u06f0-\u06f9]{9,16}", fullmatch=True)
    | st.from_regex(re.compile(PATTERN), fullmatch=True)
    | st.text()
)
def test_the_published_pattern_is_the_rule(typed):
    assert bool(re.search(PATTERN, typed)) == is_taken(typed) or len(typed) > 64


def is_taken(typed):
    try:
        normalise(typed)
    except InvalidPhone:
        return False
    return True


def test_every_mark_that_is_taken_away_is_in_the_published_pattern():
    for mark in map(chr, range(0x10000)):
        spelling = f"{mark}0912345{mark}6789"
        assert bool(re.search(PATTERN, spelling)) == is_taken(spelling), ascii(mark)


def test_a_masked_number_cannot_be_called():
    assert mask(SENDER) == "0912***6789"
    assert mask("0912345") == "***"
