"""manage.py courier"""

import asyncio
import signal
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from confirmations import secret
from courier import addresses, gateway, sending
from dashboard import terminal
from dashboard.live.reporter import Reporter

EXAMPLES = """
examples:
  manage.py courier          until Ctrl-C or SIGTERM

CODE_GATEWAY names what sends (docs/confirmation.md). Several couriers may run: one works, the others stand by.

exit codes: 0 told to end; 1 a setting is wrong
"""


class Command(terminal.ExplainedCommand):
    """Sends what goes out."""

    help = "Send one-time codes by SMS: the only process with a way out to the internet."
    examples = EXAMPLES

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until a signal comes."""
        if not settings.SENDS_CODES:
            raise CommandError("CODE_GATEWAY is off: there is nothing to send. Write the name of a gateway.")
        try:
            secret.key()
            if fault := sending.unfit_settings():
                raise CommandError(fault)
            courier = sending.Courier(
                [gateway.named(name) for name in settings.CODE_GATEWAY], settings.CODE_RATE
            )
        except (ImproperlyConfigured, gateway.UnfitGateway, addresses.NotAllowed) as error:
            raise CommandError(str(error)) from None
        self.stderr.write(f"courier: sends by {', '.join(settings.CODE_GATEWAY)}")
        reporter = Reporter("courier", lambda: {"code_key": secret.fingerprint()})
        reporter.start()
        try:
            asyncio.run(_run(courier))
        finally:
            reporter.stop()


async def _run(courier: sending.Courier) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, courier.stopping.set)
    await courier.run()
