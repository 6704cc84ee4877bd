"""manage.py settings_reference"""

import dataclasses
import json
from argparse import ArgumentParser
from itertools import groupby
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.env import VARIABLES

EXAMPLE, PAGE = Path(".env.example"), Path("docs/configuration.md")


class Command(BaseCommand):
    """Writes the settings' documentation from the code."""

    help = (
        "Print .env.example, or write it and docs/configuration.md (--write), from config/settings.py. "
        "Example: manage.py settings_reference --json. Exit code 1 if a file cannot be written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--write", action="store_true", help="write both files")
        how.add_argument("--json", action="store_true", help="print one JSON array")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["json"]:
            self.stdout.write(json.dumps([dataclasses.asdict(one) for one in VARIABLES.values()]))
        elif options["write"]:
            for path, text in ((EXAMPLE, example()), (PAGE, page())):
                self._write(path, text)
        else:
            self.stdout.write(example())

    def _write(self, path: Path, text: str) -> None:
        try:
            (settings.BASE_DIR / path).write_text(text, "utf-8")
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error}") from error
        self.stdout.write(f"Wrote {path}")


def example() -> str:
    """Return .env.example: every setting with its meaning and default, nothing switched on."""
    lines = [
        "# Every setting of Breakwater, with its default. Written by `make fix` from config/settings.py."
    ]
    lines += ["# NAME_FILE=/path works for each of them: the value is read from that file.", ""]
    for title, variables in groupby(VARIABLES.values(), key=lambda variable: variable.section):
        lines += [f"## {title}", ""]
        for variable in variables:
            lines += [f"# {variable.meaning}", f"# {variable.name}={variable.default}", ""]
    return "\n".join(lines)


def page() -> str:
    lines = ["# Configuration", "", "Written by `make fix` from `config/settings.py`.", ""]
    lines += [
        "Every setting is an environment variable. `NAME_FILE` names a file that holds the value instead,"
    ]
    lines += ["as container secrets are handed over. Empty means the default.", ""]
    for title, variables in groupby(VARIABLES.values(), key=lambda variable: variable.section):
        lines += [f"## {title}", "", "| Variable | Default | Meaning |", "| --- | --- | --- |"]
        lines += [
            f"| `{one.name}` | {f'`{one.default}`' if one.default else ''} | {one.meaning} |"
            for one in variables
        ]
        lines += [""]
    return "\n".join(lines)
