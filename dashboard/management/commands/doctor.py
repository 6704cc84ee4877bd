"""manage.py doctor"""

import dataclasses
import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from rich.table import Table
from rich.text import Text

from dashboard import terminal
from dashboard.desk import doctor

STYLES = {"ok": "green", "warning": "yellow", "fault": "red"}


class Command(BaseCommand):
    """Examines the settings and everything that Breakwater leans on."""

    help = (
        "Examine settings, servers, queues, spool, and whether all processes run with the same settings. "
        "Example: manage.py doctor --json. Exit code 1 if there is a fault."
    )
    requires_system_checks: list[str] = []  # it shows them itself, with the rest

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON array")

    def handle(self, *args: Any, **options: Any) -> None:
        terminal.logs_to_stderr()
        findings = list(doctor.examine())
        if options["json"]:
            self.stdout.write(json.dumps([dataclasses.asdict(finding) for finding in findings]))
        else:
            self._print(findings)
        if any(finding.verdict == "fault" for finding in findings):
            sys.exit(1)

    def _print(self, findings: list[doctor.Finding]) -> None:
        table = Table("part", "", "what it saw", "next step", box=None, header_style="bold")
        for finding in findings:
            mark = Text(finding.verdict, STYLES[finding.verdict])
            table.add_row(finding.part, mark, finding.saw, finding.hint)
        self.stdout.write(terminal.rendered(table))
