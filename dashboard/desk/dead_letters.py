"""Dead letters: what no retry could save, looked at, sent again, or given up by somebody's decision.

They come in two shapes. Ours hold one registration and a reason (landing/storing/dead_lettering.py). Those
that RabbitMQ itself has put there (a message rejected, or delivered too often) are as they were:
whole batches, and bodies that nobody can read.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from typing import Any

import orjson

from dashboard.desk.queue_messages import Message, Queue, Sender, call, sendable
from landing.keeping import queues
from landing.storing.dead_lettering import BURIED_AT, REASON
from lib import phones
from lib.texts import inert

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Letter:
    """One message of the dead-letter queue."""

    message: Message

    @property
    def reason(self) -> str:
        """Why it is here, in our words or in RabbitMQ's (rejected, delivery_limit, expired, maxlen)."""
        return str(self.message.headers.get(REASON) or self._death.get("reason") or "unknown")

    @property
    def died_at(self) -> datetime | None:
        """When it came here (UTC)."""
        try:
            return datetime.fromisoformat(self.message.headers[BURIED_AT])
        except (KeyError, TypeError, ValueError):
            time = self._death.get("time")
        return time.replace(tzinfo=time.tzinfo or UTC) if isinstance(time, datetime) else None

    @cached_property
    def registrations(self) -> list[Any] | None:
        """The raw registrations in it, or None if it cannot be read."""
        return self.message.registrations()

    @property
    def request_ids(self) -> list[str]:
        """The request_ids in it, as far as they can be read."""
        return self.message.request_ids()

    @cached_property
    def digest(self) -> str:
        """A name for a letter that has no request_id: a hash of its body."""
        return blake2b(self.message.body, digest_size=8).hexdigest()

    @property
    def key(self) -> bytes:
        """What tells it from the others of the queue, at every look."""
        # Without x-death and x-delivery-count, which RabbitMQ changes at each look.
        headers = sendable(self.message.properties)["application_headers"]
        told = orjson.dumps(headers, default=str, option=orjson.OPT_SORT_KEYS)
        return blake2b(self.message.body, key=blake2b(told).digest(), digest_size=16).digest()

    @property
    def _death(self) -> dict[str, Any]:
        deaths = self.message.headers.get("x-death")
        return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}


def masked_phone(raw: Any) -> str:
    """Return the phone number of a raw registration, fit for a screen, whatever it is."""
    return inert(phones.mask(raw[0])) if isinstance(raw, list) and raw and isinstance(raw[0], str) else "***"


@dataclass(frozen=True)
class Choice:
    """Which letters are meant: all, those whose reason begins so, the one with this id, those with these keys."""

    reason: str = ""
    request_id: str = ""
    keys: frozenset[bytes] = frozenset()

    def takes(self, letter: Letter) -> bool:
        """Return whether a letter is meant."""
        if self.keys and letter.key not in self.keys:
            return False
        if self.request_id and self.request_id not in (*letter.request_ids, letter.digest):
            return False
        return letter.reason.startswith(self.reason)


def letters(choice: Choice) -> Iterator[Letter]:
    """Show the chosen letters, oldest first; each goes back to its place.

    One at a time is in memory here. RabbitMQ counts each look as a delivery, which is why
    landing/keeping/queues.py gives the dead queue a limit that nobody reaches.
    """
    with Queue(queues.DEAD) as queue:
        for message in queue.messages():
            if choice.takes(letter := Letter(message)):
                yield letter


def count() -> int:
    """Return how many dead letters there are."""
    with Queue(queues.DEAD) as queue:
        return queue.ready()


def replay(
    choice: Choice, done: Callable[[Letter], None], *, one_by_one: bool = False, most: int | None = None
) -> int:
    """Send the chosen letters to the live queue and return how many went.

    Each is acknowledged here only when RabbitMQ has confirmed it there: what is interrupted in
    between is in both queues, which the request_ids make harmless. A letter that dies again
    meanwhile is not taken a second time.

    one_by_one: each registration of a batch as a message of its own, so that the one that kills
    workers no longer takes its neighbours along. most: no more letters than so many are looked at.
    """
    moved = 0
    with Queue(queues.DEAD) as queue, Sender() as sender:
        for message in queue.messages(most):
            if not choice.takes(letter := Letter(message)):
                continue
            # All of a batch before its acknowledgement: a crash in between leaves both, which is one registration
            # delivered twice, and no registration lost.
            for body, properties in _sendings(letter, one_by_one=one_by_one):
                sender.send(body, properties)
            queue.acknowledge(message)
            moved += 1
            done(letter)
    return moved


def discard(keys: set[bytes], note: str, *, most: int | None = None) -> int:
    """Give up the letters with these keys for good, with a line in the log for each; return how many.

    most: no more letters than so many are looked at.
    """
    gone = 0
    with Queue(queues.DEAD) as queue:
        for message in queue.messages(most):
            if (letter := Letter(message)).key not in keys:
                continue
            names = letter.request_ids or [letter.digest]
            log.warning(
                "dead letter discarded", extra={"request_ids": names, "reason": letter.reason, "note": note}
            )
            queue.acknowledge(message)
            gone += 1
    return gone


def _sendings(letter: Letter, *, one_by_one: bool) -> Iterator[tuple[bytes, dict[str, Any]]]:
    raws = letter.registrations or []
    if not one_by_one or len(raws) < 2:
        yield letter.message.body, sendable(letter.message.properties, REASON, BURIED_AT)
        return
    for raw in raws:
        yield call([raw])
