"""Lets a colleague in who has lost the phone and the backup codes."""

import json
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from django.utils.translation import gettext_noop

from dashboard import terminal
from dashboard.desk import second_factor
from landing.desk import audit

EXAMPLES = """\
examples:
  manage.py remove_second_factor maryam
  manage.py remove_second_factor maryam --json

Be sure first that it is the colleague who asks. The password stays. Where ADMIN_SECOND_FACTOR=required,
the next login begins with setting up a new one. It is written into the audit log.

exit codes: 0 removed, 1 there is no such account or it has none, 2 PostgreSQL does not answer
"""


class Command(terminal.ExplainedCommand):
    """Takes the second factor and the backup codes of an account away."""

    help = (
        "Take an account's second factor away, for a colleague who has lost the phone and the backup codes."
    )
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", help="its name in the admin")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        terminal.logs_to_stderr()
        name = options["account"]
        try:
            # No other column: the toolbox may not read hashes of passwords.
            account = get_user_model().objects.only("pk", "username").filter(username=name).first()
            if not account or not second_factor.remove(account.pk):
                raise CommandError(f"{name} has no second factor, or is no account.", returncode=1)
            audit.record_of(account, gettext_noop("lost the second factor by command"), "by manage.py")
        except DatabaseError as error:
            raise CommandError(f"PostgreSQL does not answer: {error}", returncode=2) from error
        facts = json.dumps({"account": name, "removed": True})
        self.stdout.write(facts if options["json"] else f"The second factor of {name} is gone.")
