"""The open model: registrations at a fixed mean rate, whatever the answers do, as visitors come.

Each latency is counted from the moment at which the request was meant to be sent, so a server that stalls
is charged for all who would have come meanwhile (no coordinated omission). Arrivals are a Poisson process.
"""

import asyncio
import random
import selectors
import time
from dataclasses import dataclass, field

from lib import load
from tools import visits
from tools.bench import phones

MOST_CONNECTIONS = 400
"""Above it requests wait for a connection, and the wait counts as latency."""

PATIENCE = 10.0
"""Seconds for each answer."""


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


@dataclass
class _Seen:
    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    answered: int = 0
    refused: int = 0


def run(port: int, *, rate: int, seconds: float, seed: int) -> Answers:
    """Send for some seconds and wait for the answers."""
    # select() waits to the microsecond; epoll, asyncio's usual choice, to the millisecond.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(_run(port, rate, seconds, random.Random(seed)))  # noqa: S311  not secret


async def _run(port: int, rate: int, seconds: float, chance: random.Random) -> Answers:
    sender = load.Sender(f"http://127.0.0.1:{port}", connections=MOST_CONNECTIONS, deadline=PATIENCE)
    phone, seen = phones.take(int(rate * seconds * 2) + 1000), _Seen()
    started = time.monotonic()
    async with asyncio.TaskGroup() as visitors:
        async for due in load.arrivals(rate, seconds=seconds, chance=chance):
            seen.late.append(time.monotonic() - due)
            phone = phones.after(phone)
            request = visits.register(phones.spelled(phone), address=visits.address(chance))
            visitors.create_task(_register(sender, request, due, seen))
    took = time.monotonic() - started
    sender.close()
    return Answers(
        sent=len(seen.late),
        answered=seen.answered,
        refused=seen.refused,
        seconds=took,
        p50=load.percentile(seen.latencies, 0.5) * 1000,
        p99=load.percentile(seen.latencies, 0.99) * 1000,
        max=max(seen.latencies, default=0.0) * 1000,
        late_p99=load.percentile(seen.late, 0.99) * 1000,
    )


async def _register(sender: load.Sender, request: bytes, due: float, seen: _Seen) -> None:
    try:
        status = (await sender.ask(request)).status
        seen.answered += 1
        seen.refused += status >= 400
    except OSError:
        pass  # it waited at least until now
    seen.latencies.append(time.monotonic() - due)
