"""manage.py erase"""

import json
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from campaigns.models import NoSuchCampaign
from dashboard import terminal
from dashboard.desk import persons
from dashboard.desk.persons import Erased
from landing.keeping import queues
from landing.storing import erasures
from landing.storing.erasures import Mark
from lib import phones
from logs.utils import StoreUnavailable

EXAMPLES = """
examples:
  manage.py erase 09123456789 --dry-run
  manage.py erase 09123456789 --yes
  manage.py erase 09123456789 --campaign nowruz
  manage.py erase --list > erasures.jsonl
  manage.py erase --again erasures.jsonl --yes

It cannot be undone. Every registration of the number goes, with all that belongs to it, from PostgreSQL, the request log,
Redis, dead letters, and the files of all exports. What of it still waits in a queue, a spool or a backup is not stored
any more, wherever it comes from. A later registration of the same person is new.

Keep what --list prints beside your backups (it names nobody), and after a restore run --again with it.

exit codes: 0 done; 1 a value is wrong, or nobody said yes; 2 a server does not answer: run it again
"""


class Command(terminal.ExplainedCommand):
    """Erases a person."""

    help = "Erase everything that is kept of one person."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the person, and how sure the operator is."""
        parser.add_argument("phone", nargs="?", help="the phone number, in any spelling")
        parser.add_argument(
            "--campaign", default="", metavar="SLUG", help="only the registration in this campaign"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say how much there is")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument(
            "--settle",
            type=float,
            default=60.0,
            metavar="SECONDS",
            help="wait for what workers had in hand (60)",
        )
        parser.add_argument("--list", action="store_true", help="print all erasures, a line of JSON each")
        parser.add_argument("--again", metavar="FILE", help="erase whom these lines mean, after a restore")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked."""
        terminal.logs_to_stderr()
        if bool(options["phone"]) + bool(options["list"]) + bool(options["again"]) != 1:
            raise CommandError("Give a phone number, --list or --again FILE (see --help).")
        try:
            if options["list"]:
                self._list()
            elif options["again"]:
                self._again(_marks_in(options["again"]), options)
            else:
                self._erase(_phone(options["phone"]), options)
        except NoSuchCampaign as error:
            raise CommandError(str(error)) from None
        except (StoreUnavailable, DatabaseError, *queues.OUTAGES) as error:
            raise CommandError(f"A server does not answer: {error!r}\nRun it again.", returncode=2) from error

    def _list(self) -> None:
        for mark in erasures.marks():
            self.stdout.write(json.dumps(mark.to_line()))

    def _erase(self, phone_number: str, options: dict[str, Any]) -> None:
        registrations, submissions = erasures.found(phone_number, options["campaign"])
        there = {"registrations": len(registrations), "submissions": len(submissions)}
        if options["dry_run"]:
            self._say(there | {"erased": False}, options)
            return
        masked = phones.mask(phone_number)
        if not (options["yes"] or _agrees(f"Erase {masked}: {there}? It cannot be undone. [y/N] ")):
            raise CommandError("Nothing was erased.")
        mark = erasures.mark_of(phone_number, options["campaign"])
        erased = persons.erase(phone_number, mark)
        more = self._settle([(phone_number, mark)], options["settle"])
        self._say(_told(erased) | {"afterwards": more, "erased": True, "stays": persons.STAYS}, options)

    def _again(self, marks: list[Mark], options: dict[str, Any]) -> None:
        known = list(erasures.phones_of(marks))
        if options["dry_run"] or not known:
            self._say({"people": len(known), "erased": False}, options)
            return
        if not (options["yes"] or _agrees(f"Erase {len(known)} people again? [y/N] ")):
            raise CommandError("Nothing was erased.")
        with terminal.progress("Erasing", len(known), self.stderr.write) as step:
            for phone_number, mark in known:
                persons.erase(phone_number, mark)
                step("one person")
        self._settle(known, options["settle"])
        self._say({"people": len(known), "erased": True}, options)

    def _settle(self, done: list[tuple[str, Mark]], seconds: float) -> int:
        """Wait, and delete what a worker that stood between two stores has written late."""
        if seconds:
            self.stderr.write(f"Waiting {seconds:.0f} s for what workers had in hand…")
            time.sleep(seconds)
        return sum(persons.erase_again(phone_number, mark) for phone_number, mark in done)

    def _say(self, told: dict[str, Any], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(told))
            return
        for name, value in told.items():
            rows = value.items() if isinstance(value, dict) else [("", value)]
            for what, text in rows:
                self.stdout.write(f"{name:14} {what}{': ' if what else ''}{text}")


def _phone(typed: str) -> str:
    try:
        return phones.normalise(typed)
    except phones.InvalidPhone as error:
        raise CommandError(f"That is no phone number: {error.reason}") from None


def _marks_in(path: str) -> list[Mark]:
    marks: list[Mark] = []
    try:
        lines = Path(path).read_text("utf-8").splitlines()
        marks.extend(Mark.from_line(json.loads(line)) for line in lines)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(f"{path}, line {len(marks) + 1}, is not what --list printed: {error}") from None
    return marks


def _agrees(question: str) -> bool:
    if not sys.stdin.isatty():
        raise CommandError("Say --yes, or run it on a terminal. --dry-run shows how much there is.")
    return input(question).strip().lower() in ("y", "yes")


def _told(erased: Erased) -> dict[str, Any]:
    names = ("registrations", "submissions", "documents", "exports", "dead_letters")
    return {name: getattr(erased, name) for name in names}
