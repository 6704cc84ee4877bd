"""One-time codes: what they are made of, and how people type them.

A code is in no store, queue or log: it is computed when it is sent and again when it is judged. So a resend of the
same challenge carries the same code, and a stolen database tells nothing without CODE_KEY.
"""

import hmac

from lib import phones

DIGITS = 6
NONCE = 16
"""Bytes of a challenge's nonce."""
LONGEST_INPUT = 64
"""Characters; longer input is refused unread."""
PATTERN = f"^{phones.MARKS}*(?:{phones.DIGIT}{phones.MARKS}*){{{DIGITS}}}$"
"""What read() takes, as a regular expression for those who cannot call it (JSON Schema's ECMAScript)."""


class InvalidCode(ValueError):
    """What was typed is no code. reason: required, not_text, blank, bad_characters, too_short or too_long."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def of(key: bytes, nonce: bytes, phone_number: str) -> str:
    """Return the code of a challenge: the first 8 bytes of HMAC-SHA-256, big endian, modulo 10^6, in six digits."""
    digest = hmac.digest(key, nonce + phone_number.encode(), "sha256")
    return f"{int.from_bytes(digest[:8]) % 10**DIGITS:0{DIGITS}}"


def read(typed: object) -> str:
    """Return a typed code as six ASCII digits; it may have Persian digits, spaces, hyphens, direction marks.

    Raises InvalidCode.
    """
    if typed is None:
        raise InvalidCode("required")
    if not isinstance(typed, str):
        raise InvalidCode("not_text")
    if len(typed) > LONGEST_INPUT:
        raise InvalidCode("too_long")
    spelled = phones.ascii_digits(typed)
    if not spelled:
        raise InvalidCode("blank")
    if not (spelled.isascii() and spelled.isdecimal()):
        raise InvalidCode("bad_characters")
    if len(spelled) != DIGITS:
        raise InvalidCode("too_short" if len(spelled) < DIGITS else "too_long")
    return spelled
