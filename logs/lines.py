"""Request metadata as lines of JSON on the worker's stdout, for Filebeat, Vector, Fluent Bit or rsyslog.

They bring each line to ELK or elsewhere; a document that is delivered twice is two lines with one `_id`, by which the
other side keeps one. Nothing is kept here, so nothing can be found or proven here.
"""

import os
import select
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson
from django.conf import settings

from logs.stores import Document, StoreUnavailable

MARK = "request log"
"""The member `event` of each line: the worker's own log goes to stdout too."""
STDOUT = 1
_writing = threading.Lock()


class LineStore:
    """Writes documents, and keeps none."""

    def insert(self, documents: Sequence[Document]) -> None:
        """Write a line for each. Raises StoreUnavailable if nobody reads them in time; some may be written then."""
        with _writing:
            for document in documents:
                _write(orjson.dumps({"event": MARK, **document}) + b"\n")

    def find(self, request_id: str) -> dict[str, Any] | None:
        """Return None: the other side knows."""
        return None

    def ids(self, since: datetime | None, until: datetime | None) -> Iterator[Any] | None:
        return None

    def find_many(self, ids: Sequence[Any]) -> list[dict[str, Any]]:
        return []

    def delete(self, ids: Sequence[Any]) -> int:
        """Delete nothing: that is the other side's work."""
        return 0

    def members(self) -> tuple[int, int]:
        return 1, 0


def _write(line: bytes) -> None:
    # Not through the log's own thread, which drops lines that nobody takes: this one waits, and says so.
    while line:
        _, writable, _ = select.select([], [STDOUT], [], settings.MONGODB_TIMEOUT)
        if not writable:
            raise StoreUnavailable("nobody reads the worker's stdout")
        # A pipe that is writable takes so much without blocking, and as one piece (POSIX, PIPE_BUF).
        try:
            line = line[os.write(STDOUT, line[: select.PIPE_BUF]) :]
        except OSError as error:
            raise StoreUnavailable(repr(error)) from error
