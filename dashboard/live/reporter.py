"""Each process reports every two seconds: it adds its counts to the totals and says how it is.

A kill -9 loses the counts of the last two seconds, never a registration. One of the web processes
samples the gauges into each point of the charts: whichever asks Redis first.
"""

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import signals
from django.conf import settings

from confirmations import secret
from dashboard.live import counters, probes
from landing.keeping import task_messages
from landing.storing import consumer, registrations
from landing.storing.background import BackgroundLoop
from lib import metrics
from lib.outage import Outage

log = logging.getLogger(__name__)

EVERY = 2.0

Say = Callable[[], dict[str, object]]
Sample = Callable[[int], None]


class Reporter:
    """Reports from a background thread.

    say: tells how the process is, each time anew. sample: writes the gauges into a bucket of the
    charts, when it is this process's turn. look: what else to do each time, also without Redis.
    """

    def __init__(
        self, role: str, say: Say, sample: Sample | None = None, look: Callable[[], None] | None = None
    ) -> None:
        self.name = f"{role} {socket.gethostname()} {os.getpid()}"
        self._role = role
        self._say = say
        self._sample = sample
        self._look = look
        self._stored_up_to = 0.0
        self._adder = counters.Adder()
        self._outage = Outage(pause=0)
        self._loop = BackgroundLoop("reporter", EVERY, self.report)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Flush, deregister, stop. A killed process does not deregister; it is shown as silent until FORGOTTEN_AFTER."""
        self._loop.end()
        # A round that still waits for Redis would announce this process again after it has gone.
        if self._loop.join(timeout=2 * counters.TIMEOUT + probes.DEADLINE):
            with suppress(*counters.Unavailable):
                self._tell()
                counters.forget([self.name])

    def report(self) -> None:
        """Report once, and sample the gauges if it is this process's turn. Counts wait while Redis is away."""
        try:
            if self._look:
                self._look()
            self._tell()
            bucket = counters.bucket_of(time.time())
            if self._sample and counters.is_mine(bucket):
                self._sample(bucket)
        except counters.Unavailable as error:
            if self._outage.note_failure():
                log.warning("counts wait for Redis", extra={"reason": repr(error)})
        else:
            self._outage.note_success()

    def _tell(self) -> None:
        self._adder.flush()
        # After the counts: a process that is seen alive has none waiting from before.
        said = self._say()
        counters.announce(self.name, {"role": self._role, "at": int(time.time()), **said})
        stored_up_to = said.get("stored_up_to")
        # Only what has grown: a process without work would put another's newer mark back.
        if isinstance(stored_up_to, float) and stored_up_to > self._stored_up_to:
            self._stored_up_to = stored_up_to
            counters.mark("stored_up_to", stored_up_to)


# -- workers: what each has in hand, and up to when it has stored

SLOW_STORE = 5.0
"""Seconds that storing a batch takes when something is wrong."""

_slow = Outage(pause=0)
_in_hand: dict[str, float] = {}
_stored_up_to = 0.0
_reporter: Reporter | None = None


def worker_status() -> dict[str, object]:
    if (seconds := registrations.longest_store()) > SLOW_STORE:
        if _slow.note_failure():
            log.warning(
                "a batch waits for PostgreSQL; its synchronous standby may be away",
                extra={"seconds": round(seconds)},
            )
    else:
        _slow.note_success()
    return {
        "in_hand": min(list(_in_hand.values()), default=None),
        "stored_up_to": _stored_up_to,
        "messages": consumer.messages_in_hand(),
        **({"code_key": secret.fingerprint()} if settings.SENDS_CODES else {}),
    }


@signals.task_prerun.connect
def note_start(task_id: str, args: Any, task: Any, **_: Any) -> None:
    """Note the oldest registration of a batch, and whether RabbitMQ hands it out again."""
    _in_hand[task_id] = min(_moments(task, args), default=time.time())
    if (task.request.delivery_info or {}).get("redelivered"):
        metrics.count("redelivered")


@signals.task_postrun.connect
def note_end(task_id: str, state: str, args: Any, task: Any, **_: Any) -> None:
    """Note that a batch is done with."""
    global _stored_up_to  # noqa: PLW0603
    _in_hand.pop(task_id, None)
    if state == "SUCCESS":
        _stored_up_to = max([_stored_up_to, *_moments(task, args)])


def _moments(task: Any, args: Any) -> list[float]:
    """Return when the first and the last registration of a task's batches were accepted (Unix time)."""
    try:
        batches = [batch for batch, _ in args[0]] if task.name == task_messages.JOINED else [args[0]]
        return [probes.moment_in(raw) for batch in batches if batch for raw in (batch[0], batch[-1])]
    except (TypeError, ValueError, IndexError, KeyError):
        return []  # a call of another shape


@signals.worker_process_init.connect
@signals.worker_ready.connect
def start_worker(**_: Any) -> None:
    """Begin in a worker's main process and, after the fork, in each of its pool."""
    global _reporter  # noqa: PLW0603
    _reporter = Reporter("worker", worker_status)
    _reporter.start()


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def stop_worker(**_: Any) -> None:
    """Add what was counted last."""
    if _reporter:
        _reporter.stop()
