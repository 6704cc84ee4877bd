"""One spelling for each phone number, so that one person is one registration."""

import re

LONGEST_INPUT = 64
"""Characters. No spelling of an 11-digit number needs more; longer input is refused unread."""

SYNTHETIC = "00097"
"""How a rehearsal's phone numbers begin: 00 is how one dials abroad, so no Iranian number does."""

_PERSIAN, _ARABIC_INDIC, _FULL_WIDTH = 0x06F0, 0x0660, 0xFF10
_DIGITS = {zero + n: str(n) for zero in (_PERSIAN, _ARABIC_INDIC, _FULL_WIDTH) for n in range(10)}
_SPACES = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
# Zero-width joiners, direction marks and the byte order mark: pasted along, never seen.
_INVISIBLE = "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_DOTS = ".\u00b7\u2022\u2024\u2027\u2219\u22c5\u30fb\uff0e\uff65"
# RFC 3966's visual separators are "-", ".", "(" and ")".
_BRACKETS_AND_STROKES = "()[]/\\_\u2044\u2215\uff08\uff09\uff0f\uff3f"
# What a Persian keyboard has on and near the keys of the digits: the comma, the decimal and the thousands
# separator, and the tatweel, which stands where other keyboards have the underscore.
_PERSIAN_MARKS = ",\u060c\u066b\u066c\u0640\u06d4\uff0c"
_MARKS = _SPACES + _INVISIBLE + _DASHES + _DOTS + _BRACKETS_AND_STROKES + _PERSIAN_MARKS
_PLUSES = "\ufe62\uff0b"
_SPELLINGS = _DIGITS | dict.fromkeys(map(ord, _MARKS)) | dict.fromkeys(map(ord, _PLUSES), "+")


def _class(characters: str) -> str:
    """Return a regular expression's class of these characters, neighbours as a range."""
    codes = sorted(map(ord, characters))
    starts = [code for code in codes if code - 1 not in codes]
    ends = [code for code in codes if code + 1 not in codes]
    pairs = zip(starts, ends, strict=True)
    return "".join(f"\\u{one:04x}" if one == end else f"\\u{one:04x}-\\u{end:04x}" for one, end in pairs)


MARKS = f"[{_class(_MARKS)}]"
"""What may stand between the digits and means nothing, as a regular expression's class."""

_URI = re.compile(f"{MARKS}*[tT][eE][lL]:")
_CANONICAL = re.compile(r"0[0-9]{10}")
_WITH_COUNTRY = re.compile(r"(?:\+|00)?980?([1-9][0-9]{9})")
_BARE_MOBILE = re.compile(r"9[0-9]{9}")
_DIGITS_ONLY = re.compile(r"\+?[0-9]+")


DIGIT = "[0-9٠-٩۰-۹０-９]"
"""A digit in any of the alphabets, as a regular expression's class."""


def _pattern() -> str:
    gap = f"{MARKS}*"
    zero, eight, nine = "[0٠۰０]", "[8٨۸８]", "[9٩۹９]"
    digit, not_zero = DIGIT, "[1-9١-٩۱-۹１-９]"
    plus = f"(?:[+{_PLUSES}]|{zero}{gap}{zero})"
    country = f"(?:{plus}{gap})?{nine}{gap}{eight}{gap}(?:{zero}{gap})?{not_zero}"
    return f"^{gap}(?:[tT][eE][lL]:{gap})?(?:{zero}{gap}{digit}|{country}|{nine}){gap}(?:{digit}{gap}){{9}}$"


PATTERN = _pattern()
"""What normalise() takes, as one regular expression for those who cannot call it (JSON Schema's ECMAScript)."""


class InvalidPhone(ValueError):
    """A phone number that cannot be taken.

    `reason` is one of not_text, blank, bad_characters, wrong_country, wrong_start, too_short,
    too_long: stable words that the API shows as part of its error code.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def normalise(raw: object) -> str:
    r"""Return the canonical form of a phone number: "0" and ten ASCII digits.

    Persian, Arabic-Indic and full-width digits become ASCII; `tel:`, white space, invisible marks
    and what people put between digits go away; +98, 0098, 98, each also with the national 0, and a
    bare leading 9 become the national 0. Requirement R13, `^0\d{10}$`, is then applied by full match, since in Python that pattern also
    takes Persian digits and a trailing newline, which would be second identities.

    Raises InvalidPhone with the reason for the refusal.
    """
    if not isinstance(raw, str):
        raise InvalidPhone("not_text")
    if len(raw) > LONGEST_INPUT:
        raise InvalidPhone("too_long")
    if _CANONICAL.fullmatch(raw):
        return raw
    uri = _URI.match(raw)
    spelled = ascii_digits(raw[uri.end() if uri else 0 :])
    if _CANONICAL.fullmatch(spelled):
        return spelled
    if national := _WITH_COUNTRY.fullmatch(spelled):
        return f"0{national[1]}"
    if _BARE_MOBILE.fullmatch(spelled):
        return f"0{spelled}"
    raise InvalidPhone(_reason(spelled))


def ascii_digits(text: str) -> str:
    """Return a text with its digits in ASCII, and without what people put between digits."""
    return text.translate(_SPELLINGS)


def mask(phone: str) -> str:
    """Return a phone number fit for logs and screens: 0912***6789."""
    return f"{phone[:4]}***{phone[-4:]}" if len(phone) > 8 else "***"


def group(phone: str) -> str:
    """Return a canonical phone number in groups, 0912-345-6789: Excel would take bare digits for a number."""
    return f"{phone[:4]}-{phone[4:7]}-{phone[7:]}"


def _reason(spelled: str) -> str:
    if not spelled:
        return "blank"
    if not _DIGITS_ONLY.fullmatch(spelled):
        return "bad_characters"
    if spelled.startswith("+") and not spelled.startswith("+98"):
        return "wrong_country"
    national = re.sub(r"^(?:\+|00)980?", "0", spelled)
    if len(national) != 11:
        return "too_short" if len(national) < 11 else "too_long"
    return "wrong_start"
