"""What somebody else has seen being accepted: nginx's access log, or a load driver's file."""

import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from lib import request_ids

# A receipt that a driver has kept as it came says "Processing"; nginx writes its status as text.
_ACCEPTED = (None, 202, "202", "Processing")


@dataclass
class Witness:
    """A file of ids: one a line, as text or within a JSON object ("request_id" or "task_id").

    only_accepted: leave out JSON lines with a status other than 202. `unreadable` counts the lines
    that are neither, once all are read.
    """

    path: str
    only_accepted: bool = True
    unreadable: int = field(default=0, init=False)

    def ids(self) -> Iterator[str]:
        """Yield the ids, in the order of the file. Raises OSError, or ValueError if no line has one."""
        found = 0
        with _opened(self.path) as lines:
            for line in lines:
                if (one := self._id_in(line)) is not None:
                    found += 1
                    yield one
        if self.unreadable and not found:
            raise ValueError(f"{self.path}: none of {self.unreadable} lines holds a request_id")

    def _id_in(self, line: bytes) -> str | None:
        line = line.strip()
        if not line or line.startswith(b"#"):
            return None
        if b"{" not in line:
            return self._canonical(line.decode("ascii", "replace"))
        try:
            event = orjson.loads(line[line.index(b"{") :])  # `docker compose logs` writes a name before it
        except ValueError:
            event = {}
        if self.only_accepted and event.get("status") not in _ACCEPTED:
            return None
        return self._canonical(event.get("request_id") or event.get("task_id"))

    def _canonical(self, text: Any) -> str | None:
        value = request_ids.parse(text) if isinstance(text, str) else None
        if value is None:
            self.unreadable += 1
            return None
        return str(value)


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
    elif path.endswith(".gz"):
        with gzip.open(path) as file:
            yield file  # type: ignore[misc]  # GzipFile reads lines as any file does
    else:
        with Path(path).open("rb") as file:
            yield file
