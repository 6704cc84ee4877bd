"""The accepting path: rate limits, then RabbitMQ, else the spool, else "try again" (503)."""

import asyncio
import logging
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson
from django.conf import settings

from landing.keeping import tracing
from landing.keeping.limits import Limiter
from landing.keeping.publisher import NotConfirmed, Publisher
from landing.keeping.refusals import TooManyRequests, Unavailable
from landing.submission import Submission
from lib import metrics
from lib.client_ip import limit_key
from lib.group_commit import GroupCommit, Overloaded
from lib.off_loop import OffLoop, Unanswered
from lib.outage import Outage
from lib.spool import Spool, SpoolFailed, SpoolFull

log = logging.getLogger(__name__)

Result = TypeVar("Result")

PACE, ENOUGH = 0.004, 16
"""Seconds from one group to the next, unless so many registrations wait. A group costs as much CPU as eight more in it."""


class Intake:
    """The accepting path of one process. It lives on one event loop and never touches a database.

    rabbitmq_outage is on while RabbitMQ is known not to confirm. The drainer ends it, so that no visitor
    waits for a try. spool_outage is the same for the spool; the spool is tried again after a second, by a
    rehearsal if RabbitMQ confirms.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.publisher = Publisher(
            settings.RABBITMQ_URLS, timeout=settings.PUBLISH_TIMEOUT, ca_path=settings.RABBITMQ_CA_PATH
        )
        self.limiter = _limiter()
        self.spool = Spool(Path(settings.SPOOL_DIR), settings.SPOOL_QUOTA)
        self.rabbitmq_outage = Outage(pause=math.inf)
        self._disk_thread = OffLoop(
            "spool", pause=1.0, failures=(SpoolFull, SpoolFailed), complaint="the spool takes nothing"
        )
        self.spool_outage = self._disk_thread.outage
        self._rehearsal: asyncio.Task[bool] | None = None
        self._groups = GroupCommit(
            self._accept_group,
            size=settings.GROUP_SIZE,
            waiting=settings.WAITING_LIMIT,
            pace=PACE,
            enough=ENOUGH,
        )

    def accept(self, submission: Submission) -> asyncio.Future[None]:
        """Return a future that is done once the submission is kept: on RabbitMQ's disk, by its confirm, or the spool's.

        It fails with TooManyRequests or Unavailable, and then the sender must not be told "accepted".
        """
        try:
            return self._groups.submit(submission)
        except Overloaded:
            refused = self.loop.create_future()
            refused.set_exception(Unavailable())
            return refused

    def accept_from_thread(self, submission: Submission) -> None:
        """Wait until the submission is kept, in a thread, such as a Django view's.

        Raises TooManyRequests or Unavailable.
        """

        async def accept() -> None:
            await self.accept(submission)

        asyncio.run_coroutine_threadsafe(accept(), self.loop).result()

    def on_disk(self, act: Callable[..., Result], *args: object) -> asyncio.Future[Result]:
        """Run an act on the spool in the one thread that may: it waits for the disk."""
        return self._disk_thread.run(act, *args)

    async def close(self) -> None:
        """Let go of the broker, of Redis and of the spool; what is spooled waits for the next process."""
        self.publisher.close()
        if self.limiter:
            await self.limiter.close()
        await self.on_disk(self.spool.close)

    async def _accept_group(self, group: Sequence[Submission]) -> Sequence[Exception | None]:
        try:
            counted = self._counted(group)
            waits = await self._waits(group, counted)
            allowed = [submission for submission, wait in zip(group, waits, strict=True) if not wait]
            # Limits before the publish: what is refused must not cost the broker anything.
            is_kept = not allowed or await self._keep(allowed)
            if not is_kept:
                await self._give_back([group[place] for place in counted if not waits[place]])
        except asyncio.CancelledError:
            # A client library cancels what waits on a connection that it closes; nobody may hang for that.
            return [Unavailable() for _ in group]
        return [
            self._refused(submission, wait) if wait else None if is_kept else Unavailable()
            for submission, wait in zip(group, waits, strict=True)
        ]

    def _counted(self, group: Sequence[Submission]) -> Sequence[int]:
        """Return the places in a group of those that the limit counts: all but those whose proof of work lets them in."""
        if self.limiter is None:
            return ()
        lets_in = self.limiter.challenges.lets_in
        return [place for place, one in enumerate(group) if not (one.has_proof and lets_in(one.request_id))]

    async def _waits(self, group: Sequence[Submission], counted: Sequence[int]) -> Sequence[float]:
        """Return the seconds that each of a group has to wait."""
        waits = [0.0] * len(group)
        if self.limiter is None or not counted:
            return waits
        found = await self.limiter.take([limit_key(group[place].ip_address) for place in counted])
        for place, wait in zip(counted, found, strict=True):
            waits[place] = wait
        return waits

    def _refused(self, submission: Submission, wait: float) -> TooManyRequests:
        assert self.limiter is not None
        challenges, sender = self.limiter.challenges, limit_key(submission.ip_address)
        return TooManyRequests(wait, challenges.make(sender, submission.request_id))

    async def _give_back(self, group: Sequence[Submission]) -> None:
        """A refused sender comes back, as it was asked to: the refusal must not have cost a place."""
        if self.limiter is not None:
            await self.limiter.give_back([limit_key(submission.ip_address) for submission in group])

    async def _keep(self, batch: Sequence[Submission]) -> bool:
        """Return whether RabbitMQ or the spool keeps a batch."""
        since = tracing.clock()
        if (home := await self._bring(batch)) is None:
            return False
        if home == "rabbitmq" and settings.SPOOL_MODE == "here":
            self._rehearse(batch)  # after the promise is kept: no visitor waits for it
        metrics.count(f"accepted:{home}", len(batch))
        for slug, count in Counter(one.campaign for one in batch).items():
            metrics.count(f"campaign_accepted:{slug}", count)
        request_ids = [submission.request_id for submission in batch]
        log.info("accepted", extra={"home": home, "request_ids": request_ids})
        tracing.accepted(batch, home, since)
        return True

    async def _bring(self, batch: Sequence[Submission]) -> str | None:
        """Return the name of the home that keeps a batch; what the first refuses goes to the other.

        The spool is the first only while RabbitMQ is known not to confirm. Without a spool nothing is
        promised meanwhile: no visitor waits for a try, and the drainer finds out when RabbitMQ is back.
        """
        if settings.SPOOL_MODE == "off":
            return "rabbitmq" if not self.rabbitmq_outage.is_on and await self._publish(batch) else None
        homes = [("rabbitmq", self._publish), ("spool", self._append)]
        for name, keeps in reversed(homes) if self.rabbitmq_outage.is_on else homes:
            if await keeps(batch):
                return name
        return None

    async def _publish(self, batch: Sequence[Submission]) -> bool:
        started = time.perf_counter()
        try:
            await self.publisher.publish(batch)
        except NotConfirmed as error:
            if self.rabbitmq_outage.note_failure():
                goes = "go to the spool" if settings.SPOOL_MODE == "here" else "are refused"
                log.warning("registrations %s", goes, extra={"reason": str(error)})
            return False
        self.rabbitmq_outage.note_success()
        metrics.observe("confirm_seconds", time.perf_counter() - started)
        return True

    async def _append(self, batch: Sequence[Submission]) -> bool:
        return await self._write(self.spool.append, batch)

    def _rehearse(self, batch: Sequence[Submission]) -> None:
        """Take a share of the groups through the spool on good days too, so that it is never cold code.

        RabbitMQ has them already, so no visitor waits for the disk, and none is refused because of it.
        After a failure the next group is taken, so that the spool is known to work again soon.
        """
        # One at a time: a slow disk must not collect a pile of rehearsals.
        is_due = self.spool_outage.last_try_failed or random.random() < settings.SPOOL_SHARE  # noqa: S311  not a secret
        if is_due and self._rehearsal is None:
            self._rehearsal = self.loop.create_task(self._write(self.spool.rehearse, batch))
            self._rehearsal.add_done_callback(self._rehearsed)

    def _rehearsed(self, rehearsal: asyncio.Task[bool]) -> None:
        self._rehearsal = None
        if not rehearsal.cancelled() and (error := rehearsal.exception()):
            log.error("the rehearsal of the spool failed", exc_info=error)

    async def _write(self, act: Callable[[Sequence[bytes]], None], batch: Sequence[Submission]) -> bool:
        bodies = [orjson.dumps(submission.to_wire()) for submission in batch]
        try:
            await self._disk_thread.run_in_time(settings.SPOOL_TIMEOUT, act, bodies)
        except Unanswered:
            return False
        return True


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


def wait_for(act: Coroutine[Any, Any, Result], timeout: float | None = None) -> Result:
    """Return what a coroutine returns on the intake's loop, in a thread, such as a Django view's.

    Raises what it raises, and TimeoutError after `timeout` seconds.
    """
    return asyncio.run_coroutine_threadsafe(act, current().loop).result(timeout)


def _limiter() -> Limiter | None:
    if settings.RATE_LIMIT is None:
        return None
    return Limiter(
        limit=settings.RATE_LIMIT.count,
        period=settings.RATE_LIMIT.period,
        timeout=settings.REDIS_TIMEOUT,
    )
