"""Whole visits: each opens a connection, asks for the page, registers, and polls as the page does until it is registered."""

import asyncio
import json
import random
import ssl
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from statistics import quantiles

import h2.config
import h2.connection
import h2.events

from tools.bench import phones
from tools.bench.h2load import PERSON, Target

FIRST_PAUSE, LONGEST_PAUSE = 0.3, 3.0
"""Seconds between polls: landing/static/landing/embed.js."""
PATIENCE = 60.0
"""Seconds for one visit."""
HEADERS = [(name, value) for name, _, value in (one.partition(": ") for one in PERSON)]

Answer = tuple[int, bytes]


class VisitFailed(Exception):
    """An answer that no visitor should get, or none."""


@dataclass
class Visits:
    """Finished visits, and those that failed; seconds from the POST to the answer that says Registered."""

    done: int = 0
    failed: int = 0
    polls: int = 0
    until_registered: list[float] = field(default_factory=list)
    why: str = ""

    def quantile(self, percent: int) -> float:
        """Milliseconds until a visitor was told to be registered."""
        if len(self.until_registered) < 2:
            return 0.0
        return quantiles(self.until_registered, n=100)[percent - 1] * 1000


def run(target: Target, *, visitors: int, seconds: float) -> Visits:
    """Let so many visitors come, each after the last has gone, for some seconds; those under way finish uncounted."""
    return asyncio.run(_run(target, visitors, seconds))


async def _run(target: Target, visitors: int, seconds: float) -> Visits:
    visits = Visits()
    until = time.monotonic() + seconds
    await asyncio.gather(*(_come_again(target, visits, until) for _ in range(visitors)))
    return visits


async def _come_again(target: Target, visits: Visits, until: float) -> None:
    await asyncio.sleep(random.random() * FIRST_PAUSE)  # noqa: S311  not all at once
    while time.monotonic() < until:
        try:
            async with asyncio.timeout(PATIENCE):
                took, polls = await _visit(target, phones.spelled(phones.take(1)))
        except (VisitFailed, OSError, TimeoutError, EOFError, ValueError) as error:
            visits.failed += 1
            visits.why = repr(error)
            await asyncio.sleep(FIRST_PAUSE)
            continue
        if time.monotonic() < until:
            visits.done += 1
            visits.polls += polls
            visits.until_registered.append(took)


async def _visit(target: Target, phone: str) -> tuple[float, int]:
    site = await (Http2 if target.http2 else Http1).open(target)
    try:
        await _wanted(200, site.ask("GET", "/fa/"))
        started = time.perf_counter()
        receipt = await _wanted(
            202, site.ask("POST", "/api/register/", json.dumps({"phone_number": phone}).encode())
        )
        pause, polls = FIRST_PAUSE, 0
        while True:
            await asyncio.sleep(pause)
            polls += 1
            state = await _wanted(200, site.ask("GET", f"/api/register/{json.loads(receipt)['task_id']}/"))
            if json.loads(state)["status"] == "Registered":
                return time.perf_counter() - started, polls
            pause = min(LONGEST_PAUSE, pause * 1.5)
    finally:
        site.close()


async def _wanted(status: int, answer: Awaitable[Answer]) -> bytes:
    found, body = await answer
    if found != status:
        raise VisitFailed(f"{found} where {status} was wanted")
    return body


class Http1:
    """A connection that speaks HTTP/1.1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, target: Target) -> "Http1":
        host, port = target.address.rsplit(":", 1)
        return cls(*await asyncio.open_connection(host, int(port)))

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send one request and return the status and the body, as it came."""
        head = [f"{method} {path} HTTP/1.1", "host: localhost", *PERSON]
        if body:
            head += ["content-type: application/json", f"content-length: {len(body)}"]
        self._writer.write("\r\n".join([*head, "", ""]).encode() + body)
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines if line)
        length = int(headers[b"content-length"]) if b"content-length" in headers else None
        return int(status.split()[1]), await (
            self._chunks() if length is None else self._reader.readexactly(length)
        )

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return body

    def close(self) -> None:
        self._writer.close()


class Http2:
    """A connection that speaks HTTP/2 over TLS, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self._h2.initiate_connection()

    @classmethod
    async def open(cls, target: Target) -> "Http2":
        """Connect; the certificate is the benchmark's own, and nobody vouches for it."""
        host, port = target.address.rsplit(":", 1)
        return cls(*await asyncio.open_connection(host, int(port), ssl=_TLS, server_hostname="localhost"))

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send one request and return the status and the body, as it came."""
        stream = self._h2.get_next_available_stream_id()
        head = [
            (":method", method),
            (":path", path),
            (":scheme", "https"),
            (":authority", "localhost"),
            *HEADERS,
        ]
        if body:
            head += [("content-type", "application/json"), ("content-length", str(len(body)))]
        self._h2.send_headers(stream, head, end_stream=not body)
        if body:
            self._h2.send_data(stream, body, end_stream=True)
        return await self._answer()

    async def _answer(self) -> Answer:
        status, body = 0, b""
        while True:
            self._writer.write(self._h2.data_to_send())
            data = await self._reader.read(65536)
            if not data:
                raise EOFError("the connection was closed")
            for event in self._h2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    return status, body
                elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    raise VisitFailed("the answer was broken off")

    def close(self) -> None:
        self._writer.close()


_TLS = ssl.create_default_context()
_TLS.check_hostname = False
_TLS.verify_mode = ssl.CERT_NONE
_TLS.set_alpn_protocols(["h2"])
