"""Texts from strangers, made harmless for stores and log lines."""

import re

LONGEST_TEXT = 1024
"""Characters kept of a referrer or a user agent; the rest is cut off."""

# Control characters, Unicode's own line ends, and surrogates, which no database takes.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def inert(text: str) -> str:
    """Return text that no store refuses and no log line breaks at: harmful characters replaced, cut."""
    text = text[:LONGEST_TEXT]
    # Nearly every text is printable, and that is told at a tenth of the price.
    return text if text.isprintable() else _HARMFUL.sub("\N{REPLACEMENT CHARACTER}", text)


def header_text(raw: bytes) -> str:
    """Return a header's value as inert text; bytes that are not UTF-8 are replaced."""
    return inert(raw[: LONGEST_TEXT * 4].decode("utf-8", "replace"))
