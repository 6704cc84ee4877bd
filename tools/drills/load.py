"""The visitors: `python -m tools.drills.load PORT RATE SEED FILE`, until SIGTERM or the end of its parent.

A process of its own, so that it sees the product as visitors do and is nobody's victim. An open model:
requests come at a fixed mean rate, whatever the answers do. Each answer becomes a line of FILE, which
is the witness that `manage.py reconcile --accepted` reads; `at` is on this machine's monotonic clock.
"""

import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import TextIO

from local.processes import end, leftovers

HOST = "127.0.0.1"
HUNG = 10.0
"""Seconds without an answer after which a request counts as hanging, and its visitor leaves."""

TRIES = 4
"""A refused or cut visitor comes back this often, as the page does."""

WITH_KEY, TWICE, KNOWN_PHONE = 0.5, 0.05, 0.1
"""Shares: with an Idempotency-Key; sent twice at once with the same key; with a phone seen before."""

CUT, HANGS, DISAGREE = "cut", "hangs", "two receipts"

STEP, ALL = 6_180_339_887, 10_000_000_000
"""Without a common divisor, so that the walk by steps comes to every number once."""


class Visitors:
    """Sends, comes back when refused, and writes down every answer."""

    def __init__(self, port: int, rate: float, seed: int, file: TextIO) -> None:
        self.port = port
        self.rate = rate
        self.random = random.Random(seed)  # noqa: S311  not secret
        self.number = self.random.randrange(ALL)
        self.file = file
        self.known: deque[str] = deque(maxlen=1000)
        self.visits: set[asyncio.Task[None]] = set()
        self.leaving = asyncio.Event()
        self.parent = os.getppid()

    async def run(self) -> None:
        """Send until told to stop, then wait for the answers that are missing."""
        due = time.monotonic()
        while not self.leaving.is_set() and os.getppid() == self.parent:
            due += self.random.expovariate(self.rate)
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            visit = asyncio.create_task(self.visit(due))
            self.visits.add(visit)
            visit.add_done_callback(self.visits.discard)
        if self.visits:
            await asyncio.wait(self.visits, timeout=HUNG + 2)

    async def visit(self, due: float) -> None:
        """Register one phone."""
        phone, twice = self.phone(), self.random.random() < TWICE
        with_key = twice or self.random.random() < WITH_KEY
        request = self.request(phone, f"{self.random.getrandbits(96):x}" if with_key else "")
        if not twice:
            await self.ask(request, due, TRIES if with_key else 1)
            return
        receipts = await asyncio.gather(*(self.ask(request, due, TRIES) for _ in range(2)))
        if len(set(filter(None, receipts))) > 1:
            self.note(due, DISAGREE, None)

    async def ask(self, request: bytes, due: float, tries: int) -> str | None:
        """Send until accepted or tired; return the id."""
        for _ in range(tries):
            status, request_id = await self.answer(request)
            self.note(due, status, request_id)
            if request_id or self.leaving.is_set():
                return request_id
            await asyncio.sleep(self.random.uniform(0.3, 1.5))
            due = time.monotonic()
        return None

    async def answer(self, request: bytes) -> tuple[int | str, str | None]:
        """Send one request on a connection of its own."""
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(HUNG):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                writer.write(request)
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            status = int(head[9:12])
            return status, json.loads(body)["task_id"] if status == 202 else None
        except TimeoutError:
            return HANGS, None
        except (OSError, ValueError):
            return CUT, None
        finally:
            if writer:
                writer.close()

    def phone(self) -> str:
        """Return a new number, or now and then one that was there before."""
        if self.known and self.random.random() < KNOWN_PHONE:
            return self.random.choice(self.known)
        self.number = (self.number + STEP) % ALL
        self.known.append(f"0{self.number:010}")
        return self.known[-1]

    def request(self, phone: str, key: str) -> bytes:
        """Return a request as a browser sends it through a proxy."""
        sender = ".".join(str(self.random.randrange(11, 127)) for _ in range(4))
        body = f'{{"phone_number":"{phone}"}}'
        lines = [
            "POST /api/register/ HTTP/1.1",
            "Host: 127.0.0.1",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"X-Forwarded-For: {sender}",
            *([f"Idempotency-Key: {key}"] if key else []),
        ]
        return "\r\n".join([*lines, "", body]).encode()

    def note(self, due: float, status: int | str, request_id: str | None) -> None:
        """Write an answer down."""
        took = time.monotonic() - due
        line = {"at": round(due, 4), "took": round(took, 4), "status": status, "request_id": request_id}
        self.file.write(json.dumps(line) + "\n")


async def _main(port: int, rate: float, seed: int, path: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 16_384), most))
    with path.open("a", buffering=1) as file:
        visitors = Visitors(port, rate, seed, file)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, visitors.leaving.set)
        await visitors.run()
        if os.getppid() != visitors.parent:
            # The drill was killed: nothing of it may stay behind.
            end(leftovers(path.parent), patience=0)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
