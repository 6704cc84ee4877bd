"""What waits in a queue."""

from celery import current_app


def ready(queue):
    """Take all messages of a queue; return the arguments of each."""
    with current_app.connection_for_write() as connection:
        bound = queue.bind(connection.default_channel)
        return [message.payload[0] for message in iter(lambda: bound.get(no_ack=True), None)]


def depth(queue):
    """Return how many messages are ready in a queue."""
    with current_app.connection_for_write() as connection:
        return connection.default_channel.queue_declare(queue.name, passive=True).message_count
