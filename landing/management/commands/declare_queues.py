"""manage.py declare_queues"""

from typing import Any

from amqp.exceptions import AMQPError
from celery import current_app
from django.core.management.base import BaseCommand, CommandError
from kombu.exceptions import OperationalError

from landing import queues


class Command(BaseCommand):
    """Creates the queues at RabbitMQ."""

    help = "Create the exchanges and queues at RabbitMQ where they are missing. Safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        """Declare, and say what stands now."""
        try:
            with current_app.connection_for_write(connect_timeout=5) as connection:
                connection.ensure_connection(max_retries=3, timeout=15)
                queues.declare(connection)
        except (OperationalError, OSError, AMQPError) as error:
            raise CommandError(
                f"RabbitMQ did not take the queues: {error}\n"
                "Is it up, and has this user the right to configure? (RABBITMQ_* in the settings)"
            ) from error
        self.stdout.write(f"Queues stand: {queues.LIVE}, {queues.DEAD}")
