"""manage.py spooled"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from dashboard import terminal
from dashboard.proof import sources
from lib.spool import SpoolFailed

EXAMPLES = """
examples, with web-1 and web-2 as hosts of webs:
  web-1$ manage.py spooled > web-1.ids
  web-2$ manage.py spooled > web-2.ids
  manage.py reconcile --accepted access.log --spooled web-1.ids --spooled web-2.ids

exit codes: 0 the list is complete, 2 a spool cannot be read
"""


class Command(terminal.ExplainedCommand):
    """Lists what waits on this host."""

    help = (
        "Print the request_id of each registration in this host's SPOOL_DIR, one a line. No phone is printed."
    )
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        terminal.logs_to_stderr()
        count = 0
        try:
            for count, one in enumerate(sources.spooled(), 1):  # noqa: B007  the last number is the count
                self.stdout.write(json.dumps({"request_id": one}) if options["json"] else one)
        except (SpoolFailed, OSError) as error:
            raise CommandError(
                f"A spool in {Path(settings.SPOOL_DIR)} cannot be read: {error}", returncode=2
            ) from error
        self.stderr.write(f"{count} registrations wait in {Path(settings.SPOOL_DIR)}")
