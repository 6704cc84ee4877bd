"""JSON objects, one a line, for each event, with no phone number in them and none longer than a line may be.

Ours: python-json-logger has no masking of phone numbers and no bound on a line, which are most of this file.
"""

import json
import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping
from copy import copy
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from lib.phones import mask

LONGEST = 16_000
"""Characters of a line. Docker and Kubernetes cut at 16,384 bytes, and half an object is none."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _phone() -> re.Pattern[str]:
    """Return what finds a number in a text, in whatever digits and groups; lib/phones.py is stricter.

    It is in no longer word or UUID. A gap is short, so that hostile text costs no more than it is long.
    """
    zero, eight, nine = "[0٠۰０]", "[8٨۸８]", "[9٩۹９]"
    marks = r"\s\x1c-\x1f\x85\xad\u061c\u200b-\u200f\u2010-\u2015\u202a-\u202e\u2060-\u2069\u2212\ufe63\ufeff\uff0d-"
    gap, dotted = f"[{marks}]{{0,4}}", f"[./(){marks}]{{0,4}}"
    country = f"(?:(?:[+＋]|{zero}{dotted}{zero}){dotted})?{nine}{dotted}{eight}(?:{dotted}{zero})?"
    # A mobile number without its zero is in no dotted groups: those would be an IP address.
    forms = f"{country}(?:{dotted}\\d){{10}}|{zero}(?:{dotted}\\d){{10}}|{nine}(?:{gap}\\d){{9}}"
    return re.compile(f"(?<![0-9a-zA-Z-])(?:{forms})(?!-?[0-9a-fA-F])")


_PHONE = _phone()


class JsonFormatter(logging.Formatter):
    """Formats a record as {"time", "level", "logger", "event", …extra}.

    Line breaks, control and bidi characters of hostile text stay escaped inside the JSON string,
    so that a line is always one event (ASVS 16.4.1). An event that would be longer than LONGEST
    becomes several lines, each whole in itself, among which its longest list is divided.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as lines of ASCII-safe JSON, phones masked."""
        event: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        event |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info or record.exc_text:
            event["exception"] = record.exc_text or self.formatException(
                record.exc_info or (None, None, None)
            )
        return "\n".join(_lines({_inert(key): _inert(value) for key, value in event.items()}))


def mask_phones(text: str) -> str:
    """Return text with every phone number masked, however it is spelled."""
    return _PHONE.sub(lambda found: _masked(found[0]), text)


def frozen(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record that does not change with what its caller does next, so that another thread may format it.

    What is costly waits for that thread; lists are taken to be given away for good.
    """
    record = copy(record)  # other handlers want it as it is
    if record.args:
        record.msg, record.args = record.getMessage(), None
    if record.exc_info:
        # The text, since the frames would keep alive whatever is in them.
        record.exc_text, record.exc_info = logging.Formatter().formatException(record.exc_info), None
    for name in vars(record).keys() - _STANDARD:
        if not isinstance(value := getattr(record, name), (str, int, float, list, type(None))):
            setattr(record, name, _inert(value))
    return record


def _lines(event: dict[str, Any]) -> Iterator[str]:
    # json escapes all that is not ASCII, which orjson, though faster, does not.
    line = json.dumps(event).replace("\x7f", "\\u007f")
    if len(line) <= LONGEST:
        yield line
        return
    name, value = max(event.items(), key=lambda item: len(str(item[1])))
    if isinstance(value, list) and len(value) > 1:
        middle = len(value) // 2
        yield from _lines(event | {name: value[:middle]})
        yield from _lines(event | {name: value[middle:]})
        return
    text = value if isinstance(value, str) else json.dumps(value)
    third = len(text) // 3  # a traceback says most at its beginning and at its end
    yield from _lines(event | {name: f"{text[:third]} … {text[-third:]}"})


def _masked(found: str) -> str:
    digits = "".join(str(unicodedata.digit(letter)) for letter in found if letter.isdecimal())
    return mask(f"0{digits[-10:]}")


def _inert(value: object) -> Any:
    """Return a value that JSON can carry, its texts masked before escapes can hide where a number begins."""
    if isinstance(value, Mapping):
        return {_inert(str(key)): _inert(inner) for key, inner in value.items()}
    if isinstance(value, list) and _are_uuids(value):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_inert(inner) for inner in value]
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and isfinite(value)):
        return value
    text = str(value)
    return mask_phones(text if text.isascii() else text.encode("utf-8", "replace").decode())


def _are_uuids(values: list[Any]) -> bool:
    """Return whether these are request ids. Hundreds are in a line, and one by one they cost half a millisecond."""
    try:
        text = "".join(values)
    except TypeError:
        return False
    return (
        set(map(len, values)) == {36}
        and all(text[place::36].count("-") == len(values) for place in (8, 13, 18, 23))
        and text.count("-") == 4 * len(values)
        and not text.encode("utf-8", "replace").translate(None, b"0123456789abcdef-")
    )
