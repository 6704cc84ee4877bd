"""Messages that arrive while the workers are busy go to a worker together: a group commit, once more.

At a low rate a message holds one registration, and a commit, a bulk write and a task for each would
cost more than all else. So Celery is given one task for all the messages at hand. They are still
acknowledged, each by itself, after the work; and a message that has been delivered before, perhaps
because what is in it kills its worker, is worked on alone, so that it takes no other with it.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from celery.worker import state

from landing.keeping import queues, task_messages

log = logging.getLogger(__name__)

PACE = 0.1
"""Seconds from one task to the next, unless MANY wait. A visitor's page asks after 0.3 s, and each task saved is a commit saved."""
MANY = 32
"""Messages that are enough for a task at any time; fewer than the prefetch, or they could never be at hand together."""
LOOK_EVERY = 1.0
"""Seconds between looks at the waiting messages, in case a task ended without calling back."""

Handler = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message of ours and Celery's ways to tell the broker its fate. part: its batch and its time as JSON."""

    message: Any
    size: int
    part: bytes
    ack: Handler
    reject: Handler


@dataclass(frozen=True, slots=True)
class Joined:
    """What Celery takes for a message: several, made one task."""

    headers: dict[str, Any]
    body: bytes
    properties: dict[str, Any]
    delivery_info: dict[str, Any]
    payload: tuple[Any, ...] = ((), {}, {})
    """Arguments as Celery shows them; those that count are in the body."""
    content_type: str = "application/json"
    content_encoding: str = "utf-8"


class Joiner:
    """Handles the messages of task_messages.TASK for Celery, and joins those it has to let wait.

    alone, joined: Celery's own handlers, of task_messages.TASK and of task_messages.JOINED.
    processes: how many tasks the pool works on at once. timer: Celery's, of the consumer.
    """

    def __init__(self, alone: Handler, joined: Handler, processes: int, timer: Any) -> None:
        self._alone = alone
        self._joined = joined
        self._processes = processes
        self._timer = timer
        timer.call_repeatedly(LOOK_EVERY, self.look)
        self._waiting: deque[Waiting] = deque()
        self._next = 0.0
        self._will_look = False

    def __call__(self, message: Any, payload: Any, ack: Handler, reject: Handler, callbacks: Any) -> Any:
        """Take a message, as Celery's strategies do."""
        if (waiting := _read(message, ack, reject)) is None:
            return self._alone(message, payload, ack, reject, callbacks)
        self._waiting.append(waiting)
        return self.look()

    def look(self) -> None:
        """Dispatch waiting messages while the pool has free processes."""
        while self._waiting and self._has_a_free_process():
            early = self._next - time.monotonic()
            if early > 0 and len(self._waiting) < MANY:
                self._look_after(early)
                return
            self._next = time.monotonic() + PACE
            self._give(self._take())

    def _has_a_free_process(self) -> bool:
        # reserved_requests holds what was handed to the pool and is not acknowledged yet, so it counts our tasks.
        stopping: Any = state.should_stop  # an exit status, which may be 0
        goes_on = stopping is None or stopping is False
        return goes_on and len(state.reserved_requests) < self._processes

    def _take(self) -> list[Waiting]:
        group = [self._waiting.popleft()]
        room = task_messages.MOST - group[0].size
        while self._waiting and self._waiting[0].size <= room:
            group.append(self._waiting.popleft())
            room -= group[-1].size
        return group

    def _give(self, group: list[Waiting]) -> None:
        def ack(*args: Any) -> None:
            for one in group:
                one.ack(*args)
            # Not at once: the task that reports its end still holds its place in reserved_requests.
            self._look_after(0)

        def reject(log: Any, errors: Any, requeue: bool = False) -> None:
            # Nobody knows yet which of several it was. Each is delivered again, marked as redelivered, and then
            # _read() does not join it: a message that kills its worker takes no other with it a second time.
            for one in group:
                one.reject(log, errors, requeue or len(group) > 1)
            self._look_after(0)

        try:
            self._joined(_one_task(group), None, ack, reject, [])
        except Exception as error:
            # Whether any of them is to blame is not known, least of all the one that is just arriving.
            log.exception("messages could not be worked on together", extra={"count": len(group)})
            for one in group:
                one.reject(log, queues.OUTAGES, True)
            if isinstance(error, queues.OUTAGES):
                raise  # it may be the connection's end, which Celery mends

    def _look_after(self, seconds: float) -> None:
        if not self._will_look:
            self._will_look = True
            self._timer.call_after(seconds, self._look_again)

    def _look_again(self) -> None:
        self._will_look = False
        self.look()


def _read(message: Any, ack: Handler, reject: Handler) -> Waiting | None:
    """Return a message that may be joined; None for one that is not of ours, odd, or was delivered before."""
    if message.content_type != "application/json" or message.delivery_info.get("redelivered"):
        return None
    try:
        [batch], keywords, embedded = orjson.loads(message.body)
        part = orjson.dumps([batch, keywords.pop("queued_at")])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    if not isinstance(batch, list) or keywords or any(embedded.values()) or not message.headers.get("id"):
        return None
    return Waiting(message, len(batch), part, ack, reject)


def _one_task(group: list[Waiting]) -> Joined:
    first = group[0].message
    count = sum(one.size for one in group)
    return Joined(
        headers=first.headers
        | {
            "task": task_messages.JOINED,
            "shadow": task_messages.TASK,
            "argsrepr": f"({count} registrations)",
        },
        body=b"[[[" + b",".join(one.part for one in group) + b"]],{},{}]",
        properties=first.properties,
        delivery_info=first.delivery_info,
    )
