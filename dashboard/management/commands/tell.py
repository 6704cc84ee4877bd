"""manage.py tell"""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from dashboard import terminal
from dashboard.desk import persons
from landing.keeping import queues
from lib import phones
from logs.utils import StoreUnavailable

EXAMPLES = """
examples:
  manage.py tell 09123456789 > person.json
  manage.py tell 09123456789 --json

Prints everything that is held about one person, for a request of access: registrations, what was sent, the request
log, codes without the codes, dead letters. What waits in a queue or a spool is stored within moments; run it again then.

exit codes: 0 printed; 1 that is no phone number; 2 a server does not answer
"""


class Command(terminal.ExplainedCommand):
    """Prints what is held about a person."""

    help = "Print everything that is held about one person."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the person."""
        parser.add_argument("phone", help="the phone number, in any spelling")
        parser.add_argument("--json", action="store_true", help="on one line")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        terminal.logs_to_stderr()
        try:
            phone_number = phones.normalise(options["phone"])
            told = persons.tell(phone_number)
        except phones.InvalidPhone as error:
            raise CommandError(f"That is no phone number: {error.reason}") from None
        except (StoreUnavailable, DatabaseError, *queues.OUTAGES) as error:
            raise CommandError(f"A server does not answer: {error!r}", returncode=2) from error
        indent = None if options["json"] else 2
        self.stdout.write(json.dumps(told, ensure_ascii=False, indent=indent, default=str))
