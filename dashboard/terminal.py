"""How operators' commands speak: results on stdout, all else on stderr."""

import logging
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lib.log_thread import ThreadedHandler


class ExplainedCommand(BaseCommand):
    """A command whose --help ends with `examples`, their lines as they are."""

    examples = ""

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        """Return Django's parser with them."""
        options |= {"epilog": self.examples, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **options)


def logs_to_stderr() -> None:
    """Keep log lines out of what a command prints, so that --json is JSON and nothing else."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, ThreadedHandler) and handler.stream is sys.stdout:
            handler.stream = sys.stderr


def rendered(table: Table) -> str:
    """Return a table as text; off a terminal it is wide, so that no id is broken in two.

    Cells hold what strangers sent: square brackets in them are no markup.
    """
    console = Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


class Step(Protocol):
    """Tells that some have been done, with a line that says which."""

    def __call__(self, line: str, count: int = 1) -> None:
        """Say the line, or move the bar."""


@contextmanager
def progress(title: str, total: int | None, say: Callable[[str], object]) -> Iterator[Step]:
    """Give a function to call at each step: it moves a bar on a terminal, and says its line elsewhere."""
    if not sys.stderr.isatty():

        def tell(line: str, count: int = 1) -> None:
            say(line)

        yield tell
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda line, count=1: bar.advance(task, count)
