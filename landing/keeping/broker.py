"""A connection to RabbitMQ for one short errand, each step of which has a deadline."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import current_app


def connect(seconds: float, **options: Any) -> Any:
    """Return an open kombu connection that waits for no answer longer than `seconds`.

    options: what py-amqp's Connection takes, such as confirm_publish. Raises one of queues.OUTAGES.
    """
    connection = current_app.connection_for_write(
        connect_timeout=seconds, heartbeat=0, transport_options=options
    )
    connection.connect()  # once: default_channel would try again
    # py-amqp's own read_timeout is none: it takes EAGAIN, which says that the time is over, for "again".
    connection.connection.sock.settimeout(seconds)
    return connection


@contextmanager
def errand(seconds: float, **options: Any) -> Iterator[Any]:
    """Give a connection for one errand, and close it. Raises one of queues.OUTAGES.

    During a memory or disk alarm RabbitMQ reads nothing from a connection that has published, not even the
    close handshake. So a connection whose work failed is dropped without it.
    """
    connection = connect(seconds, **options)
    try:
        yield connection
    except BaseException:
        drop(connection)
        raise
    connection.release()


def drop(connection: Any) -> None:
    """Close the socket and wait for nothing; kombu's collect() would wait for the answer to a close."""
    if connection.connected:
        connection.connection.collect()
    connection.release()
