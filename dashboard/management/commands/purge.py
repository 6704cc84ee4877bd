"""manage.py purge"""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from dashboard import terminal
from dashboard.proof import retention
from landing.keeping import queues
from landing.storing import erasures
from logs.utils import StoreUnavailable

EXAMPLES = """
examples:
  manage.py purge --dry-run
  manage.py purge --yes --json

Deletes everything that is kept of campaigns whose time is over: `keep = "90 days"` under [campaign], counted from
`closes`. It cannot be undone. How many there were stays known. Run it once a day, by cron or a CronJob.

exit codes: 0 done, or nothing is due; 1 nobody said yes; 2 a server does not answer: run it again
"""


class Command(terminal.ExplainedCommand):
    """Deletes campaigns whose time is over."""

    help = "Delete everything that is kept of campaigns whose time is over."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how sure the operator is."""
        parser.add_argument("--dry-run", action="store_true", help="only say what is due")
        parser.add_argument("--yes", action="store_true", help="delete it")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete what is due, and say how much it was."""
        terminal.logs_to_stderr()
        try:
            due = erasures.due()
            if due and not (options["yes"] or options["dry_run"]):
                raise CommandError(f"Due: {_told(due)}. It cannot be undone: say --yes, or --dry-run.")
            if not options["dry_run"]:
                due = self._purge(due)
        except (StoreUnavailable, DatabaseError, *queues.OUTAGES) as error:
            raise CommandError(f"A server does not answer: {error!r}\nRun it again.", returncode=2) from error
        told = {"deleted": not options["dry_run"], "registrations": due}
        done = "would be deleted" if options["dry_run"] else "deleted"
        self.stdout.write(json.dumps(told) if options["json"] else f"{_told(due) or 'nothing'} {done}")

    def _purge(self, due: dict[str, int]) -> dict[str, int]:
        with terminal.progress("Deleting", sum(due.values()), self.stderr.write) as step:
            return {
                slug: retention.purge(slug, lambda count: step(f"{count} deleted", count)) for slug in due
            }


def _told(due: dict[str, int]) -> str:
    return ", ".join(f"{slug}: {count:,}" for slug, count in due.items())
