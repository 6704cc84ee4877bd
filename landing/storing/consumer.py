"""Celery's consumer with fixes: it rejects unreadable messages, refuses eta and expires, survives handler errors.

Ours, since Celery has a setting for none of them.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

from celery.worker import consumer

from landing.keeping import broker, task_messages
from landing.storing import joining
from lib import metrics

log = logging.getLogger(__name__)

_DELAYED = "celery.worker.consumer.delayed_delivery:DelayedDelivery"
# A time to wait for blocks a quorum queue's worker, and a time to expire at drops the message. We
# send neither, so neither is ours.
_UNWANTED = ("eta", "expires")


_received: list[Any] = []
"""Messages of this process, until a look finds that they are acknowledged."""


def messages_in_hand() -> int:
    """Return how many messages this process has not acknowledged yet, and still may: its connection lives."""
    _received[:] = [one for one in _received if not one.acknowledged and one.channel.connection]
    return len(_received)


class Consumer(consumer.Consumer):
    """Rejects what it cannot read into the dead-letter queue; Celery itself acknowledges it away."""

    connection_errors: tuple[type[Exception], ...]
    channel_errors: tuple[type[Exception], ...]
    strategies: dict[str, Any]
    event_dispatcher: Any

    class Blueprint(consumer.Consumer.Blueprint):  # type: ignore[misc,valid-type]  # celery-types calls it a variable
        """Celery's steps, without the 28 queues for delayed tasks that a quorum queue makes it declare."""

        default_steps = [step for step in consumer.Consumer.Blueprint.default_steps if step != _DELAYED]

    def ensure_connected(self, conn: Any) -> Any:
        """Come back soon after the broker does: the pauses between Celery's own tries grow to 30 s."""
        conn.ensure_connection = functools.partial(
            conn.ensure_connection, interval_start=0.5, interval_step=0.5, interval_max=4
        )
        return super().ensure_connected(conn)

    def shutdown(self) -> None:
        """Stop at once, also during an alarm of RabbitMQ."""
        self._drop_events_connection()
        super().shutdown()

    def on_close(self) -> None:
        """Prepare for the next connection, also during an alarm of RabbitMQ."""
        self._drop_events_connection()
        super().on_close()

    def _drop_events_connection(self) -> None:
        """Drop the events connection without AMQP's close handshake.

        During a memory or disk alarm RabbitMQ reads nothing from a connection that publishes, so the handshake
        never ends, and the worker could neither stop nor reconnect.

        Not as a step in place of Celery's Events: other steps require that class by name, so both would run.
        """
        if self.event_dispatcher and self.event_dispatcher.connection:
            broker.drop(self.event_dispatcher.connection)

    def update_strategies(self) -> None:
        """Let messages of registrations wait together when the pool is busy."""
        super().update_strategies()
        # After Celery's own: each reconnection builds the strategies anew, with handlers of the new channel.
        alone, joined = self.strategies[task_messages.TASK], self.strategies[task_messages.JOINED]
        self.strategies[task_messages.TASK] = joining.Joiner(
            alone, joined, self.pool.num_processes, self.timer
        )

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """Return Celery's handler, safe from messages that raise inside it."""
        handle = super().create_task_handler(*args, **options)

        def on_task_received(message: Any) -> None:
            _received.append(message)
            try:
                if any((message.headers or {}).get(name) for name in _UNWANTED):
                    self.on_decode_error(message, ValueError("a delayed or expiring task"))
                else:
                    handle(message)
            except (*self.connection_errors, *self.channel_errors):
                raise  # Celery reconnects; the message was not acknowledged and comes again
            except Exception as error:  # noqa: BLE001  whatever is in the message, the worker goes on
                self.on_decode_error(message, error)

        return on_task_received

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Make a message that cannot be read a dead letter. Its body, which may be personal, is not logged."""
        log.error("unreadable message is a dead letter", extra={"reason": type(exc).__name__})
        metrics.count("dead_lettered:unreadable")
        message.reject_log_error(log, self.connection_errors)
