"""manage.py replay"""

import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime
from typing import Any

from amqp.exceptions import NotFound
from django.core.management.base import CommandError

from dashboard import terminal
from dashboard.desk import kept
from landing.desk import times
from landing.keeping import queues

EXAMPLES = """
examples, after PostgreSQL was restored to 14:20:
  manage.py replay --since "2026-11-27 14:10" --dry-run
  manage.py replay --since "2026-11-27 14:10"
  manage.py reconcile --accepted access.log --since "2026-11-27 14:00"

What is stored already stays as it is, so begin some minutes early. It needs KEEP_DAYS.

exit codes: 0 done, 1 no copy is kept, 2 RabbitMQ does not answer or did not confirm
"""


class Command(terminal.ExplainedCommand):
    """Sends the kept copies to the workers."""

    help = "Send the copies of registrations that RabbitMQ keeps (KEEP_DAYS) to the workers again."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since",
            type=_time,
            required=True,
            metavar="T",
            help="what RabbitMQ got since: 24h, 7d, 2026-11-27 14:10",
        )
        parser.add_argument("--dry-run", action="store_true", help="only count them")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        terminal.logs_to_stderr()
        try:
            count = self._count(options) if options["dry_run"] else self._replay(options)
        except NotFound as error:
            raise CommandError(
                "RabbitMQ keeps no copies. Set KEEP_DAYS, then manage.py declare_queues: "
                "what comes after that can be replayed."
            ) from error
        except queues.OUTAGES as error:
            raise CommandError(
                f"RabbitMQ does not answer or did not confirm: {error!r}\n"
                "Repeat the command: what has come twice is stored once.",
                returncode=2,
            ) from error
        if options["json"]:
            self.stdout.write(json.dumps({"registrations": count, "sent": not options["dry_run"]}))
        elif options["dry_run"]:
            self.stdout.write(f"{count} registrations would be sent to the workers; nothing was sent.")
        else:
            self.stdout.write(f"{count} registrations sent to the workers, each confirmed.")

    def _count(self, options: dict[str, Any]) -> int:
        return sum(len(one.message.registrations() or []) for one in kept.read(options["since"]))

    def _replay(self, options: dict[str, Any]) -> int:
        with terminal.progress("replaying", None, self.stderr.write) as step:
            return kept.replay(
                options["since"], lambda sent, left: step(f"{sent} sent, {left} messages left", sent)
            )


def _time(text: str) -> datetime:
    try:
        return times.read(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
