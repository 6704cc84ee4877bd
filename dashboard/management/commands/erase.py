"""manage.py erase"""

import json
import sys
import time
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from campaigns.models import NoSuchCampaign
from dashboard import terminal
from dashboard.desk import persons
from dashboard.models import ErasureRequest
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
  manage.py erase --asked --yes
  manage.py erase --list > erasures.jsonl
  manage.py erase --again erasures.jsonl --yes

It cannot be undone. Every registration of the number goes, with all that belongs to it, from PostgreSQL, the request log,
Redis, dead letters, and the files of all exports. What of it still waits in a queue, a spool or a backup is not stored
any more, wherever it comes from. A later registration of the same person is new.

--asked erases those whom staff asked to erase in the admin, which may delete nothing by itself: run it by cron.
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
        parser.add_argument(
            "--asked", action="store_true", help="erase whom staff asked to erase in the admin"
        )
        parser.add_argument("--list", action="store_true", help="print all erasures, a line of JSON each")
        parser.add_argument("--again", metavar="FILE", help="erase whom these lines mean, after a restore")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked."""
        terminal.logs_to_stderr()
        if sum(bool(options[one]) for one in ("phone", "asked", "list", "again")) != 1:
            raise CommandError("Give a phone number, --asked, --list or --again FILE (see --help).")
        try:
            if options["list"]:
                self._list()
            elif options["again"]:
                self._erase_all(list(erasures.phones_of(_marks_in(options["again"]))), options)
            elif options["asked"]:
                asked = ErasureRequest.objects.filter(erased_at=None).order_by("pk")
                self._erase_all([(one.phone_number, None) for one in asked], options)
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
        there = asdict(persons.count(phone_number, options["campaign"]))
        if options["dry_run"]:
            self._say(there | {"erased": False, "stays": persons.STAYS}, options)
            return
        masked = phones.mask(phone_number)
        if not (options["yes"] or _agrees(f"Erase {masked}: {there}? It cannot be undone. [y/N] ")):
            raise CommandError("Nothing was erased.")
        mark = erasures.mark_of(phone_number, options["campaign"])
        erased = persons.erase(phone_number, mark)
        more = self._settle([(phone_number, mark)], options["settle"])
        self._say(asdict(erased) | {"afterwards": more, "erased": True, "stays": persons.STAYS}, options)

    def _erase_all(self, people: list[tuple[str, Mark | None]], options: dict[str, Any]) -> None:
        """Erase people, each as of the mark, or as of now."""
        if options["dry_run"] or not people:
            self._say({"people": len(people), "erased": False}, options)
            return
        if not (options["yes"] or _agrees(f"Erase {len(people)} people? It cannot be undone. [y/N] ")):
            raise CommandError("Nothing was erased.")
        done = []
        with terminal.progress("Erasing", len(people), self.stderr.write) as step:
            for phone_number, told in people:
                mark = told or erasures.mark_of(phone_number, "")
                persons.erase(phone_number, mark)
                done.append((phone_number, mark))
                step("one person")
        self._settle(done, options["settle"])
        self._say({"people": len(people), "erased": True}, options)

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
