"""HTTP/1.1 as a crowd sends it: kept connections, a deadline for each answer, never more at once than is allowed.

The one sender of the rehearsal, the benchmark, the drills and the tests, so that all of them mean the same by
an answer, a cut and a latency. httptools, the parser of our server, reads the answers. Times are seconds, moments
are those of time.monotonic().
"""

import asyncio
import itertools
import math
import random
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httptools
import orjson

LARGEST = 8_000_000
"""Bytes of an answer; more is an error."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. headers: by their names in lower case; body: as it came, compressed or not."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Read the body as JSON. Raises ValueError."""
        return orjson.loads(self.body)

    @property
    def retry_after(self) -> float:
        """The seconds of Retry-After, 0 without it."""
        seconds = self.headers.get("retry-after", "")
        return float(seconds) if seconds.isdecimal() else 0.0


def request(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request; its Host is among the headers."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Sender:
    """Connections to the server of a URL (http or https), opened when they are needed and kept.

    connections: the most at a time; above it requests wait, and that counts as theirs. deadline: of one answer.
    """

    def __init__(self, url: str, *, connections: int = 256, deadline: float = 15.0) -> None:
        address = urlsplit(url)
        self._tls = ssl.create_default_context() if address.scheme == "https" else None
        self._host, self._port = address.hostname or "", address.port or (443 if self._tls else 80)
        self._room = asyncio.Semaphore(connections)
        self._deadline = deadline
        self._free: list[_Connection] = []

    async def connect(self) -> None:
        """Open a connection for later. Raises OSError."""
        async with asyncio.timeout(self._deadline):
            self._free.append(await self._open())

    async def ask(self, request: bytes) -> Answer:
        """Return the answer. Raises TimeoutError when it is late, another OSError when there will be none."""
        async with asyncio.timeout(self._deadline), self._room:
            while self._free:
                # As browsers do: the server may have closed a kept connection just when we used it.
                with suppress(_Closed):
                    return await self._exchange(self._free.pop(), request)
            return await self._exchange(await self._open(), request)

    def close(self) -> None:
        """Close all connections that are free."""
        while self._free:
            self._free.pop().abort()

    async def _open(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port, ssl=self._tls)
        return connection

    async def _exchange(self, connection: "_Connection", request: bytes) -> Answer:
        try:
            answer = await connection.send(request)
        except BaseException:
            connection.abort()
            raise
        if connection.is_kept:
            self._free.append(connection)
        else:
            connection.abort()
        return answer


class _Closed(ConnectionError):
    """A kept connection has ended before the first byte of an answer."""


class _Connection(asyncio.Protocol):
    """One connection; httptools calls the on_ methods."""

    def __init__(self) -> None:
        self.is_kept = False
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: bytes) -> asyncio.Future[Answer]:
        self._answer = asyncio.get_running_loop().create_future()
        self._has_begun = self._has_end = False
        if self._transport.is_closing():
            self._fail(_Closed())
        self._transport.write(request)
        return self._answer

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._has_begun = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserCallbackError) as error:
            self._fail(ConnectionError(f"no HTTP: {error}"))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is None or self._answer.done():
            return
        if self._has_begun and self._has_end:
            self._complete(is_kept=False)  # a body whose end is that of the connection
        else:
            stale = self.is_kept and not self._has_begun
            self._fail(_Closed() if stale else ConnectionError("cut"))

    def on_message_begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._has_end = not {"content-length", "transfer-encoding"} & self._headers.keys()

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:  # below it another one follows
            self._complete(is_kept=self._parser.should_keep_alive())

    def _complete(self, *, is_kept: bool) -> None:
        self.is_kept = is_kept
        if self._answer and not self._answer.done():
            self._answer.set_result(Answer(self._parser.get_status_code(), self._headers, bytes(self._body)))

    def _fail(self, error: Exception) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)


async def arrivals(
    rate: float, *, count: int | None = None, seconds: float = math.inf, chance: random.Random | None = None
) -> AsyncIterator[float]:
    """The open model: wait for each moment at which a request is due, whatever the answers do, and yield it.

    Evenly at `rate` a second, or with `chance` as people come (a Poisson process), until so many or so long.
    Who counts a latency from the moment that was due charges a stall to all whom it held up.
    """
    started = due = time.monotonic()
    for number in itertools.count() if count is None else range(count):
        due = due + chance.expovariate(rate) if chance else started + number / rate
        if due >= started + seconds:
            return
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield due


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else 0.0
