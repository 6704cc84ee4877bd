"""The messages of a queue, looked at one by one and given back, or taken once they have another home."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

import amqp
import orjson
from django.conf import settings

from dashboard.live import management_api
from landing.keeping import broker, queues, task_messages
from lib import request_ids
from lib.clock import now

TIMEOUT = 5.0
"""Seconds for each of RabbitMQ's answers."""
BACK_WITHIN = 1.0

# What RabbitMQ adds to a message on its way; a message that is sent again must not carry its past.
_TRAVEL_NOTES = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")


@dataclass(frozen=True)
class Message:
    """One message as it lies in the queue: its bytes, and its properties under py-amqp's names."""

    body: bytes
    properties: dict[str, Any]
    delivery_tag: int

    @property
    def headers(self) -> dict[str, Any]:
        return self.properties.get("application_headers") or {}

    @property
    def deliveries(self) -> int:
        """How often a quorum queue has handed it out before."""
        return int(self.headers.get("x-delivery-count", 0))

    def registrations(self) -> list[Any] | None:
        """Return the raw registrations in it, or None if it is no call of our tasks."""
        try:
            args, kwargs, _ = orjson.loads(self.body)
            if str(self.headers["task"]).endswith("save_phone_async"):
                names = ("phone_number", "request_id", "ip_address", "referrer", "user_agent", "accepted_at")
                named = [kwargs[name] for name in names[len(args) :] if name in kwargs]
                return [[*args, *named]]
            batch = args[0] if args else kwargs["batch"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return batch if isinstance(batch, list) else None

    def request_ids(self) -> list[str]:
        """Return the request_ids in it, as far as they can be read."""
        return [found for raw in self.registrations() or [] if (found := request_id_of(raw))]


class Queue:
    """One queue, open for looking. What was got and not acknowledged returns to its place at the end.

    It returns when the channel closes, whatever closes it: a kill in the middle loses nothing.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._errand = broker.errand(TIMEOUT)
        self._connection: Any = None
        self._channel: Any = None
        self._in_hand = 0

    def __enter__(self) -> "Queue":
        self._connection = self._errand.__enter__()
        self._channel = self._connection.channel()
        self._channel.auto_decode = False  # bodies are bytes, whatever they claim to be
        return self

    def __exit__(self, *raised: Any) -> None:
        with suppress(*queues.OUTAGES):
            self._give_back()
        self._errand.__exit__(*raised)

    def ready(self) -> int:
        """Return how many messages can be got; those in other hands are not among them."""
        return int(self._channel.queue_declare(self.name, passive=True).message_count)

    def messages(self, most: int | None = None) -> Iterator[Message]:
        """Get the messages that are ready now, oldest first, without those that come meanwhile."""
        # Counted before the first: a replayed letter that dies again comes behind these and is not got, or a
        # replay of what can never be stored would not end.
        left = self.ready() if most is None else min(most, self.ready())
        while left and (got := self._channel.basic_get(self.name)):
            self._in_hand += 1
            left -= 1
            yield Message(bytes(got.body), dict(got.properties), got.delivery_tag)

    def acknowledge(self, message: Message) -> None:
        """Take a message off the queue for good."""
        self._channel.basic_ack(message.delivery_tag)
        self._in_hand -= 1

    def _give_back(self) -> None:
        """Close the channel, and wait a moment for RabbitMQ to have put everything back for the next look."""
        if not self._in_hand:
            return
        # The channel's close is answered before a quorum queue has put the messages back: its log decides that.
        expected = self.ready() + self._in_hand
        self._channel.close()
        self._channel = self._connection.channel()
        until = time.monotonic() + BACK_WITHIN
        while self.ready() < expected and time.monotonic() < until:
            time.sleep(0.01)


class Sender:
    """Sends messages to the live queue, each confirmed before the call returns."""

    def __init__(self, routing_key: str = queues.LIVE) -> None:
        self._routing_key = routing_key
        self._errand = broker.errand(TIMEOUT, confirm_publish=True)
        self._channel: Any = None

    def __enter__(self) -> "Sender":
        self._channel = self._errand.__enter__().channel()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._errand.__exit__(*raised)

    def send(self, body: bytes, properties: dict[str, Any]) -> None:
        """Put a message on the live queue. Raises one of queues.OUTAGES, and then this sender is used no more."""
        self._channel.basic_publish(
            amqp.Message(body, **properties),
            exchange=queues.live.exchange.name,
            routing_key=self._routing_key,
            mandatory=True,
            timeout=TIMEOUT,
            confirm_timeout=TIMEOUT,
        )

    def send_in_groups(self, raws: list[Any]) -> None:
        """Ask workers to store raw registrations, in messages of GROUP_SIZE, as `send` does.

        No faster than a spool drains: those who register now come first.
        """
        for start in range(0, len(raws), settings.GROUP_SIZE):
            group = raws[start : start + settings.GROUP_SIZE]
            self.send(*call(group))
            time.sleep(len(group) / settings.SPOOL_DRAIN_RATE)


def sendable(properties: dict[str, Any], *own: str) -> dict[str, Any]:
    """Return properties without what RabbitMQ noted on the way, nor the headers that `own` names."""
    headers = properties.get("application_headers") or {}
    kept = {name: value for name, value in headers.items() if not name.startswith((*_TRAVEL_NOTES, *own))}
    return properties | {"application_headers": kept, "delivery_mode": 2}


def call(raws: list[Any]) -> tuple[bytes, dict[str, Any]]:
    """Return body and properties of a message that asks a worker to store raw registrations."""
    task = task_messages.of(raws, queued_at=now().isoformat())
    properties = {
        "application_headers": task.headers,
        "correlation_id": task.properties["correlation_id"],
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
    }
    return orjson.dumps(task.body), properties


def in_hand() -> int | None:
    """Return how many messages workers hold unacknowledged, or None if the management API does not tell."""
    # AMQP tells how many messages are ready; how many are unacknowledged only the management API knows.
    try:
        told = [management_api.queue(queue.name, TIMEOUT) for queue in queues.lives]
        return sum(int(one["messages_unacknowledged"]) for one in told)
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None


def request_id_of(raw: Any) -> str | None:
    """Return the request_id in a raw registration, or None."""
    try:
        return str(request_ids.parse(raw[1]) or "") or None
    except (TypeError, IndexError, KeyError, AttributeError):
        return None
