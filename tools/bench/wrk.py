"""wrk, the closed-loop load: so many connections, each sending as soon as it is answered."""

import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.phones import take

SCRIPT = Path(__file__).parent / "load.lua"
VISITS = Path(__file__).parent / "visits.lua"


LONGEST = 600
"""Seconds after which visitors go, whatever happens."""


class LoadFailed(Exception):
    """The load could not be made; the message is for a person."""


@dataclass(frozen=True)
class Load:
    """What wrk saw. Latencies in milliseconds; refused: answers of 400 and more; broken: no answer."""

    requests: int
    seconds: float
    refused: int
    broken: int
    p50: float
    p99: float
    max: float

    @property
    def accepted(self) -> int:
        return self.requests - self.refused

    @property
    def rate(self) -> float:
        """Requests taken in a second."""
        return self.accepted / self.seconds


def run(
    url: str, *, connections: int, seconds: float, page: str = "", keys: bool = False, campaign: str = ""
) -> Load:
    """Load a server for some seconds: with registrations, with keys or without, or with the landing page, `plain` or `odd`.

    campaign: of tools/bench/landing; "": the default one.
    """
    settings = {"BENCH_PAGE": page, "BENCH_KEYS": "yes" if keys else "", "BENCH_CAMPAIGN": campaign}
    # wrk reads whole seconds only; it ends early, with its summary, when it is interrupted.
    wrk = _start(url, connections, int(seconds) + 2, settings)
    time.sleep(seconds)
    wrk.send_signal(signal.SIGINT)
    return _summary(wrk)


def burst(url: str, *, connections: int, count: int, ids: Path, deadline: float) -> tuple[Load, list[float]]:
    """Send until `count` are accepted, their ids in a file; return also the times when each tenth was full."""
    wrk = _start(url, connections, int(deadline), {"BENCH_IDS": str(ids), "BENCH_COUNT": str(count)})
    times = ids.with_name(f"{ids.name}.times")
    until = time.monotonic() + deadline
    while not times.exists() and time.monotonic() < until and wrk.poll() is None:
        time.sleep(0.05)
    wrk.send_signal(signal.SIGINT)
    load = _summary(wrk)
    if not times.exists():
        raise LoadFailed(f"the burst was not accepted within {deadline:.0f} s: {load}")
    time.sleep(0.1)  # the file appears before it is written
    return load, [float(line) for line in times.read_text().split()]


@dataclass(frozen=True)
class Visits:
    """What wrk's visitors saw. visits: those that ended with Registered; idle: requests because wrk must send something."""

    requests: int
    seconds: float
    visits: int
    accepted: int
    registered: int
    polls: int
    idle: int
    refused: int
    broken: int


class Visitors:
    """Visitors who come until they are called off: visits.lua.

    mode: "visit", "crowd" or "poll"; count: how many at most wait, or how large the crowd is; ids: a file of their ids.
    """

    def __init__(
        self, url: str, mode: str, ids: Path, *, connections: int, count: int = 0, keys: bool = True
    ) -> None:
        self._tally = ids.with_name(f"{ids.name}.tally")
        self._tally.unlink(missing_ok=True)
        settings = {"BENCH_MODE": mode, "BENCH_IDS": str(ids), "BENCH_COUNT": str(count)}
        self._wrk = _start(
            url, connections, LONGEST, settings if keys else settings | {"BENCH_KEYS": "no"}, VISITS
        )

    def seen(self) -> tuple[int, int, int]:
        """How many were accepted, polled and Registered so far (up to a fifth of a second ago)."""
        accepted, polls, registered = (
            map(int, self._tally.read_text().split()) if self._tally.exists() else (0, 0, 0)
        )
        return accepted, polls, registered

    def call_off(self) -> Visits:
        """End it, if it has not ended by itself, and return the whole."""
        self._wrk.send_signal(signal.SIGINT)
        return Visits(**_told(self._wrk))


def _start(
    url: str, connections: int, seconds: int, environment: dict[str, str], script: Path = SCRIPT
) -> "subprocess.Popen[str]":
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script), url]
    phone = take(10_000_000)
    return subprocess.Popen(  # noqa: S603  our own command
        command,
        env={"PATH": os.environ.get("PATH", os.defpath), "BENCH_PHONE": str(phone), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _summary(wrk: "subprocess.Popen[str]") -> Load:
    return Load(**_told(wrk))


def _told(wrk: "subprocess.Popen[str]") -> dict[str, Any]:
    output, _ = wrk.communicate(timeout=30)
    found = re.search(r"^BENCH (.*)$", output, re.MULTILINE)
    if not found:
        raise LoadFailed(f"wrk gave no summary: {output.strip()[-300:]}")
    told: dict[str, Any] = json.loads(found[1])
    return told
