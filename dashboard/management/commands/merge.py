"""manage.py merge"""

import json
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

import psycopg
from django.core.management.base import CommandError, CommandParser

from dashboard import terminal
from dashboard.desk import cells
from landing.keeping import queues
from logs.utils import StoreUnavailable

EXAMPLES = """
examples:
  manage.py merge --from postgresql://cell-3/breakwater --documents mongodb://cell-3/ --dry-run
  manage.py merge --from postgresql://cell-3/breakwater --after 0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b

A list of processes shows passwords. So write the options into a file, one a line, such as
--from=postgresql://user:password@cell-3/breakwater, and name the file: merge @FILE

The cell is only read, and may go on meanwhile. What has come before stays as it is.

exit codes: 0 all were sent to the workers of this installation, 2 a server does not answer: go on with --after
"""


class Command(terminal.ExplainedCommand):
    """Brings another installation's registrations here."""

    help = "Give the registrations of another installation (a cell) to the workers of this one."
    examples = EXAMPLES

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        """Return a parser that reads arguments from @FILE, one a line."""
        return super().create_parser(prog_name, subcommand, fromfile_prefix_chars="@", **options)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", required=True, metavar="URL", help="the cell's PostgreSQL")
        parser.add_argument("--documents", default="", metavar="URL", help="the cell's MongoDB")
        parser.add_argument("--after", type=UUID, metavar="ID", help="only greater request_ids")
        parser.add_argument("--dry-run", action="store_true", help="only count them")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        terminal.logs_to_stderr()
        self._last = options["after"]
        try:
            total = cells.count(options["from"], options["after"])
            if not options["dry_run"]:
                self._merge(total, options)
        except (psycopg.Error, StoreUnavailable, *queues.OUTAGES) as error:
            go_on = f"Go on with --after {self._last}." if self._last else "Begin again."
            raise CommandError(f"{error!r}\nNothing is lost. {go_on}", returncode=2) from error
        if options["json"]:
            self.stdout.write(json.dumps({"submissions": total, "sent": not options["dry_run"]}))
        elif options["dry_run"]:
            self.stdout.write(f"{total} submissions would be sent to the workers; nothing was sent.")
        else:
            self.stdout.write(f"{total} submissions sent to the workers, each confirmed.")

    def _merge(self, total: int, options: dict[str, Any]) -> None:
        with terminal.progress("merging", total, self.stderr.write) as step:

            def note(last: UUID, number: int) -> None:
                self._last = last
                step(f"{number} sent, up to {last}", number)

            cells.merge(options["from"], options["documents"], options["after"], note)
