"""Blocking calls for an event loop: one thread, a deadline for each call, and a breaker.

Ours: asyncio.to_thread has neither a bound on threads that hang nor a memory of what failed.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from lib.outage import Outage

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Unanswered(Exception):
    """The call failed or was late, or it was not made, since one before it did. What became of it is not known."""


class OffLoop:
    """Makes blocking calls one at a time, so that what hangs costs one thread and no more.

    name: of the thread. pause: seconds without a call after a failure. failures: the errors that
    mean a failure; any other is raised. complaint: the line in the log when an outage begins.
    """

    def __init__(
        self, name: str, *, pause: float, failures: tuple[type[Exception], ...], complaint: str
    ) -> None:
        self.outage = Outage(pause)
        self._failures: tuple[type[Exception], ...] = (*failures, TimeoutError)
        self._complaint = complaint
        # One thread: what hangs there (a frozen disk, a frozen server) must not take the others with it. A default
        # executor would be filled by ten such calls.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._late: asyncio.Future[Any] | None = None

    def run(self, act: Callable[..., Result], *arguments: object) -> asyncio.Future[Result]:
        """Make a call behind those under way, without a deadline."""
        return asyncio.get_running_loop().run_in_executor(self._thread, act, *arguments)

    async def run_in_time(self, timeout: float, act: Callable[..., Result], *arguments: object) -> Result:
        """Return what a call returns within `timeout` seconds. Raises Unanswered."""
        if not self.is_ready:
            raise Unanswered
        call = self.run(act, *arguments)
        try:
            async with asyncio.timeout(timeout):
                # Shielded: a cancelled future would leave its thread at work all the same, and unseen.
                result = await asyncio.shield(call)
        except self._failures as error:
            if not call.done():
                self._late = call
                call.add_done_callback(self._is_back)
            if self.outage.note_failure():
                log.error(self._complaint, extra={"reason": repr(error)})
            raise Unanswered from error
        self.outage.note_success()
        return result

    @property
    def is_ready(self) -> bool:
        """Whether a call would be made: none has failed a moment ago, and none that was late is still under way."""
        return not self.outage.is_on and (self._late is None or self._late.done())

    def _is_back(self, call: asyncio.Future[Any]) -> None:
        # What was only late is called again at once, and not after the pause.
        if not call.cancelled() and call.exception() is None:
            self.outage.note_success()
