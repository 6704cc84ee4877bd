"""The line of those who want a code, as the courier tells it once a second.

A person's place is the id of their question. Only people who are here are sent a code; those whose turn comes within
a while are called, and their page then says "I am here".
"""

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import orjson

KEY = "codes:line"
FRESH = 10.0
"""Seconds after which what the courier said is not told any more."""
HERE = 30.0
"""Seconds for which somebody who has spoken counts as here."""
AHEAD = 20.0
"""Seconds of sending for which people are called in advance."""
LEAST_SHARE = 0.2
"""Of those who are called so many come, at the least: fewer would make the line look endless."""


@dataclass(frozen=True)
class Line:
    """How the line is now.

    first, last: the ids of the oldest and the newest question that waits; waiting: how many do; here: how many of them
    have spoken within 30 seconds. called: up to this id people are asked to speak. rate: codes a second. share: of
    those who were called, how many came. held_by: "", "off", "budget" or "gateway". parts: of SMS, paid for today.
    at: Unix time.
    """

    first: int = 0
    last: int = 0
    waiting: int = 0
    here: int = 0
    called: int = 0
    rate: float = 1.0
    share: float = 0.5
    held_by: str = ""
    parts: int = 0
    at: float = 0.0

    def before(self, place: int) -> int:
        """Return about how many people are before this place."""
        return max(0, ceil((place - self.first) * self._density))

    def wait(self, place: int) -> int:
        """Return about how many seconds it takes until a code is sent to this place, at a second's precision."""
        # Who was called and is not here has lost the turn, and costs no time.
        uncalled = max(0, place - max(self.called, self.first - 1)) * self._density
        ahead = min(self.before(place), self.here + uncalled)
        # Those who are here will be, for half a minute. Of all others only some will come.
        soon = min(ahead, self.here, self.rate * HERE)
        return ceil((soon + (ahead - soon) * self.share) / self.rate)

    def wait_of_next(self) -> int:
        """Return about how many seconds somebody waits who asks now."""
        return self.wait(self.last + 1) if self.waiting else 0

    def calls(self, place: int) -> bool:
        """Return whether a person at this place is to say "I am here"."""
        return place <= self.called

    def next_called(self) -> int:
        """Return up to which id people should be called by the next second.

        So many that those who are here last for a while, as measured by who has come so far.
        """
        short = self.rate * AHEAD - self.here
        if short <= 0 or self._density == 0:
            return self.called
        # A fifth of what is missing each second: a page that waits near its turn looks every three seconds.
        step = ceil(short / 5 / max(self.share, LEAST_SHARE) / self._density)
        return min(self.last, max(self.called, self.first - 1) + step)

    def people_between(self, place: int, other: int) -> int:
        """Return about how many people wait between two places."""
        return ceil(max(0, min(other, self.last) - max(place, self.first - 1)) * self._density)

    @property
    def _density(self) -> float:
        return self.waiting / (self.last - self.first + 1) if self.waiting else 0.0

    def to_json(self) -> bytes:
        """Return what read() takes."""
        return orjson.dumps(asdict(self))


def read(told: Any, time: float) -> Line | None:
    """Return the line of to_json(), or None if there is none, or it is old at this Unix time."""
    try:
        line = Line(**orjson.loads(told))
        return line if abs(time - line.at) < FRESH else None
    except (ValueError, TypeError):
        return None
