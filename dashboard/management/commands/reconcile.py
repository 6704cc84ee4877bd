"""manage.py reconcile"""

import dataclasses
import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from rich.console import Console

from dashboard import terminal
from dashboard.proof import ledger
from dashboard.proof.ledger import Question, Report, Tally
from dashboard.proof.sources import QueueNotRead
from dashboard.proof.witness import Witness
from landing.keeping import queues
from lib import calendars
from lib.clock import now
from lib.spool import SpoolFailed
from logs.utils import StoreUnavailable

EXAMPLES = """
examples:
  docker compose logs --no-log-prefix nginx | docker compose run --rm -T toolbox reconcile --accepted -
  manage.py reconcile --accepted access.log --since 24h --json
  manage.py reconcile --accepted access.log --spooled web-1.ids --spooled web-2.ids
  manage.py reconcile --since 7d --repair

It sees the spools that are mounted here. On each other host of a web run `manage.py spooled > FILE`
before, and name the file with --spooled. Ids are told from foreign ones by SECRET_KEY: after a change of
it, look no further back than the change. Without --accepted there is no witness: what left no
trace in any store, such as a purged queue, cannot be missed.

exit codes: 0 nothing is wrong, 1 something is, 2 it cannot be said
"""

MEANINGS = {
    "lost": "accepted, and nowhere",
    "duplicated": "one acceptance, stored more than once",
    "unexpected": "stored, and never given out",
    "undocumented": "in PostgreSQL, not in MongoDB: --repair writes what is known",
    "orphans": "registrations without a submission",
    "repaired": "documents written again",
    "recovered": "stored, though no 202 was seen: allowed",
    "queued": "pending in the queue",
    "spooled": "pending in a spool",
    "parked": "in PostgreSQL, pending for MongoDB",
    "dead": "dead letters: manage.py dead_letters",
    "excused": "removed on purpose",
}


class Command(terminal.ExplainedCommand):
    """Compares what a witness saw accepted with all stores."""

    help = "Prove that every accepted registration is stored once, or say which is not."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the witness, the time, and what to do."""
        parser.add_argument(
            "--accepted",
            metavar="FILE",
            help="the witness: nginx's JSON access log, a driver's JSON lines, or one id a line; .gz and - too",
        )
        parser.add_argument(
            "--attempted", metavar="FILE", help="every id that was sent; others are unexpected"
        )
        parser.add_argument("--excused", metavar="FILE", help="ids that were discarded or erased on purpose")
        parser.add_argument(
            "--spooled",
            metavar="FILE",
            action="append",
            default=[],
            help="what `manage.py spooled` printed on another host of a web; once for each host",
        )
        parser.add_argument(
            "--since", type=_time, metavar="T", help="only rows accepted since: 24h, 7d, 2026-03-21T12:00Z"
        )
        parser.add_argument("--until", type=_time, metavar="T", help="only rows accepted before")
        parser.add_argument(
            "--settle", type=float, default=30.0, metavar="SECONDS", help="wait for what is on its way (30)"
        )
        parser.add_argument("--repair", action="store_true", help="write the documents that MongoDB lacks")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, print, and fail if something is wrong."""
        terminal.logs_to_stderr()
        if not (options["accepted"] or options["since"]):
            raise CommandError(
                "Compare with what? Give --accepted FILE, or --since T (see --help).", returncode=2
            )
        witnesses = [
            Witness(options[name], only_accepted=name == "accepted") if options[name] else None
            for name in ("accepted", "attempted", "excused")
        ]
        elsewhere = [Witness(path, only_accepted=False) for path in options["spooled"]]
        report = _reconcile(witnesses, elsewhere, options)
        for witness in [*witnesses, *elsewhere]:
            if witness and witness.unreadable:
                self.stderr.write(f"{witness.path}: {witness.unreadable} lines hold no request_id; left out")
        if options["json"]:
            self.stdout.write(json.dumps(dataclasses.asdict(report) | {"ok": not report.damage}))
        else:
            self._print(report)
        if report.damage:
            raise CommandError(f"{report.damage} things are wrong.", returncode=1)

    def _print(self, report: Report) -> None:
        if report.witnessed:
            self.stdout.write(f"accepted     {report.accepted:9}")
        self.stdout.write(f"stored       {report.stored:9}")
        if not report.documents_kept:
            self.stdout.write("documents are not kept here (LOGS_STORE): only PostgreSQL was compared")
        for name, meaning in MEANINGS.items():
            tally: Tally = getattr(report, name)
            if tally.count or name in ("lost", "duplicated", "unexpected"):
                self.stdout.write(f"{name:12} {tally.count:9}  {meaning}")
                for one in tally.ids:
                    self.stdout.write(f"    {one}")
                if tally.count > len(tally.ids):
                    self.stdout.write(f"    … and {tally.count - len(tally.ids)} more")
        if report.in_hand:
            self.stdout.write(
                f"{report.in_hand} messages are in workers' hands: what is lost may be among them. "
                "Repeat when they are done."
            )


def _reconcile(witnesses: list[Witness | None], elsewhere: list[Witness], options: dict[str, Any]) -> Report:
    accepted, attempted, excused = (witness.ids() if witness else None for witness in witnesses)
    question = Question(
        accepted,
        attempted,
        excused or (),
        chain.from_iterable(host.ids() for host in elsewhere),
        options["since"],
        options["until"],
        options["settle"],
    )
    try:
        with Console(stderr=True).status("Comparing…"):
            return ledger.reconcile(question, repair=options["repair"])
    except QueueNotRead as error:
        raise CommandError(
            f"Nothing can be said yet: {error}.\nStart the workers, or wait for them, and repeat.",
            returncode=2,
        ) from error
    except ValueError as error:
        raise CommandError(f"That is no witness: {error}", returncode=2) from error
    except (StoreUnavailable, DatabaseError, SpoolFailed, *queues.OUTAGES) as error:
        raise CommandError(
            f"A store or a file cannot be read: {error!r}\nmanage.py doctor says more.", returncode=2
        ) from error


def _time(text: str) -> datetime:
    try:
        age = calendars.ago(text)
        time = datetime.fromisoformat(text) if age is None else now() - age
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is no time such as 24h, 7d or 2026-03-21T12:00Z") from None
    time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)  # as MongoDB keeps it
