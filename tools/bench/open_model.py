"""The open model: requests at a fixed mean rate, whatever the answers do, as visitors come.

Each latency is counted from the moment at which the request was meant to be sent, so a server that stalls
is charged for all who would have come meanwhile (no coordinated omission). Arrivals are a Poisson process.
"""

import asyncio
import random
import re
import selectors
import time
from collections import deque
from dataclasses import dataclass

from tools.bench import phones

MOST_CONNECTIONS = 400
"""Above it requests wait for a connection, and the wait counts as latency."""

PATIENCE = 10.0
"""Seconds after the last request for the answers that are missing."""

_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)", re.IGNORECASE)
_STATUS = slice(9, 12)


@dataclass(frozen=True)
class Answers:
    """Latencies in milliseconds; late: how long after the intended moment this driver itself came round."""

    sent: int
    answered: int
    refused: int
    seconds: float
    p50: float
    p99: float
    max: float
    late_p99: float


def run(port: int, *, rate: int, seconds: float, seed: int) -> Answers:
    """Send for some seconds and wait for the answers."""
    # select() waits to the microsecond; epoll, asyncio's usual choice, to the millisecond.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    try:
        return loop.run_until_complete(_Driver(port, rate, seconds, seed).run())
    finally:
        loop.close()


class _Driver:
    def __init__(self, port: int, rate: int, seconds: float, seed: int) -> None:
        self.port = port
        self.rate = rate
        self.seconds = seconds
        self.random = random.Random(seed)  # noqa: S311  not secret
        self.phone = phones.take(int(rate * seconds * 2) + 1000)
        self.latencies: list[float] = []
        self.late: list[float] = []
        self.refused = 0
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.free: list[_Connection] = []
        self.open = 0

    async def run(self) -> Answers:
        for _ in range(8):
            await self.connect()
        started = time.perf_counter()
        sent = await self.send(started)
        until = time.perf_counter() + PATIENCE
        while len(self.latencies) < sent and time.perf_counter() < until:
            await asyncio.sleep(0.005)
        took = time.perf_counter() - started
        for connection in self.free:
            connection.close()
        return self.answers(sent, took)

    async def send(self, started: float) -> int:
        loop = asyncio.get_running_loop()
        intended, sent = started, 0
        while (intended := intended + self.random.expovariate(self.rate)) < started + self.seconds:
            if (pause := intended - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            elif sent % 64 == 0:
                await asyncio.sleep(0)  # never so late that no answer is read
            self.late.append(max(0.0, time.perf_counter() - intended))
            self.waiting.append((intended, self.request()))
            sent += 1
            if not self.free and self.open < MOST_CONNECTIONS:
                self.open += 1
                loop.create_task(self.dial()).add_done_callback(lambda task: task.exception())
            self.dispatch()
        return sent

    async def connect(self) -> None:
        self.open += 1
        await self.dial()

    async def dial(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), "127.0.0.1", self.port
            )
        except OSError:
            self.open -= 1

    def request(self) -> bytes:
        self.phone = phones.after(self.phone)
        address = ".".join(str(self.random.randrange(11, 127)) for _ in range(4))
        return (
            "POST /api/register/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            "Accept: */*\r\n"
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
            f"Referer: https://campaign.example/\r\nX-Forwarded-For: {address}\r\nContent-Length: 30\r\n\r\n"
            f'{{"phone_number":"{phones.spelled(self.phone)}"}}'
        ).encode()

    def dispatch(self) -> None:
        while self.waiting and self.free:
            intended, request = self.waiting.popleft()
            self.free.pop().send(intended, request)

    def answered(self, connection: "_Connection", intended: float, status: int) -> None:
        self.latencies.append(time.perf_counter() - intended)
        self.refused += status >= 400
        self.free.append(connection)
        self.dispatch()

    def answers(self, sent: int, took: float) -> Answers:
        # A request without an answer waited at least this long.
        latencies = sorted([*self.latencies, *[took] * (sent - len(self.latencies))])
        return Answers(
            sent=sent,
            answered=len(self.latencies),
            refused=self.refused,
            seconds=took,
            p50=percentile(latencies, 50) * 1000,
            p99=percentile(latencies, 99) * 1000,
            max=latencies[-1] * 1000,
            late_p99=percentile(sorted(self.late), 99) * 1000,
        )


class _Connection(asyncio.Protocol):
    def __init__(self, driver: _Driver) -> None:
        self.driver = driver
        self.intended = 0.0
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.driver.free.append(self)
        self.driver.dispatch()

    def send(self, intended: float, request: bytes) -> None:
        self.intended = intended
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = _LENGTH.search(head)
        if length and len(body) < int(length[1]):
            return
        self.received = b""
        self.driver.answered(self, self.intended, int(head[_STATUS]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.driver.open -= 1
        if self in self.driver.free:
            self.driver.free.remove(self)

    def close(self) -> None:
        self.transport.close()


def percentile(ordered: list[float], percent: float) -> float:
    """Return the value below which this share of an ordered list lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0
