"""One confirmed publish of a group of submissions to RabbitMQ."""

import asyncio
import logging
import os
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

import aiormq
import orjson
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import AMQPError
from pamqp.commands import Basic

from landing.keeping import queues, task_messages
from landing.submission import Submission
from lib.clock import now
from lib.outage import Outage

log = logging.getLogger(__name__)

CLOSE_TIMEOUT = 5.0
FIRST_SHARE = 0.75
"""The part of the deadline that the first node gets. A new leader takes about 0.4 s: the first node confirms then,
if it was not the leader. A node that hangs leaves a quarter for the second, whose connection is open."""
WARM_TIMEOUT, WARM_AGAIN_AFTER = 3.0, 5.0
"""Seconds for the second connection to open, and until it is tried again."""
PERSISTENT = 2
"""AMQP 0-9-1's delivery mode for a message that outlives the broker."""


class NotConfirmed(Exception):
    """RabbitMQ did not confirm in time. It may have the message all the same: no promise, not a no."""


class _Node:
    """The connection to one RabbitMQ node, opened when it is needed and thrown away at each failure.

    aiormq and not aio-pika: its robust connections resend by themselves, and we must know what was confirmed.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None:
        self.name = urlsplit(url).netloc.rpartition("@")[2]
        self._url = url
        self._tls = tls
        self._connecting = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        return self._channel is not None and self._connection is not None and not self._connection.is_closed

    async def open(self) -> AbstractChannel:
        # Several groups may find the connection gone at once; one of them opens the next.
        async with self._connecting:
            if self._channel is None or not self.is_open:
                self._connection = await aiormq.connect(
                    self._url,
                    context=self._tls,
                    client_properties={"connection_name": f"web {socket.gethostname()}"},
                )
                self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            return self._channel

    async def publish(self, body: bytes, routing_key: str, properties: Basic.Properties) -> None:
        channel = await self.open()
        await channel.basic_publish(
            body, exchange=queues.LIVE, routing_key=routing_key, properties=properties, mandatory=True
        )

    async def within(self, deadline: float, act: Awaitable[object]) -> None:
        """Await an act until a time of the loop's clock. Raises NotConfirmed, and the connection is thrown away.

        So a late confirm can never be taken for another message's.
        """
        try:
            async with asyncio.timeout_at(deadline):
                await act
        except asyncio.CancelledError as error:
            # aiormq cancels what waits on a channel that it closes; that is not our own end.
            self.close()
            if _is_ending():
                raise
            raise NotConfirmed(f"{self.name} closed the connection") from error
        except (AMQPError, OSError, TimeoutError, RuntimeError) as error:
            # RuntimeError is what aiormq raises for a connection closed under its hands.
            self.close()
            raise NotConfirmed(f"{self.name}: {error!r}") from error

    def close(self) -> None:
        """Drop the connection without AMQP's close handshake."""
        # Forgotten before it is closed: closing takes seconds when the broker is frozen, and the next try
        # must not find it.
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            closing = asyncio.create_task(_close(connection))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


class Publisher:
    """Publishes through one node of RabbitMQ, and keeps a connection to a second one warm.

    Each process begins with another node, so that the cluster's nodes share the work.
    """

    def __init__(self, urls: Sequence[str], *, timeout: float, ca_path: str = "") -> None:
        tls = ssl.create_default_context(cafile=ca_path) if ca_path else None
        self._nodes = deque(_Node(url, tls) for url in urls)
        self._nodes.rotate(-(crc32(socket.gethostname().encode()) + os.getpid()))
        self._routing_keys = cycle([queue.name for queue in queues.lives])
        self._timeout = timeout
        self._warming: asyncio.Task[None] | None = None
        self._warm_outage = Outage(pause=WARM_AGAIN_AFTER)

    @property
    def first(self) -> str:
        """The address of the node that is asked first now."""
        return self._nodes[0].name

    async def publish(self, batch: Sequence[Submission]) -> None:
        """Send a batch as one message. Raises NotConfirmed."""
        await self.send([submission.to_wire() for submission in batch])

    async def send(self, batch: Sequence[Any]) -> None:
        """Put a batch in its wire form on the queue and wait for its confirm, at most `timeout` seconds.

        The confirm is the broker's word that the message is on the disk of the quorum. The message
        is mandatory: without a queue to go to it comes back, which is an error here.

        What the first node does not confirm is published through the second within the same deadline. The
        queue may hold it twice then, which changes nothing: the ids are the same. Raises NotConfirmed.
        """
        await self._publish(message_of(batch), next(self._routing_keys))

    async def send_confirmations(self, batch: Sequence[Any]) -> None:
        """Do the same with asks and typed codes in their wire form, for their own queue. Raises NotConfirmed."""
        await self._publish(message_of(batch, task_messages.CONFIRM), queues.CONFIRMATIONS)

    async def _publish(self, message: tuple[bytes, Basic.Properties], routing_key: str) -> None:
        body, properties = message
        await self._through_one_of_two(lambda node: node.publish(body, routing_key, properties))
        self._warm()

    async def check(self) -> None:
        """Raise NotConfirmed unless there is an open connection, or one can be opened in time."""
        await self._through_one_of_two(lambda node: node.open())

    async def _through_one_of_two(self, act: Callable[[_Node], Awaitable[object]]) -> None:
        # One deadline for the connections, the writes and the confirm together: the visitor waits for all of them.
        started = asyncio.get_running_loop().time()
        nodes = list(self._nodes)[:2]
        for node in nodes:
            is_last = node is nodes[-1]
            deadline = started + self._timeout * (1 if is_last else FIRST_SHARE)
            try:
                await node.within(deadline, act(node))
            except NotConfirmed as error:
                self._put_last(node)
                log.warning("publish not confirmed", extra={"reason": str(error)})
                if is_last:
                    raise
            else:
                return

    def close(self) -> None:
        """Drop all connections without AMQP's close handshake."""
        if self._warming:
            self._warming.cancel()
        for node in self._nodes:
            node.close()

    def _put_last(self, node: _Node) -> None:
        # Many groups wait for one node, and all of them fail with it: the first of them has moved it already.
        if self._nodes[0] is node:
            self._nodes.rotate(-1)

    def _warm(self) -> None:
        """Open a connection to the second node, behind the visitors' backs."""
        if len(self._nodes) > 1 and not (self._nodes[1].is_open or self._warming or self._warm_outage.is_on):
            self._warming = asyncio.create_task(self._open_second())
            self._warming.add_done_callback(self._warmed)

    async def _open_second(self) -> None:
        node = self._nodes[1]
        try:
            await node.within(asyncio.get_running_loop().time() + WARM_TIMEOUT, node.open())
            self._warm_outage.note_success()
        except NotConfirmed:
            # A third node, if there is one, has its turn next.
            self._warm_outage.note_failure()
            if self._nodes[1] is node:
                del self._nodes[1]
                self._nodes.append(node)

    def _warmed(self, warming: asyncio.Task[None]) -> None:
        self._warming = None
        if not warming.cancelled() and (error := warming.exception()):
            log.error("the second connection failed", exc_info=error)


def _is_ending() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def message_of(batch: Sequence[Any], name: str = task_messages.TASK) -> tuple[bytes, Basic.Properties]:
    """Return a batch in its wire form as the message that Celery would send for `save_phones_async.delay(batch)`."""
    task = task_messages.of(batch, name, queued_at=now().isoformat())
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
