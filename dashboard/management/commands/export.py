"""manage.py export"""

import json
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from campaigns.models import NoSuchCampaign
from dashboard import terminal
from dashboard.desk import export
from dashboard.desk.export import Question
from landing.desk import times
from landing.models import Registration
from lib import calendars
from lib.tables import FORMATS
from lib.whole_file import whole_file
from logs.utils import StoreUnavailable

EXAMPLES = f"""
examples:
  manage.py export --format xlsx --output registrations.xlsx
  manage.py export --format csv --since 2026-11-20 --until 2026-11-24 --output week.csv
  manage.py export --format csv --since 1405/08/01 --status pending --referrer --output aban.csv
  manage.py export --format xlsx --campaign nowruz --output nowruz.xlsx
  manage.py export --format jsonl --since 24h | gzip > day.jsonl.gz

--since and --until ask when a phone was first seen: from one moment to before another. A time without
a zone is one of DISPLAY_TIME_ZONE (now {settings.DISPLAY_TIME_ZONE.key}), a day alone is its midnight, and
Jalali days are understood where CALENDAR=jalali (now {settings.CALENDAR}).
csv and xlsx write times in that zone and calendar; jsonl writes them as ISO 8601 with their offset.
In csv a phone is grouped, 0912-345-6789, since Excel would take bare digits for a number and drop the
zero; xlsx and jsonl hold 09123456789. In csv a cell that could begin a formula begins with an apostrophe.

The file appears under its name when it is whole. Without --output everything goes to standard output;
then only the exit code tells that it is whole.

exit codes: 0 the file is whole, 1 refused (the file is there, a time is wrong), 2 a store or the disk failed
"""

EVERY = 20_000
"""Rows between two lines about the progress."""


class Command(terminal.ExplainedCommand):
    """Writes registrations into a file."""

    help = "Export registrations as CSV, XLSX or JSON lines, however many they are."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the format, the choice, and where it goes."""
        parser.add_argument("--format", required=True, choices=sorted(FORMATS), help="what to write")
        parser.add_argument("--since", metavar="T", help="first seen at this time or later: 24h, 7d, a date")
        parser.add_argument("--until", metavar="T", help="first seen before this time")
        parser.add_argument("--status", choices=Registration.Status.values, default="", help="only these")
        parser.add_argument(
            "--campaign",
            default="",
            metavar="SLUG",
            help="only this campaign, with a column for each of its fields",
        )
        parser.add_argument(
            "--referrer",
            action="store_true",
            help="one more column: where the first submission came from; MongoDB is asked, which takes longer",
        )
        parser.add_argument("--output", metavar="FILE", type=_path, help="the file (-, standard output)")
        parser.add_argument("--force", action="store_true", help="replace the file if it is there")
        parser.add_argument(
            "--json",
            action="store_true",
            help="report as one JSON object, on standard error if the rows go to standard output; "
            'a failure is {"error": …}, always on standard error',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write, and say what was written."""
        terminal.logs_to_stderr()
        output: Path | None = options["output"]
        if not output and options["format"] == "xlsx" and sys.stdout.isatty():
            raise CommandError("A workbook is no text for a terminal: add --output FILE.")
        question = Question(
            options["format"],
            _time(options["since"]),
            _time(options["until"]),
            options["status"],
            options["referrer"],
            options["campaign"],
        )
        started = time.monotonic()
        try:
            with _orderly_end():
                question = _asked(question)
                rows = self._write(question, output, overwrite=options["force"])
        except CommandError as error:
            if options["json"]:
                self.stderr.write(json.dumps({"error": str(error).partition("\n")[0]}))
            raise
        self._report(question, output, rows, time.monotonic() - started, as_json=options["json"])

    def _write(self, question: Question, output: Path | None, *, overwrite: bool) -> int:
        target = whole_file(output, overwrite=overwrite) if output else nullcontext(_standard_output())
        try:
            with target as file:
                total = export.count(question)
                with terminal.progress("exporting", total, self.stderr.write) as step:
                    return export.write(question, file, _in_strides(step, total))
        except FileExistsError as error:
            raise CommandError(f"{output} is there already: --force replaces it.") from error
        except BrokenPipeError as error:
            raise CommandError("Who read the rows has gone; they are not whole.", returncode=2) from error
        except OSError as error:
            raise CommandError(f"The file cannot be written: {error}", returncode=2) from error
        except (DatabaseError, StoreUnavailable) as error:
            raise CommandError(
                f"A store does not answer: {error}\nThere is no file. manage.py doctor says more.",
                returncode=2,
            ) from error

    def _report(
        self, question: Question, output: Path | None, rows: int, seconds: float, *, as_json: bool
    ) -> None:
        out = self.stdout if output else self.stderr
        facts = {
            "rows": rows,
            "columns": question.columns,
            "format": question.format,
            "output": str(output) if output else None,
            "bytes": output.stat().st_size if output else None,
            "since": question.since and question.since.isoformat(),
            "until": question.until and question.until.isoformat(),
            "status": question.status or None,
            "campaign": question.campaign or None,
            "seconds": round(seconds, 1),
        }
        if as_json:
            out.write(json.dumps(facts))
            return
        zone = settings.DISPLAY_TIME_ZONE
        since, until = (
            time and calendars.show(time, settings.CALENDAR, zone)
            for time in (question.since, question.until)
        )
        window = f", first seen{f' from {since}' if since else ''}{f' to before {until}' if until else ''}"
        chosen = f"{window} ({zone.key})" if since or until else ""
        out.write(f"{rows:,} registrations{chosen} in {seconds:.1f} s: {output or 'standard output'}")


def _asked(question: Question) -> Question:
    try:
        return export.asked(question)
    except NoSuchCampaign as error:
        raise CommandError(str(error)) from None
    except DatabaseError as error:
        raise CommandError(f"A store does not answer: {error}", returncode=2) from error


def _path(text: str) -> Path | None:
    return None if text == "-" else Path(text)


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return times.read(text)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _in_strides(step: terminal.Step, total: int) -> Callable[[int], None]:
    """Return a function that takes each page's rows and speaks up now and then."""
    done = waiting = 0

    def count(rows: int) -> None:
        nonlocal done, waiting
        done, waiting = done + rows, waiting + rows
        if waiting >= EVERY or done >= total:
            step(f"{done:,} of {total:,} rows", waiting)
            waiting = 0

    return count


def _standard_output() -> IO[bytes]:
    return sys.stdout.buffer


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Make of a polite `kill` an exception, so that the temporary file goes away."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
