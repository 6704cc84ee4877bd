"""manage.py courier"""

import asyncio
import json
import os
import random
import signal
import socket
from argparse import ArgumentParser
from collections.abc import Coroutine
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from rich.table import Table

from confirmations import secret
from courier import addresses, deliveries, delivering, gateway, health, sending, webhooks
from courier.health import Health
from courier.webhooks import FILE, Webhook
from dashboard import terminal
from dashboard.live.reporter import Reporter
from landing.desk import times

EXAMPLES = """
examples:
  manage.py courier                                     until Ctrl-C or SIGTERM
  manage.py courier status --json
  manage.py courier test crm                            where the courier runs: it has the file and the secrets
  manage.py courier replay --failed --dry-run
  manage.py courier replay crm --since "2026-11-27 10:00"

CODE_GATEWAY names what sends codes (docs/confirmation.md), LANDING_DIR/webhooks.toml what is sent to whom
(docs/webhooks.md). Several couriers may run: one sends codes, and each receiver has one open call at a time.

`test` sends a message of the type webhook.test without registrations. A receiver that was paused by its 410 is called
again after it. `replay --since` sends again, under the same ids, what was sent since then, and what never was.

exit codes: 0 done, or told to end; 1 a setting or a value is wrong, or the receiver took nothing; 2 PostgreSQL does not answer
"""


class Command(terminal.ExplainedCommand):
    """Sends what goes out."""

    help = "Send codes by SMS and webhooks: the only process with a way out to the internet."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", metavar="status | replay | test")
        status = acts.add_parser("status", help="what waits for each webhook, and what has failed")
        status.add_argument("--json", action="store_true", help="print one JSON object")
        replay = acts.add_parser("replay", help="send again, under the same ids")
        replay.add_argument("name", nargs="?", help="of the webhook; without it: all")
        which = replay.add_mutually_exclusive_group(required=True)
        which.add_argument("--failed", action="store_true", help="what has failed for good")
        which.add_argument("--since", metavar="TIME", help="all since 2026-11-27 10:00, 1405/09/06 or 2h")
        replay.add_argument("--dry-run", action="store_true", help="only say how much that is")
        test = acts.add_parser("test", help="send one message without registrations")
        test.add_argument("name", help="of the webhook")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked; without a word, send until a signal comes."""
        if options["act"] is None:
            self._send()
            return
        terminal.logs_to_stderr()
        try:
            getattr(self, f"_{options['act']}")(options)
        except DatabaseError as error:
            raise CommandError(f"PostgreSQL does not answer: {error}", returncode=2) from None

    def _send(self) -> None:
        listed = _webhooks()
        if not settings.SENDS_CODES and listed is None:
            raise CommandError(
                f"There is nothing to send. Name a gateway in CODE_GATEWAY, or write a {FILE} into LANDING_DIR."
            )
        stopping = asyncio.Event()
        holder = f"{socket.gethostname()}:{os.getpid()}:{random.getrandbits(32):08x}"
        rounds: list[Coroutine[Any, Any, None]] = []
        if settings.SENDS_CODES:
            rounds.append(_codes(holder, stopping).run())
            self.stderr.write(f"courier: sends codes by {', '.join(settings.CODE_GATEWAY)}")
        # Also with an empty file: then the workers are told that nobody hears of anything any more.
        if listed is not None:
            rounds.append(delivering.Deliverer(listed, holder, stopping).run())
            self.stderr.write(f"courier: delivers to {', '.join(one.name for one in listed) or 'nobody'}")
        reporter = Reporter(
            "courier", lambda: {"code_key": secret.fingerprint()} if settings.SENDS_CODES else {}
        )
        reporter.start()
        try:
            asyncio.run(_until_told(rounds, stopping))
        finally:
            reporter.stop()

    def _status(self, options: dict[str, Any]) -> None:
        found, untaken = health.of_all(), round(health.untaken(), 1) or None
        if options["json"]:
            told = {"webhooks": [asdict(one) for one in found], "untaken_seconds": untaken}
            self.stdout.write(json.dumps(told, default=datetime.isoformat))
            return
        if not found:
            self.stdout.write(f"No courier has had a webhook yet: docs/webhooks.md says how {FILE} looks.")
            return
        table = Table("webhook", "waiting", "oldest (UTC)", "failed", "state", "last delivered (UTC)")
        for one in found:
            shown = _shown(one.oldest), str(one.failed), _state(one), _shown(one.last_delivered_at)
            table.add_row(one.name, str(one.waiting), *shown)
        self.stdout.write(terminal.rendered(table))
        if untaken and untaken > 60:
            self.stdout.write(f"Events have waited for a courier for {untaken:.0f} s. Does one run?")

    def _replay(self, options: dict[str, Any]) -> None:
        known = [one.name for one in health.of_all() if one.is_listed]
        name, would = options["name"], "would be" if options["dry_run"] else "are"
        if name and name not in known:
            raise CommandError(f"No courier has a webhook {name}. Known: {', '.join(known) or 'none'}.")
        try:
            since = times.read(options["since"]) if options["since"] else None
        except ValueError as error:
            raise CommandError(str(error)) from None
        for one in [name] if name else known:
            if since is None:
                count = deliveries.replay_failed(one, dry_run=options["dry_run"])
                self.stdout.write(f"{one}: {count} messages that had failed {would} sent again.")
                continue
            again, new = deliveries.replay_since(one, since, dry_run=options["dry_run"])
            self.stdout.write(
                f"{one}: {again} messages {would} sent again, and {new} submissions that were in none yet."
            )

    def _test(self, options: dict[str, Any]) -> None:
        listed = {one.name: one for one in _webhooks() or []}
        if (webhook := listed.get(options["name"])) is None:
            raise CommandError(
                f"{FILE} in LANDING_DIR has no {options['name']}. It has: {', '.join(listed) or 'none'}. "
                "Run this where the courier runs."
            )
        result = asyncio.run(delivering.test(webhook))
        if not result.is_delivered:
            raise CommandError(
                f"{webhook.name} has not taken it: {result.reason}, after {result.seconds:.2f} s"
            )
        deliveries.resume(webhook.name)
        self.stdout.write(f"{webhook.name} has taken it: {result.reason}, after {result.seconds:.2f} s")


def _webhooks() -> list[Webhook] | None:
    try:
        return webhooks.load(settings.LANDING_DIR)
    except webhooks.UnfitWebhooks as error:
        raise CommandError(str(error)) from None


def _codes(holder: str, stopping: asyncio.Event) -> sending.Courier:
    try:
        secret.key()
        if fault := sending.unfit_settings():
            raise CommandError(fault)
        gateways = [gateway.named(name) for name in settings.CODE_GATEWAY]
    except (ImproperlyConfigured, gateway.UnfitGateway, addresses.NotAllowed) as error:
        raise CommandError(str(error)) from None
    return sending.Courier(gateways, settings.CODE_RATE, holder, stopping)


async def _until_told(rounds: list[Coroutine[Any, Any, None]], stopping: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await asyncio.gather(*rounds)


def _shown(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}" if time else "-"


def _state(one: Health) -> str:
    if not one.is_listed:
        return "in no courier's file"
    if one.is_paused:
        return "paused: it answered 410. manage.py courier test"
    if one.failures:
        return f"{one.failures} failures in a row" + (
            f", next call {_shown(one.wait_until)}" if one.wait_until else ""
        )
    return "well"
