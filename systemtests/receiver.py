"""A receiver of webhooks that misbehaves on demand, and keeps what it has taken."""

import asyncio
import json
import random
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from systemtests import loopback

HANG = 60.0
"""Seconds that one that hangs waits for its caller to leave."""


@dataclass
class Message:
    """One call as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    is_taken: bool

    @property
    def told(self) -> Any:
        return json.loads(self.body)

    @property
    def ids(self) -> list[str]:
        return [one["request_id"] for one in self.told["data"]["submissions"]]


@dataclass
class Receiver:
    """One receiver. mode: an HTTP status, "hang", "reset", or chances of such: {500: 0.3}; the rest is 204.

    calls: all of them. open_now, most_open: calls that are under way, and the most there were at a time.
    """

    url: str = ""
    mode: Any = 204
    answer_headers: dict[str, str] = field(default_factory=dict)
    calls: list[Message] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_open: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    @property
    def taken(self) -> list[Message]:
        return [one for one in self.calls if one.is_taken]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's calls."""
        self.connections += 1
        try:
            while request := await loopback.read(reader):
                self.open_now += 1
                self.most_open = max(self.most_open, self.open_now)
                try:
                    if not await self._answer(*request, reader, writer):
                        return
                finally:
                    self.open_now -= 1
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # at the end of a test, too
        finally:
            writer.close()

    async def _answer(
        self,
        path: str,
        headers: dict[str, str],
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        mode = self._mode()
        is_taken = isinstance(mode, int) and 200 <= mode < 300
        self.calls.append(Message(path, headers, body, time.time(), is_taken))
        if mode == "hang":
            await asyncio.wait(
                [asyncio.ensure_future(reader.read())], timeout=HANG
            )  # or until the caller has left
        if not isinstance(mode, int):
            loopback.reset(writer)
            return False
        more = "".join(f"{name}: {value}\r\n" for name, value in self.answer_headers.items())
        writer.write(f"HTTP/1.1 {mode} x\r\n{more}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()
        return True

    def _mode(self) -> Any:
        if not isinstance(self.mode, dict):
            return self.mode
        others = 1 - sum(self.mode.values())
        return self.chance.choices([*self.mode, 204], [*self.mode.values(), others])[0]


@contextmanager
def running(port: int = 0, certificate: tuple[Path, Path] | None = None) -> Iterator[Receiver]:
    """Run a receiver on 127.0.0.1 in a thread. certificate: its file and that of its key, to speak TLS."""
    receiver, tls = Receiver(), None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*certificate)
    with loopback.served(receiver.serve, port, tls) as address:
        receiver.url = f"{address}/hook"
        yield receiver
