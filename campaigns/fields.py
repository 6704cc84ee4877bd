"""The fields that a campaign asks for beside the phone number, and the one spelling of their values."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

KINDS = ("text", "email", "choice", "yes")
MOST_FIELDS = 10
LONGEST, LONGEST_EMAIL = 200, 254
"""Characters of a text unless the campaign says less, and of an address (RFC 5321)."""
YES, NO = frozenset({True, "yes", "on", "true"}), frozenset({False, "", "no", "off", "false"})
"""What JSON and forms send for a box that is ticked, or not."""

_ARABIC_TO_PERSIAN = (("\u064a", "\u06cc"), ("\u0649", "\u06cc"), ("\u0643", "\u06a9"))
_JOINERS = str.maketrans(dict.fromkeys("\u200c\u200d"))
"""Zero-width joiners are part of Persian spelling, though Python calls them unprintable."""
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")


class Wrong(ValueError):
    """A value that its field does not take; the text is the code of the reason."""


class InvalidFields(ValueError):
    """Values that a campaign does not take. errors: each field, and why, in a word that never changes.

    The words: required, not_text, too_long, malformed, not_a_choice, bad_characters.
    """

    def __init__(self, errors: list[tuple["Field", str]]) -> None:
        super().__init__(", ".join(f"{field.name}: {code}" for field, code in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a campaign. labels: its name for people, by language. choices: the values of a choice."""

    name: str
    kind: str
    is_required: bool
    longest: int
    choices: tuple[str, ...]
    labels: Mapping[str, str]

    def read(self, value: object) -> str:
        """Return the value in its one spelling, "" for none. Raises Wrong."""
        read = "" if value is None else self._ticked(value) if self.kind == "yes" else self._text(value)
        if self.is_required and not read:
            raise Wrong("required")
        return read

    def _ticked(self, value: object) -> str:
        if not isinstance(value, (bool, str)) or value not in YES | NO:
            raise Wrong("malformed")
        return "yes" if value in YES else ""

    def _text(self, value: object) -> str:
        if not isinstance(value, str):
            raise Wrong("not_text")
        if len(value) > self.longest:
            raise Wrong("too_long")
        text = spelled(value)
        if not is_printable(text):
            raise Wrong("bad_characters")
        if text and self.kind == "email" and not _EMAIL.fullmatch(text):
            raise Wrong("malformed")
        if text and self.kind == "choice" and text not in self.choices:
            raise Wrong("not_a_choice")
        return text


def spelled(text: str) -> str:
    """Return a text in its one spelling: trimmed, NFC, Persian ی and ک for the Arabic letters that look alike."""
    text = text.strip()
    if text.isascii():
        return text
    # Looked for first, since to find nothing costs a tenth of what str.translate() does.
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    for arabic, persian in _ARABIC_TO_PERSIAN:
        if arabic in text:
            text = text.replace(arabic, persian)
    return text


def is_printable(text: str) -> bool:
    """Return whether a text is one line that every store takes. Zero-width joiners may be in it."""
    return text.isprintable() or text.translate(_JOINERS).isprintable()


def read(fields: tuple[Field, ...], sent: Mapping[str, object]) -> dict[str, str]:
    """Return the values of a campaign's fields, each in its one spelling, without those that are empty.

    sent: what came, of which other members are ignored. Raises InvalidFields with every fault.
    """
    values: dict[str, str] = {}
    errors = []
    for field in fields:
        try:
            if value := field.read(sent.get(field.name)):
                values[field.name] = value
        except Wrong as error:
            errors.append((field, str(error)))
    if errors:
        raise InvalidFields(errors)
    return values
