"""One JSON object per line for each event, with no phone number in it."""

import logging
import re
from datetime import UTC, datetime

import orjson

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
        return mask_phones(_dump(event))


def mask_phones(text: str) -> str:
    """Return text with every canonical phone number masked."""
    return _PHONE.sub(lambda match: mask(match[0]), text)


def _dump(event: dict[str, object]) -> str:
    try:
        line = orjson.dumps(event, default=str).decode()
    except (TypeError, ValueError):  # a lone surrogate, a key that is not text
        line = orjson.dumps({key: ascii(value) for key, value in event.items()}).decode()
    return line.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x7f", "\\u007f")
