"""How far the workers are behind, as this process last saw it. dashboard/live/snapshot.py notes it every two seconds.

It tells how soon a visitor should ask again, and it answers most questions of a waiting crowd
without any store: what is newer than all that is stored surely waits.
"""

import random
import time
from dataclasses import dataclass, field

BEHIND = 10.0
"""Seconds. Workers that are less behind may have stored what the last look did not see yet."""
STALE_AFTER = 10.0
"""Seconds after which a look proves nothing any more."""
LONGEST_WAIT = 60.0
"""Seconds after which everybody asks again, however long the backlog is."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """One look.

    waiting_since: when the oldest waiting registration was accepted at the earliest (Unix time), or
    None if none waits. stored_up_to: when the newest stored one was accepted, or None if that is not
    known. seen_at: when the look was taken.
    """

    waiting_since: float | None = None
    stored_up_to: float | None = None
    seen_at: float = field(default_factory=time.time)

    @property
    def age(self) -> float:
        """Seconds that the oldest has waited at most; 0 if none waits. What was not seen for long counts as waiting."""
        now = time.time()
        if now - self.seen_at > STALE_AFTER:
            return now - min(self.seen_at, self.waiting_since or self.seen_at)
        return max(0.0, now - self.waiting_since) if self.waiting_since else 0.0

    def surely_holds(self, made_at: float) -> bool:
        """Return whether a registration of this time (Unix time) waits for certain.

        A client's clock may be wrong. A time in the future proves nothing; a time that is too late by
        some seconds is believed for these seconds, and the visitor learns the end so much later.
        """
        now = time.time()
        if self.stored_up_to is None or now - self.seen_at > STALE_AFTER:
            return False
        return self.age > BEHIND and self.stored_up_to < made_at <= now


_current = Backlog()


def note(backlog: Backlog) -> None:
    global _current  # noqa: PLW0603  one for the process
    _current = backlog


def current() -> Backlog:
    return _current


def retry_after() -> int:
    """Return the seconds after which to ask for a waiting registration again, 1 to 60.

    As long again as the oldest has waited: so a crowd asks less the longer it waits, and learns the
    end at most twice as late. Jittered downwards, so that those who came together do not ask together.
    """
    seconds = min(current().age, LONGEST_WAIT) * random.uniform(0.7, 1.0)  # noqa: S311  not a secret
    return max(1, round(seconds))
