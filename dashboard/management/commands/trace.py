"""manage.py trace"""

import dataclasses
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.table import Table

from dashboard import terminal
from dashboard.desk import trace
from dashboard.desk.trace import Hop
from lib import request_ids


class Command(BaseCommand):
    """Prints each hop of one request."""

    help = (
        "Print each hop of one request: accepted, queued, stored, logged. "
        "Example: manage.py trace 0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b. "
        "Exit codes: 0 it is known, 1 it is not, 2 a store does not answer."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the id and --json."""
        parser.add_argument("request_id", help="the task_id or request_id of a 202 answer")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look into the stores and print."""
        terminal.logs_to_stderr()
        request_id = request_ids.parse(options["request_id"])
        if request_id is None:
            raise CommandError("That is no request_id: it looks like 0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b.")
        found = trace.of(request_id)
        if options["json"]:
            self.stdout.write(json.dumps([dataclasses.asdict(hop) for hop in found.hops], default=str))
        elif found.hops:
            self.stdout.write(terminal.rendered(_table(found.hops)))
        if found.silent:
            raise CommandError(f"No answer from {', '.join(found.silent)}; there may be more.", returncode=2)
        if not found.hops:
            raise CommandError(f"Nothing is known of {request_id}.")


def _table(hops: list[Hop]) -> Table:
    table = Table("hop", "time (UTC)", "after", "what", box=None, header_style="bold")
    times = [hop.time for hop in hops if hop.time]
    for hop in hops:
        time = f"{hop.time:%Y-%m-%d %H:%M:%S.%f}" if hop.time else ""
        after = f"{(hop.time - times[0]).total_seconds() * 1000:.1f} ms" if hop.time and times else ""
        what = ", ".join(f"{name}: {value}" for name, value in hop.facts.items() if value not in (None, ""))
        table.add_row(hop.name, time, after, what)
    return table
