"""A burst of registrations over HTTP, as a crowd sends them: each when it is due, whatever the answers take."""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

import orjson

from lib import load

PATH = "/api/register/"


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
        headers = {
            "Host": self.host,
            "Content-Type": "application/json",
            "User-Agent": self.user_agent,
            "X-Forwarded-For": f"198.{18 + number // 65536 % 2}.{number // 256 % 256}.{number % 256}",
        }
        return load.request("POST", PATH, headers, orjson.dumps({"phone_number": self.phone(number)}))

    @property
    def address(self) -> SplitResult:
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
        return load.percentile(self.latencies, share) * 1000


async def send(plan: Plan, step: Callable[[], None]) -> Burst:
    """Send the burst; end early when the rate limit refuses. Raises OSError if nobody listens at the URL."""
    sender, burst = load.Sender(plan.url), Burst()
    await sender.connect()
    started = time.monotonic()
    async with asyncio.TaskGroup() as visitors:
        async for due in load.arrivals(plan.rate, count=plan.count):
            if burst.limited:
                break
            visitors.create_task(_register(sender, plan.request(burst.sent), due, burst))
            burst.sent += 1
            step()
    burst.seconds = time.monotonic() - started
    sender.close()
    return burst


async def _register(sender: load.Sender, request: bytes, due: float, burst: Burst) -> None:
    try:
        answer = await sender.ask(request)
        accepted = [answer.json()["request_id"]] if answer.status == 202 else []
    except (OSError, ValueError, KeyError) as error:
        burst.answers[type(error).__name__] += 1
        return
    burst.latencies.append(time.monotonic() - due)
    burst.answers[str(answer.status)] += 1
    burst.accepted += accepted
