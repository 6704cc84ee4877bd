"""manage.py purge"""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from confirmations import forgetting
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
`closes`. How many there were stays known. Also deletes questions for codes and what was typed after 30 days, of all
campaigns; who is confirmed and what each day has cost stay. It cannot be undone. Run it once a day, by cron or a
CronJob.

exit codes: 0 done, or nothing is due; 1 nobody said yes; 2 a server does not answer: run it again
"""


class Command(terminal.ExplainedCommand):
    """Deletes what has been kept long enough."""

    help = "Delete what is kept of campaigns whose time is over, and questions for codes after 30 days."
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
            due, codes = erasures.due(), forgetting.due()
            if (due or codes) and not (options["yes"] or options["dry_run"]):
                raise CommandError(f"Due: {_told(due, codes)}. It cannot be undone: say --yes, or --dry-run.")
            if not options["dry_run"]:
                due, codes = self._purge(due), self._purge_codes(codes)
        except (StoreUnavailable, DatabaseError, *queues.OUTAGES) as error:
            raise CommandError(f"A server does not answer: {error!r}\nRun it again.", returncode=2) from error
        told = {"deleted": not options["dry_run"], "registrations": due, "codes": codes}
        done = "would be deleted" if options["dry_run"] else "deleted"
        self.stdout.write(json.dumps(told) if options["json"] else f"{_told(due, codes) or 'nothing'} {done}")

    def _purge(self, due: dict[str, int]) -> dict[str, int]:
        with terminal.progress("Deleting", sum(due.values()), self.stderr.write) as step:
            return {
                slug: retention.purge(slug, lambda count: step(f"{count} deleted", count)) for slug in due
            }

    def _purge_codes(self, due: int) -> int:
        with terminal.progress("Deleting codes", due, self.stderr.write) as step:
            return retention.purge_codes(lambda count: step(f"{count} rows deleted", count))


def _told(due: dict[str, int], codes: int) -> str:
    told = [f"{slug}: {count:,}" for slug, count in due.items()]
    return ", ".join([*told, f"codes: {codes:,} rows"] if codes else told)
