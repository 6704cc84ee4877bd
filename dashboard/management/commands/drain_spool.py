"""manage.py drain_spool"""

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from dashboard import terminal
from dashboard.desk import spools
from landing.keeping import queues
from lib import spool
from lib.spool import SpoolFailed, SpoolFull

PAUSE = 0.5
"""Seconds between two tries."""

EXAMPLES = """
examples:
  manage.py drain_spool
  manage.py drain_spool --until-empty --timeout 600      before a node is removed, its web stopped

exit codes: 0 nothing is left in SPOOL_DIR, 1 something is, 2 RabbitMQ does not confirm or a file fails
"""


class Command(terminal.ExplainedCommand):
    """Brings spooled registrations to RabbitMQ."""

    help = "Bring to RabbitMQ what no running process owns in SPOOL_DIR; a running web server drains its own."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how long to go on."""
        parser.add_argument(
            "--until-empty", action="store_true", help="go on until nothing is left, through outages"
        )
        parser.add_argument("--timeout", type=float, default=300.0, help="seconds for --until-empty (300)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Drain once, or until nothing is left or the time is over."""
        terminal.logs_to_stderr()
        directory = Path(settings.SPOOL_DIR)
        until = time.monotonic() + (options["timeout"] if options["until_empty"] else 0)
        before = _waiting(directory)
        with terminal.progress("draining", before, self.stderr.write) as step:
            moved, failure = _drain(directory, until, step)
        left = _waiting(directory)
        if options["json"]:
            self.stdout.write(json.dumps({"moved": moved, "left": left}))
        else:
            self.stdout.write(f"{moved} registrations brought to RabbitMQ, {left} left in {directory}")
        if failure:
            raise CommandError(
                f"{failure!r}\nWhat is left is safe in the spool. Look at RabbitMQ and the disk, and repeat.",
                returncode=2,
            )
        if left:
            raise CommandError("Running processes own them, or they are damaged: stop the web, and repeat.")


def _waiting(directory: Path) -> int:
    try:
        return spool.waiting(directory)
    except SpoolFailed as error:
        raise CommandError(f"{error}\nMove that file away and keep it, then repeat.", returncode=2) from error


def _drain(directory: Path, until: float, step: terminal.Step) -> tuple[int, Exception | None]:
    """Drain until nothing is left or the time is over; return how many went, and why the last try failed."""
    moved = 0

    def count(number: int) -> None:
        nonlocal moved
        moved += number
        step(f"{number} brought to RabbitMQ", number)

    while True:
        failure: Exception | None = None
        try:
            spools.drain(directory, count)
        except (SpoolFull, SpoolFailed, *queues.OUTAGES) as error:
            failure = error
        if time.monotonic() >= until or _waiting(directory) == 0:
            return moved, failure
        time.sleep(PAUSE)
