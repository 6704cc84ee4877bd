"""A circuit breaker, named after what it knows: after a failure, do not ask again for a while.

Ours: pybreaker decorates calls and keeps locks for them; two fields and a clock are enough here.
"""

import time


class Outage:
    """On for `pause` seconds after each failure of another process. Not shared between processes.

    With a pause of math.inf it stays on until somebody finds out that the other side works.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._ends_at = 0.0
        self._last_try_failed = False

    @property
    def is_on(self) -> bool:
        """Whether the other side failed so lately that it should be left alone."""
        return time.monotonic() < self._ends_at

    @property
    def last_try_failed(self) -> bool:
        """Whether the last try failed, however long ago."""
        return self._last_try_failed

    def note_failure(self) -> bool:
        """Leave the other side alone for a while. Returns whether this is the first failure of an outage."""
        first = not self._last_try_failed
        self._last_try_failed = True
        self._ends_at = time.monotonic() + self._pause
        return first

    def note_success(self) -> None:
        """Ask the other side again: it answers, and an outage, if there was one, is over."""
        self._last_try_failed = False
        self._ends_at = 0.0
