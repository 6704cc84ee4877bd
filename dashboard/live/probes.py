"""How each server is now: asked when somebody wants to know, and never waited for longer than a deadline."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import orjson
from django.conf import settings
from django.db import connection

from courier import health
from dashboard.live import copies, counters
from landing.keeping import broker, queues
from landing.storing.background import fresh_connection
from lib import spool
from logs import utils as logs

DEADLINE = 0.7
"""Seconds for all of them together: /readyz must have answered within one."""
FRESH = 1.0
"""Seconds for which an answer is given again: ten people at the page ask no more than one."""
COPIES_FRESH = 5.0
"""The same for how many copies there are: RabbitMQ itself counts anew every five seconds."""
MOST_PARKED = 10_000
"""Parked documents are counted no further: COUNT(*) reads every row."""

SERVERS = ("rabbitmq", "spool", "redis", "postgresql", "mongodb")

Values = Mapping[str, Any]
Answer: TypeAlias = "Future[tuple[float, Values]]"


@dataclass(frozen=True)
class Reading:
    """What one server answered: "ok" or why not, and its figures."""

    state: str
    values: Values = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.state == "ok"


class Probe:
    """Asks one server in a thread of its own, once at a time: one that hangs costs a thread, and no more."""

    def __init__(self, ask: Callable[[], Values], fresh: float | None = None) -> None:
        self._ask = ask
        self._fresh = fresh
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._asked: Future[tuple[float, Values]] | None = None
        self._asked_at = 0.0

    def answer(self) -> Answer:
        """Return the question under way, or one just answered, or ask anew."""
        with self._lock:
            # One question at a time for each server, however many ask: a server that hangs costs one thread.
            if self._asked is None or (self._asked.done() and not self._is_fresh(self._asked)):
                self._asked = self._thread.submit(self._answer_with_time)
                self._asked_at = time.monotonic()
            return self._asked

    @property
    def is_late(self) -> bool:
        """Whether the question under way is not worth waiting for: its deadline has passed."""
        return time.monotonic() - self._asked_at > DEADLINE

    def _answer_with_time(self) -> tuple[float, Values]:
        values = self._ask()
        return time.monotonic(), values

    def _is_fresh(self, asked: Answer) -> bool:
        if asked.exception() is not None:
            return False
        answered_at, _ = asked.result()
        return time.monotonic() - answered_at < (FRESH if self._fresh is None else self._fresh)


def read(names: Iterable[str] = SERVERS) -> dict[str, Reading]:
    """Return a reading of each server, within DEADLINE."""
    answers, awaited = _ask(names)
    wait(awaited, timeout=DEADLINE)
    return {name: _reading(answer) for name, answer in answers.items()}


async def read_on_loop(names: Iterable[str] = SERVERS) -> dict[str, Reading]:
    """Do the same as read() on an event loop, without a thread that waits."""
    answers, awaited = _ask(names)
    if awaited:
        futures = [asyncio.wrap_future(answer) for answer in awaited]
        for future in futures:  # one that fails is read from its answer: asyncio would complain of it
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait(futures, timeout=DEADLINE)
    return {name: _reading(answer) for name, answer in answers.items()}


def answers(name: str, within: float) -> bool:
    """Whether a server answers in so many seconds, or has done so within FRESH."""
    answer = _PROBES[name].answer()
    wait([answer], timeout=within)
    return _reading(answer).ok


def _ask(names: Iterable[str]) -> tuple[dict[str, Answer], list[Answer]]:
    """Return the answers of the servers, and those of them that are worth waiting for."""
    answers = {name: _PROBES[name].answer() for name in names}
    return answers, [answer for name, answer in answers.items() if not _PROBES[name].is_late]


def _reading(answer: Answer) -> Reading:
    if not answer.done():
        return Reading("no answer in time")
    if error := answer.exception():
        return Reading(type(error).__name__)  # the text may hold host names or credentials
    return Reading("ok", answer.result()[1])


class _Queues:
    """Counts the queues' messages over one connection. Asking takes nothing out and needs no right to read."""

    def __init__(self) -> None:
        self._connection: Any = None
        self._channel: Any = None

    def __call__(self) -> Values:
        known = self._channel is not None
        try:
            return self._count()
        except queues.OUTAGES:
            self._drop()
            if not known:
                raise
        return self._count()  # the connection was older than the broker's last restart

    def _count(self) -> Values:
        if self._channel is None:
            self._connection = broker.connect(DEADLINE)
            self._channel = self._connection.channel()
        lives = [self._channel.queue_declare(queue.name, passive=True) for queue in queues.lives]
        dead = self._channel.queue_declare(queues.DEAD, passive=True)
        return {
            "queue": sum(live.message_count for live in lives),
            "workers": min(live.consumer_count for live in lives),
            "dead_letters": dead.message_count,
        }

    def _drop(self) -> None:
        if self._connection:
            broker.drop(self._connection)
        self._connection = self._channel = None


def spooled() -> dict[str, tuple[int, int, float]]:
    """Return rows, bytes and the oldest row's time of acceptance (Unix time) of each spool that this machine sees.

    Raises SpoolFailed or OSError.
    """
    directory = Path(settings.SPOOL_DIR)
    if directory.exists() and not os.access(directory, os.W_OK):
        raise PermissionError
    found = spool.extents(directory)
    return {name: (one.rows, one.size, _accepted_at(one.oldest)) for name, one in found.items()}


def moment_in(raw: Any) -> float:
    """Return when a raw registration was accepted (Unix time), or now if it does not say so."""
    try:
        return datetime.fromisoformat(raw[5]).timestamp()
    except (TypeError, IndexError, KeyError, ValueError, OverflowError):
        return time.time()


def _accepted_at(body: bytes) -> float:
    try:
        return moment_in(orjson.loads(body))
    except ValueError:
        return time.time()


def _redis() -> Values:
    counters.try_to_write()  # a replica and a server whose disk is full still answer what is only read
    return {
        "totals": counters.totals(),
        "processes": counters.processes(),
        "marks": counters.marks(),
        "orphans": counters.orphans(),
    }


def _postgresql() -> Values:
    with fresh_connection(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT FROM landing_parked_log LIMIT %s) AS parked", [MOST_PARKED]
        )
        return {"parked": cursor.fetchone()[0]}


def _webhooks() -> Values:
    with fresh_connection():
        return {
            "webhooks": [
                {
                    "name": one.name,
                    "waiting": one.waiting,
                    "failed": one.failed,
                    "is_paused": one.is_paused,
                    "oldest": time.time() - one.oldest.timestamp() if one.oldest else 0.0,
                }
                for one in health.of_all()
            ],
            "untaken": health.untaken(),
        }


def _courier() -> Values:
    with fresh_connection(), connection.cursor() as cursor:
        cursor.execute("SELECT holder FROM confirmations_lease WHERE until > now()")
        found = cursor.fetchone()
    return {"holder": found[0] if found else ""}


def _mongodb() -> Values:
    logs.find("ops")
    return {}


def _copies_in_rabbitmq() -> Values:
    found, unacknowledged = copies.rabbitmq(DEADLINE)
    return {"copies": found, "unacknowledged": unacknowledged}


def _copies_in_postgresql() -> Values:
    with fresh_connection():
        found, waiting = copies.postgresql()
        return {"copies": found, "waiting": waiting}


COPIES = {"copies rabbitmq": "rabbitmq", "copies postgresql": "postgresql", "copies mongodb": "mongodb"}
"""The probes of copies, and whose they are."""

COURIER = "courier"
"""The probe of which courier works. It is asked only where codes are sent, and no other figure depends on it."""

_PROBES = {
    "rabbitmq": Probe(_Queues()),
    "spool": Probe(spooled),
    "redis": Probe(_redis),
    "postgresql": Probe(_postgresql),
    "mongodb": Probe(_mongodb),
    "webhooks": Probe(_webhooks),
    COURIER: Probe(_courier, COPIES_FRESH),
    "copies rabbitmq": Probe(_copies_in_rabbitmq, COPIES_FRESH),
    "copies postgresql": Probe(_copies_in_postgresql, COPIES_FRESH),
    "copies mongodb": Probe(lambda: {"copies": copies.mongodb()}, COPIES_FRESH),
}
