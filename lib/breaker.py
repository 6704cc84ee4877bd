"""A circuit breaker: after a failure, do not ask again for a while."""

import time


class Breaker:
    """Open for `pause` seconds after each failure, closed otherwise. Not shared between processes.

    With a pause of math.inf it stays open until somebody finds out that the other side works.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._closes_at = 0.0
        self._failing = False

    @property
    def is_open(self) -> bool:
        """Whether the other side failed so lately that it should be left alone."""
        return time.monotonic() < self._closes_at

    @property
    def is_failing(self) -> bool:
        """Whether the last try failed, however long ago."""
        return self._failing

    def failed(self) -> bool:
        """Open the breaker. Returns whether this is the first failure of an outage."""
        first = not self._failing
        self._failing = True
        self._closes_at = time.monotonic() + self._pause
        return first

    def worked(self) -> None:
        """Close the breaker: the other side answers, and an outage, if there was one, is over."""
        self._failing = False
        self._closes_at = 0.0
