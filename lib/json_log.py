"""One JSON object per line for each event, with no phone number in it."""

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from lib.phones import mask

_PHONE = re.compile(r"(?<![0-9a-zA-Z-])0[0-9]{10}(?![0-9a-zA-Z-])")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as {"time", "level", "logger", "event", …extra}.

    Line breaks, control and bidi characters of hostile text stay escaped inside the JSON string,
    so that a line is always one event (ASVS 16.4.1).
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of ASCII-safe JSON, phones masked."""
        event: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        event |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        # json escapes all that is not ASCII, which orjson, though faster, does not.
        return json.dumps(_inert(event)).replace("\x7f", "\\u007f")


def mask_phones(text: str) -> str:
    """Return text with every canonical phone number masked."""
    return _PHONE.sub(lambda match: mask(match[0]), text)


def _inert(value: object) -> Any:
    """Return a value that JSON can carry, its texts masked before escapes can hide where a number begins."""
    if isinstance(value, Mapping):
        return {_inert(str(key)): _inert(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_inert(inner) for inner in value]
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and isfinite(value)):
        return value
    text = str(value)
    return mask_phones(text if text.isascii() else text.encode("utf-8", "replace").decode())
