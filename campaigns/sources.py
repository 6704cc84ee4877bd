"""Where a visitor came from at first: what advertisements add to the page's address. Bounded, inert, never evidence."""

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from lib.texts import inert

NAMES = (
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "utm_id",
    "gclid",
    "gbraid",
    "wbraid",
    "fbclid",
    "msclkid",
    "ttclid",
    "twclid",
    "yclid",
)
_KNOWN = frozenset(NAMES)
LONGEST = 256
"""Characters of each."""


def read(sent: object) -> dict[str, str]:
    """Return what is known of a `source`; anything else in it is left out, and it is never refused."""
    if not isinstance(sent, Mapping):
        return {}
    return {
        name: inert(value[:LONGEST])
        for name, value in sent.items()
        if name in _KNOWN and isinstance(value, str) and value.strip()
    }


def of_address(address: str) -> dict[str, str]:
    """Return what the query of a page's address tells: for forms that are sent without JavaScript."""
    try:
        query = parse_qs(urlsplit(address).query, max_num_fields=100)
    except ValueError:
        return {}
    return read({name: values[0] for name, values in query.items()})
