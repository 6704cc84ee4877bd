"""One confirmed publish of a group of submissions to RabbitMQ."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from typing import Any

import aiormq
import orjson
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import AMQPError
from pamqp.commands import Basic

from landing.keeping import queues, task_messages
from landing.submission import Submission
from lib.clock import now

log = logging.getLogger(__name__)

CLOSE_TIMEOUT = 5.0
PERSISTENT = 2
"""AMQP 0-9-1's delivery mode for a message that outlives the broker."""


class NotConfirmed(Exception):
    """RabbitMQ did not confirm in time. It may have the message all the same: no promise, not a no."""


class Publisher:
    """Holds one connection to RabbitMQ, opened when it is first needed and after each failure.

    aiormq and not aio-pika: its robust connections resend by themselves, and we must know what was confirmed.
    """

    def __init__(self, url: str, *, timeout: float, ca_path: str = "") -> None:
        self._url = url
        self._tls = ssl.create_default_context(cafile=ca_path) if ca_path else None
        self._timeout = timeout
        self._connecting = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def publish(self, batch: Sequence[Submission]) -> None:
        """Send a batch as one message. Raises NotConfirmed."""
        await self.send([submission.to_wire() for submission in batch])

    async def send(self, batch: Sequence[Any]) -> None:
        """Put a batch in its wire form on the queue and wait for its confirm, at most `timeout` seconds.

        The confirm is the broker's word that the message is on the disk of the quorum. The message
        is mandatory: without a queue to go to it comes back, which is an error here.
        Raises NotConfirmed, and then the connection is thrown away, so that a late confirm can
        never be taken for another message's.
        """
        try:
            # One deadline for the connection, the write and the confirm together: the visitor waits for all three.
            async with asyncio.timeout(self._timeout):
                channel = await self._open()
                body, properties = message_of(batch)
                await channel.basic_publish(
                    body,
                    exchange=queues.LIVE,
                    routing_key=queues.LIVE,
                    properties=properties,
                    mandatory=True,
                )
        except asyncio.CancelledError as error:
            # aiormq cancels what waits on a channel that it closes; that is not our own end.
            self.close()
            if _is_ending():
                raise
            raise NotConfirmed from error
        except (AMQPError, OSError, TimeoutError, RuntimeError) as error:
            # RuntimeError is what aiormq raises for a connection closed under its hands.
            self.close()
            log.warning("publish not confirmed", extra={"reason": repr(error)})
            raise NotConfirmed from error

    async def check(self) -> None:
        """Raise NotConfirmed unless there is an open connection, or one can be opened in time."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._open()
        except (AMQPError, OSError, TimeoutError, RuntimeError, asyncio.CancelledError) as error:
            self.close()
            if _is_ending():
                raise
            raise NotConfirmed from error

    def close(self) -> None:
        """Drop the connection without AMQP's close handshake."""
        # Forgotten before it is closed: closing takes seconds when the broker is frozen, and the next try
        # must not find it.
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            closing = asyncio.create_task(_close(connection))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _open(self) -> AbstractChannel:
        # Several groups may find the connection gone at once; one of them opens the next.
        async with self._connecting:
            if self._channel is None or self._connection is None or self._connection.is_closed:
                self._connection = await aiormq.connect(
                    self._url,
                    context=self._tls,
                    client_properties={"connection_name": f"web {socket.gethostname()}"},
                )
                self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            return self._channel


def _is_ending() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def message_of(batch: Sequence[Any]) -> tuple[bytes, Basic.Properties]:
    """Return a batch in its wire form as the message that Celery would send for `save_phones_async.delay(batch)`."""
    task = task_messages.of(batch, queued_at=now().isoformat())
    return orjson.dumps(task.body), Basic.Properties(
        # Celery takes a header that is missing for None, and a header costs more than a registration.
        headers={name: value for name, value in task.headers.items() if value is not None},
        content_type="application/json",
        content_encoding="utf-8",
        correlation_id=task.properties["correlation_id"],
        message_id=task.headers["id"],
        delivery_mode=PERSISTENT,
    )


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await connection.close()
    except (AMQPError, OSError, TimeoutError, RuntimeError):
        log.debug("the broken connection could not be closed")
