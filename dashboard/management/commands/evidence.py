"""manage.py evidence"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from dashboard import terminal
from dashboard.desk import evidence
from lib import phones
from logs.utils import StoreUnavailable

EXAMPLES = """
examples:
  manage.py evidence 09123456789
  manage.py evidence 09123456789 --campaign nowruz --json > evidence.json
  manage.py evidence --verify evidence.json

The seal is made with SECRET_KEY: after a change of it, what was printed before cannot be verified.

exit codes: 0 there is evidence, or it is genuine; 1 there is none, or it was changed; 2 a store does not answer
"""


class Command(terminal.ExplainedCommand):
    """Prints the consents of a phone number."""

    help = "Print who agreed to what: text, version, time, address and language of each consent, sealed."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("phone", nargs="?", help="a phone number in any spelling")
        parser.add_argument("--campaign", default="", metavar="SLUG", help="only this campaign")
        parser.add_argument(
            "--verify", type=Path, metavar="FILE", help="say whether a file is as it was printed"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        terminal.logs_to_stderr()
        if options["verify"]:
            self._verify(options)
            return
        try:
            phone_number = phones.normalise(options["phone"])
            found = evidence.of(phone_number, options["campaign"])
        except phones.InvalidPhone as error:
            raise CommandError(
                f"That is no phone number ({error.reason}), and there is no --verify."
            ) from None
        except (DatabaseError, StoreUnavailable) as error:
            raise CommandError(f"A store does not answer: {error}", returncode=2) from error
        if not found["consents"]:
            raise CommandError("There is no consent of this number.")
        if options["json"]:
            self.stdout.write(
                json.dumps({"evidence": found, "seal": evidence.seal(found)}, ensure_ascii=False)
            )
            return
        for consent in found["consents"]:
            for name, value in consent.items():
                self.stdout.write(f"{name:13} {'(never published here)' if value is None else value}")
            self.stdout.write("")
        self.stdout.write(f"printed_at    {found['printed_at']}\nseal          {evidence.seal(found)}")

    def _verify(self, options: dict[str, Any]) -> None:
        try:
            told = json.loads(options["verify"].read_text("utf-8"))
            genuine = evidence.is_genuine(told["evidence"], told["seal"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CommandError(
                f"{options['verify']} is nothing that `evidence --json` has printed."
            ) from error
        if options["json"]:
            self.stdout.write(json.dumps({"genuine": genuine}))
        if not genuine:
            raise CommandError("It was changed, or another SECRET_KEY has sealed it.")
        if not options["json"]:
            self.stdout.write("It is as it was printed here.")
