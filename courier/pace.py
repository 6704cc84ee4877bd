"""How fast SMS are sent, and whether the gateway works."""

import time
from collections import deque

PROBE_EVERY = 5.0
"""Seconds between two tries while the gateway does not work: each is a real question for a code."""
RECOVERY = 1.1
"""The pace, which is halved when the gateway says "too many", grows by this factor each second."""
SLOWEST = 0.2
_LAST = 20


class Pace:
    """A bucket of tokens, one for each SMS, and a breaker. most: SMS a second."""

    def __init__(self, most: float) -> None:
        self._most = self.rate = most
        self._tokens = 1.0
        self._filled_at = time.monotonic()
        self._next_probe = 0.0
        self._last: deque[str] = deque(maxlen=_LAST)

    @property
    def is_down(self) -> bool:
        """Whether the gateway does not work: it stops all, sends nothing 5 times, or half of the last 20 are unknown."""
        recent = list(self._last)
        return (
            (bool(recent) and recent[-1] == "stop")
            or (len(recent) >= 5 and set(recent[-5:]) == {"not_sent"})
            or recent.count("unknown") >= _LAST / 2
        )

    def room(self) -> int:
        """Return how many SMS may be sent now."""
        now = time.monotonic()
        seconds, self._filled_at = now - self._filled_at, now
        self.rate = min(self._most, self.rate * RECOVERY**seconds)
        self._tokens = min(max(1.0, self.rate), self._tokens + seconds * self.rate)
        if not self.is_down:
            return int(self._tokens)
        if now < self._next_probe:
            return 0
        self._next_probe = now + PROBE_EVERY
        return 1

    def take(self, count: int) -> None:
        """Note that so many are on their way."""
        self._tokens -= count

    def note(self, kind: str, reason: str) -> None:
        """Note an outcome."""
        if kind in ("accepted", "refused"):
            if self.is_down:
                self._last.clear()
        elif reason.startswith("HTTP 429"):
            self.rate = max(SLOWEST, self.rate / 2)
        self._last.append(kind)
