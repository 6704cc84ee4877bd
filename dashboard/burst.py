"""A burst of registrations over HTTP, as a crowd sends them: each when it is due, whatever the answers take."""

import asyncio
import math
import ssl
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

import orjson

PATH = "/api/register/"
ANSWER_WITHIN = 15.0
MOST_CONNECTIONS = 256


@dataclass(frozen=True)
class Plan:
    """What to send: `count` registrations at `rate` a second, each phone number once."""

    url: str
    rate: float
    count: int
    user_agent: str
    first_phone: str
    host: str

    def phone(self, number: int) -> str:
        """Return the phone number of one registration."""
        return f"{int(self.first_phone) + number:011}"

    def request(self, number: int) -> bytes:
        """Return one registration as HTTP/1.1.

        Each says that it comes from an address of its own (198.18.0.0/15, RFC 2544), which counts
        only where this machine is a trusted proxy.
        """
        body = orjson.dumps({"phone_number": self.phone(number)})
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {self.host}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nUser-Agent: {self.user_agent}\r\n"
            f"X-Forwarded-For: 198.{18 + number // 65536 % 2}.{number // 256 % 256}.{number % 256}\r\n\r\n"
        )
        return head.encode() + body

    @property
    def address(self) -> SplitResult:
        """The URL's parts."""
        return urlsplit(self.url)


@dataclass
class Burst:
    """What came back."""

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    seconds: float = 0.0

    @property
    def limited(self) -> bool:
        """Whether the rate limit refused some."""
        return self.answers["429"] > 0

    @property
    def per_second(self) -> float:
        """How many were accepted a second."""
        return len(self.accepted) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Return the latency, in ms from the moment a request was due, that this share stayed within."""
        ordered = sorted(self.latencies)
        return ordered[max(0, math.ceil(len(ordered) * share) - 1)] * 1000 if ordered else 0.0


async def send(plan: Plan, step: Callable[[], None]) -> Burst:
    """Send the burst; end early when the rate limit refuses. Raises OSError if nobody listens at the URL."""
    connections = _Connections(plan.address)
    connections.free.append(await connections.open())
    burst = Burst()
    answered: set[asyncio.Task[None]] = set()
    started = time.perf_counter()
    for number in range(plan.count):
        due = started + number / plan.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if burst.limited:
            break
        burst.sent += 1
        task = asyncio.create_task(_register(connections, plan.request(number), due, burst))
        answered.add(task)
        task.add_done_callback(answered.discard)
        step()
    await asyncio.gather(*answered)
    burst.seconds = time.perf_counter() - started
    connections.close()
    return burst


async def _register(connections: "_Connections", request: bytes, due: float, burst: Burst) -> None:
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            status, body = await connections.exchange(request)
    except (
        OSError,
        TimeoutError,
        ValueError,
        KeyError,
        asyncio.IncompleteReadError,
        asyncio.LimitOverrunError,
    ) as error:
        burst.answers[type(error).__name__] += 1
        return
    burst.latencies.append(time.perf_counter() - due)
    burst.answers[str(status)] += 1
    if status == 202:
        burst.accepted.append(orjson.loads(body)["request_id"])


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connections:
    """Kept-alive connections to one address, opened as they are needed."""

    def __init__(self, address: SplitResult) -> None:
        self._address = address
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)
        self.free: list[Connection] = []

    async def open(self) -> Connection:
        """Open one more. Raises OSError."""
        encrypted = self._address.scheme == "https"
        return await asyncio.open_connection(
            self._address.hostname,
            self._address.port or (443 if encrypted else 80),
            ssl=ssl.create_default_context() if encrypted else None,
        )

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and return status and body. A connection that fails is not used again."""
        async with self._room:
            reader, writer = self.free.pop() if self.free else await self.open()
            try:
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                fields = dict(_field(line) for line in head.split(b"\r\n")[1:-2])
                body = await reader.readexactly(int(fields[b"content-length"]))
            except BaseException:
                writer.close()
                raise
            if fields.get(b"connection") == b"close":
                writer.close()
            else:
                self.free.append((reader, writer))
            return int(head.split(b" ", 2)[1]), body

    def close(self) -> None:
        """Close all."""
        for _, writer in self.free:
            writer.close()


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.strip()
