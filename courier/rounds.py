"""What the courier's rounds share: PostgreSQL asked beside the loop, and pauses that end when it is told to stop."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import Error as DatabaseError

from landing.storing.background import fresh_connection
from lib.off_loop import OffLoop

Result = TypeVar("Result")

DEADLINE = 15.0
"""Seconds for one act on PostgreSQL, more than its own statement_timeout."""


class Database:
    """PostgreSQL for a loop: one act at a time, in a thread. what: what there is none of while it does not answer."""

    def __init__(self, what: str) -> None:
        self._off_loop = OffLoop(
            what, pause=1.0, failures=(DatabaseError,), complaint=f"no {what}: PostgreSQL does not answer"
        )

    async def do(self, act: Callable[..., Result], *arguments: Any) -> Result:
        """Return what the act returns. Raises Unanswered, which is logged already."""
        return await self._off_loop.run_in_time(DEADLINE, _freshly, act, *arguments)


async def pause(seconds: float, stopping: asyncio.Event) -> None:
    """Wait, but not longer than until `stopping` is set."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        pass


def _freshly(act: Callable[..., Result], *arguments: Any) -> Result:
    with fresh_connection():
        return act(*arguments)
