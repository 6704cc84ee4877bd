"""manage.py rehearse"""

import asyncio
import json
import secrets
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from rich.console import Console

from dashboard import terminal
from dashboard.proof import burst, rehearsal
from dashboard.proof.burst import Burst, Plan
from dashboard.proof.rehearsal import Arrival
from dashboard.proof.sources import QueueNotRead
from landing.keeping import queues
from lib.spool import SpoolFailed
from logs.utils import StoreUnavailable

EXAMPLES = """
examples:
  manage.py rehearse --rate 500 --count 10000
  manage.py rehearse --rate 2000 --count 100000 --url https://campaign.example --json
  manage.py rehearse --clean

It sends real requests and takes its rows away afterwards. Run it on a machine whose settings name
the same databases as the web's, and which TRUSTED_PROXIES holds, or with RATE_LIMIT=off: all comes
from one address. To http://web:8000, a machine's name, it names the first of ALLOWED_HOSTS.

exit codes: 0 all that was accepted is stored once, 1 it is not, 2 there was no full rehearsal
"""


class Command(terminal.ExplainedCommand):
    """Sends a synthetic burst, reconciles it and removes it."""

    help = "Rehearse the wave: send synthetic registrations, and prove that each accepted one is stored once."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the size of the wave."""
        port = settings.PORT
        parser.add_argument("--rate", type=float, default=100.0, help="registrations a second (100)")
        parser.add_argument("--count", type=int, default=1000, help="registrations in all (1000)")
        parser.add_argument("--url", default=f"http://127.0.0.1:{port}", help="the web server (%(default)s)")
        parser.add_argument(
            "--within", type=float, default=120.0, help="seconds to wait for the last row (120)"
        )
        parser.add_argument("--keep", action="store_true", help="leave the synthetic rows where they are")
        parser.add_argument("--dry-run", action="store_true", help="show what would be sent")
        parser.add_argument("--clean", action="store_true", help="only remove what earlier rehearsals left")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rehearse, and say how it went."""
        terminal.logs_to_stderr()
        plan = rehearsal.plan(options["url"], options["rate"], options["count"], secrets.token_hex(4))
        _check(plan)
        try:
            if options["clean"]:
                self._clean()
            elif options["dry_run"]:
                self._show(plan)
            else:
                self._rehearse(plan, options)
        except (StoreUnavailable, DatabaseError, SpoolFailed, QueueNotRead, *queues.OUTAGES) as error:
            raise CommandError(
                f"A store does not answer: {error!r}\nWhat was sent is removed later by: manage.py rehearse --clean",
                returncode=2,
            ) from error

    def _clean(self) -> None:
        removed = rehearsal.clean(set())
        self.stdout.write(f"{removed} synthetic registrations removed.")
        if left := rehearsal.leftovers():
            raise CommandError(
                f"{left} beginning with {rehearsal.PREFIX} bear no rehearsal's mark; they stay."
            )

    def _show(self, plan: Plan) -> None:
        self.stdout.write(
            f"{plan.count} requests in {plan.count / plan.rate:.1f} s to {plan.url}, "
            f"phones {plan.phone(0)} to {plan.phone(plan.count - 1)}; the first:\n"
        )
        self.stdout.write(plan.request(0).decode().replace("\r\n", "\n"))

    def _rehearse(self, plan: Plan, options: dict[str, Any]) -> None:
        if left := rehearsal.leftovers():
            raise CommandError(
                f"{left} registrations begin with {rehearsal.PREFIX}, where only synthetic ones may be.\n"
                "If an earlier rehearsal left them: manage.py rehearse --clean",
                returncode=2,
            )
        sent = _send(plan)
        removed = 0
        # Ctrl-C while it waits, too, removes what was sent: synthetic rows must not stay among real ones.
        try:
            with Console(stderr=True).status("Waiting for the last row…"):
                arrived = rehearsal.arrival(sent.accepted, options["within"])
        finally:
            if not options["keep"]:
                removed = rehearsal.clean(set(sent.accepted))
        facts = _facts(plan, sent, arrived) | {"removed": removed}
        if options["json"]:
            self.stdout.write(json.dumps(facts))
        else:
            for name, value in facts.items():
                self.stdout.write(f"{name:16} {value}")
        _judge(sent, arrived)


def _check(plan: Plan) -> None:
    if not 0 < plan.count <= rehearsal.MOST or plan.rate <= 0:
        raise CommandError(f"--count is 1 to {rehearsal.MOST}, and --rate above 0.", returncode=2)
    if plan.address.scheme not in ("http", "https") or not plan.address.hostname:
        raise CommandError(f"--url {plan.url} is no URL such as http://127.0.0.1:8000", returncode=2)


def _send(plan: Plan) -> Burst:
    try:
        with terminal.progress("sending", plan.count, lambda _: None) as step:
            return asyncio.run(burst.send(plan, lambda: step("")))
    except OSError as error:
        raise CommandError(
            f"Nobody answers at {plan.url}: {error}\nIs the web server up? Say where with --url.",
            returncode=2,
        ) from error


def _facts(plan: Plan, sent: Burst, arrived: Arrival) -> dict[str, Any]:
    report = arrived.report
    return {
        "run": plan.user_agent,
        "sent": sent.sent,
        "answers": dict(sent.answers),
        "accepted": len(sent.accepted),
        "accepted/s": round(sent.per_second, 1),
        "p50 ms": round(sent.percentile(0.5), 1),
        "p99 ms": round(sent.percentile(0.99), 1),
        "max ms": round(sent.percentile(1), 1),
        "stored": report.stored,
        "stored after s": round(arrived.seconds, 1),
        "pending": report.queued.count + report.spooled.count,
        "dead": report.dead.count,
        "lost": report.lost.count,
        "duplicated": report.duplicated.count,
        "recovered": report.recovered.count,
        "undocumented": report.undocumented.count,
    }


def _judge(sent: Burst, arrived: Arrival) -> None:
    report = arrived.report
    if sent.limited:
        limit = settings.RATE_LIMIT
        rate = f"{limit.count} in {limit.period} s" if limit else "off here, not at the web"
        raise CommandError(
            f"The rate limit ({rate}) refused requests, so the rehearsal ended early. Start the web with "
            "RATE_LIMIT=off, or put this machine's address into TRUSTED_PROXIES.",
            returncode=2,
        )
    if sent.accepted and not report.stored:
        sys.stderr.write(
            "No row arrived: does the web at this URL use the same databases, and do workers run?\n"
        )
    wrong = report.damage + report.dead.count
    pending = report.queued.count + report.spooled.count
    if pending:
        sys.stderr.write(f"{pending} are still on their way; remove them later: manage.py rehearse --clean\n")
    if wrong or pending:
        raise CommandError("Not everything that was accepted is stored once.", returncode=1)
    if not sent.accepted:
        raise CommandError(f"Nothing was accepted: {dict(sent.answers)}", returncode=2)
