"""Group commit: whatever arrives while one commit is under way goes into the next.

Alone, an item is a group of one and waits for nothing. Under load groups grow by themselves, so
that the price of a commit (a broker's confirm, an fsync) is shared. There is no timer.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


TURNS = 3
"""Iterations of the event loop before each group, so that requests which are already readable join it.

They cost a lone item some microseconds. Under load groups grow by half, and requests are answered a
fifth faster; more iterations bring nothing more.
"""


class Overloaded(Exception):
    """More items wait than there is room for. Nothing was done with this one."""


class Interrupted(Exception):
    """The commit was cancelled in the middle. What became of the item is not known."""


class GroupCommit(Generic[Item, Outcome]):
    """Collects the items of many tasks of one event loop and commits them in groups.

    commit: takes a group and returns one outcome for each item, in order; an outcome that is an
        exception is raised to that item's sender. If commit itself raises, all of the group get it.
    size: the most items in a group.
    waiting: the most items that may wait for a group; more are refused with Overloaded.
    pace: seconds from one group to the next, unless `enough` items wait. A lone item waits for nothing.

    One group is under way at a time: two or four were no faster, and cost more.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome | Exception]]],
        *,
        size: int,
        waiting: int,
        pace: float = 0.0,
        enough: int = 1,
    ) -> None:
        self._commit = commit
        self._size = size
        self._room = waiting
        self._waiting: deque[tuple[Item, asyncio.Future[Outcome]]] = deque()
        self._committer: asyncio.Task[None] | None = None
        self._pace = pace
        self._enough = enough
        self._next = 0.0
        self._pause: asyncio.Future[None] | None = None

    def submit(self, item: Item) -> asyncio.Future[Outcome]:
        """Return the item's outcome as a future, done when its group is committed.

        It fails with what the commit raised or returned for this item. Raises Overloaded.
        """
        if len(self._waiting) >= self._room:
            raise Overloaded
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_groups())
        elif self._pause and len(self._waiting) >= self._enough:
            _end(self._pause)
        return future

    async def _commit_groups(self) -> None:
        try:
            while self._waiting:
                await self._let_in()
                count = min(self._size, len(self._waiting))
                group = [self._waiting.popleft() for _ in range(count)]
                await self._commit_group(group)
        finally:
            # In the same step as the last look at the queue. A done callback would run one step later, and an
            # item that is submitted in between would find a committer that no longer looks: it would hang.
            self._committer = None

    async def _commit_group(self, group: Sequence[tuple[Item, asyncio.Future[Outcome]]]) -> None:
        try:
            outcomes = await self._commit([item for item, _ in group])
        except Exception as error:  # noqa: BLE001  whatever failed is told to each sender
            outcomes = [error] * len(group)
        except asyncio.CancelledError:
            # A client library cancels what waits on a connection that it closes; nobody may hang for that.
            outcomes = [Interrupted()] * len(group)
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if future.done():  # its sender has gone away
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    async def _let_in(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        # submit() ends the pause when enough wait. The future is made anew each time, since one that is done
        # cannot be waited for again.
        if len(self._waiting) < self._enough and (early := self._next - loop.time()) > 0:
            self._pause = loop.create_future()
            timer = loop.call_later(early, _end, self._pause)
            try:
                await self._pause
            finally:
                timer.cancel()
                self._pause = None
        self._next = loop.time() + self._pace


def _end(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)
