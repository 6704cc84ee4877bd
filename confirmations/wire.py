"""Asks and typed codes on their way from a web to a worker, through the queue `confirmations`."""

from typing import Any
from uuid import UUID

from campaigns.definition import LANGUAGES
from confirmations import codes
from confirmations.asks import Asked
from confirmations.tries import Typed
from lib.clock import read_utc

LONGEST_HOST, LONGEST_GROUP = 253, 64


class Malformed(ValueError):
    """What came off the queue is neither an ask nor a typed code. The text has nothing personal."""


def write(item: Asked | Typed) -> list[str]:
    """Return an item as JSON can carry it."""
    if isinstance(item, Asked):
        return ["ask", item.request_id, item.at.isoformat(), item.language, item.site, item.group]
    return ["try", item.request_id, item.at.isoformat(), item.try_id, item.code]


def read(raw: Any) -> Asked | Typed:
    """Read what write() wrote, or what somebody else put on the queue. Raises Malformed."""
    if not (isinstance(raw, list) and all(isinstance(text, str) for text in raw)):
        raise Malformed("not a list of texts")
    try:
        match raw:
            case ["ask", request_id, at, language, site, group]:
                return Asked(str(UUID(request_id)), read_utc(at), *_place(language, site, group))
            case ["try", request_id, at, try_id, code]:
                return Typed(str(UUID(request_id)), read_utc(at), str(UUID(try_id)), codes.read(code))
            case _:
                raise Malformed("neither an ask nor a try")
    except ValueError as error:
        raise Malformed(str(error) if isinstance(error, Malformed) else type(error).__name__) from None


def _place(language: str, site: str, group: str) -> tuple[str, str, str]:
    if language not in LANGUAGES or len(site) > LONGEST_HOST or len(group) > LONGEST_GROUP or "\0" in site:
        raise ValueError("language, site or group")
    return language, site, group
