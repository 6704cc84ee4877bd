"""accept(): the one way in. Limits, then the broker, else "try again"."""

import asyncio
import logging
import threading
from collections.abc import Sequence

from django.conf import settings

from landing.limits import Limiter
from landing.publisher import NotConfirmed, Publisher
from landing.submission import Submission
from lib.client_ip import limit_key
from lib.group_commit import GroupCommit, Overloaded

log = logging.getLogger(__name__)

RETRY_AFTER = 5
"""Seconds that a sender is asked to wait when nothing could be promised."""


class TooManyRequests(Exception):
    """The sender has used up its limit. Nothing was kept."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Unavailable(Exception):
    """Nothing is promised: the broker did not confirm in time, or too many were waiting."""

    retry_after = float(RETRY_AFTER)


class Intake:
    """The accepting path of one process. It lives on one event loop and never touches a database."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.publisher = Publisher(settings.RABBITMQ_URL, timeout=settings.PUBLISH_TIMEOUT)
        self.limiter = _limiter()
        self._groups = GroupCommit(
            self._accept_group, size=settings.GROUP_SIZE, waiting=settings.WAITING_LIMIT
        )

    async def accept(self, submission: Submission) -> None:
        """Return once the submission is kept: RabbitMQ has confirmed that it is on its disk.

        Raises TooManyRequests or Unavailable, and then the sender must not be told "accepted".
        """
        try:
            await self._groups.submit(submission)
        except Overloaded:
            raise Unavailable from None

    def accept_from_thread(self, submission: Submission) -> None:
        """Do the same for code that runs in a thread, such as a Django view."""
        asyncio.run_coroutine_threadsafe(self.accept(submission), self.loop).result()

    async def close(self) -> None:
        """Let go of the broker and of Redis."""
        await self.publisher.close()
        if self.limiter:
            await self.limiter.close()

    async def _accept_group(self, group: Sequence[Submission]) -> Sequence[Exception | None]:
        waits = await self._waits(group)
        allowed = [submission for submission, wait in zip(group, waits, strict=True) if not wait]
        failure = await self._publish(allowed)
        return [TooManyRequests(wait) if wait else failure for wait in waits]

    async def _waits(self, group: Sequence[Submission]) -> Sequence[float]:
        if self.limiter is None:
            return [0.0] * len(group)
        return await self.limiter.take([limit_key(submission.ip_address) for submission in group])

    async def _publish(self, batch: Sequence[Submission]) -> Unavailable | None:
        if not batch:
            return None
        try:
            await self.publisher.publish(batch)
        except NotConfirmed:
            return Unavailable()
        log.info("accepted", extra={"request_ids": [submission.request_id for submission in batch]})
        return None


_intake: Intake | None = None
_starting = threading.Lock()


def start(loop: asyncio.AbstractEventLoop) -> Intake:
    """Make this process's intake on the loop that serves its requests."""
    global _intake  # noqa: PLW0603  one intake a process, as there is one group of waiting requests
    _intake = Intake(loop)
    return _intake


def current() -> Intake:
    """Return this process's intake; outside a server (a shell, a test) it gets a loop in a thread."""
    with _starting:
        if _intake is None:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="intake", daemon=True).start()
            start(loop)
        assert _intake is not None
        return _intake


def _limiter() -> Limiter | None:
    if settings.RATE_LIMIT is None:
        return None
    return Limiter(
        settings.REDIS_URL,
        settings.REDIS_PASSWORD,
        limit=settings.RATE_LIMIT.count,
        period=settings.RATE_LIMIT.period,
        timeout=settings.REDIS_TIMEOUT,
    )
