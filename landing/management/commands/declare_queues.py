"""manage.py declare_queues"""

import json
from argparse import ArgumentParser
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandError

from landing.keeping import queues


class Command(BaseCommand):
    help = (
        "Create the exchanges and queues at RabbitMQ where they are missing. Safe to repeat. "
        "Example: manage.py declare_queues. Exit code 1 if RabbitMQ does not take them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with current_app.connection_for_write(connect_timeout=5) as connection:
                connection.ensure_connection(max_retries=3, timeout=15)
                queues.declare(connection)
        except queues.OUTAGES as error:
            raise CommandError(
                f"RabbitMQ did not take the queues: {error}\n"
                "Is it up, and has this user the right to configure? (RABBITMQ_* in the settings)"
            ) from error
        stand = [queue.name for queue in queues.promised]
        self.stdout.write(
            json.dumps({"queues": stand}) if options["json"] else f"Queues stand: {', '.join(stand)}"
        )
