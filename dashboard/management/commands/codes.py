"""manage.py codes"""

import asyncio
import getpass
import json
from argparse import ArgumentParser
from datetime import datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from confirmations import messages, switches
from confirmations.claims import Errand
from courier import addresses, gateway
from dashboard import terminal
from dashboard.desk import codes
from landing.desk import times
from lib import phones
from lib.clock import now

EXAMPLES = """
examples:
  manage.py codes status --json
  manage.py codes report --day 2026-11-27
  manage.py codes off --reason "the gateway sends each code twice"
  manage.py codes on
  manage.py codes test 09123456789 --dry-run

`off` stops within a second; what is on its way still arrives. People keep their place in the line, and their
registrations. `test` sends one real SMS with a code that confirms nothing: run it where the courier runs, which has
the gateway's key. Look at the phone: is the last line "@host #123456", does the browser offer the code, who is the
sender, does it end with «لغو ۱۱»?

exit codes: 0 done; 1 no SMS went out, or a value is wrong; 2 a server does not answer
"""
TEST_CODE = "123456"


class Command(terminal.ExplainedCommand):
    """Shows the line for codes, switches them off and on, sends a test."""

    help = "Show how codes by SMS are, switch them off and on, send one to try the gateway."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        shared = ArgumentParser(add_help=False)
        shared.add_argument("--json", action="store_true", help="print one JSON object")
        acts = parser.add_subparsers(dest="act", required=True, metavar="status | report | off | on | test")
        acts.add_parser("status", parents=[shared], help="the line, the pace, the budget, the share typed")
        report = acts.add_parser("report", parents=[shared], help="what became of the codes of one day")
        report.add_argument("--day", help="such as 2026-11-27 or 1405/09/06; default: today")
        off = acts.add_parser("off", parents=[shared], help="send no codes until `on`")
        off.add_argument("--reason", required=True, help="for those who look later")
        on = acts.add_parser("on", parents=[shared], help="send codes again, in the order of the line")
        on.add_argument("--reason", default="", help="for those who look later")
        test = acts.add_parser(
            "test", parents=[shared], help="send one SMS with a code that confirms nothing"
        )
        test.add_argument("phone", help="your own mobile number")
        test.add_argument("--language", choices=("fa", "en"), default="fa")
        test.add_argument("--dry-run", action="store_true", help="only say what would be sent")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked, and print it."""
        terminal.logs_to_stderr()
        try:
            told = getattr(self, f"_{options['act']}")(options)
        except DatabaseError as error:
            raise CommandError(f"PostgreSQL does not answer: {error}", returncode=2) from None
        if options["json"]:
            self.stdout.write(json.dumps(told, ensure_ascii=False))
        else:
            self.stdout.write("\n".join(f"{name:14} {_said(value)}" for name, value in told.items()))

    def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        return codes.figures()

    def _report(self, options: dict[str, Any]) -> dict[str, Any]:
        zone = settings.DISPLAY_TIME_ZONE
        try:
            moment = times.read(options["day"]) if options["day"] else now()
        except ValueError:
            raise CommandError(f"{options['day']} is no day. Write it as 2026-11-27 or 1405/09/06.") from None
        start = datetime.combine(moment.astimezone(zone).date(), time(), zone)
        return {"day": start.date().isoformat(), **codes.typed(start, start + timedelta(days=1))}

    def _off(self, options: dict[str, Any]) -> dict[str, Any]:
        switches.turn(is_off=True, reason=options["reason"], by=getpass.getuser())
        return {"is_on": False, "reason": options["reason"]}

    def _on(self, options: dict[str, Any]) -> dict[str, Any]:
        switches.turn(is_off=False, reason=options["reason"], by=getpass.getuser())
        return {"is_on": True, "reason": options["reason"]}

    def _test(self, options: dict[str, Any]) -> dict[str, Any]:
        try:
            phone = phones.normalise(options["phone"])
        except phones.InvalidPhone as error:
            raise CommandError(f"That is no phone number: {error.reason}") from None
        host = next((one for one in settings.ALLOWED_HOSTS if "." in one), "localhost")
        text = messages.text(options["language"], host, TEST_CODE)
        told = {"to": phone, "text": text, "parts": messages.parts(text)}
        if options["dry_run"]:
            return told | {"outcome": "not sent (--dry-run)"}
        errand = Errand(0, "test", phone, TEST_CODE, text, options["language"], host, messages.parts(text))
        outcome = asyncio.run(_send(errand))
        if outcome.kind not in ("accepted", "unknown"):
            raise CommandError(f"{outcome.gateway} sent nothing: {outcome.kind}, {outcome.reason}")
        return told | {"outcome": outcome.kind, "id": outcome.message_id, "reason": outcome.reason}


async def _send(errand: Errand) -> Any:
    try:
        made = gateway.named(settings.CODE_GATEWAY[0] if settings.CODE_GATEWAY else "off")
    except (gateway.UnfitGateway, addresses.NotAllowed) as error:
        raise CommandError(str(error)) from None
    async with gateway.open_client() as client:
        return await made.send(client, errand)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {one}" for name, one in value.items())
    return "-" if value is None else str(value)
