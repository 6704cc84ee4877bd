"""manage.py campaign"""

import json
import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from django.db.models import Q
from rich.console import Console
from rich.table import Table

from campaigns.models import CampaignRow, NoSuchCampaign
from dashboard import terminal
from dashboard.live import counters
from dashboard.proof import in_flight
from dashboard.proof.sources import QueueNotRead
from landing.keeping import queues
from landing.models import StoredSubmission
from landing.storing import places
from landing.storing.places import Change, NotPossible
from lib import phones
from lib.clock import now
from lib.spool import SpoolFailed

EXAMPLES = """
examples:
  manage.py campaign list
  manage.py campaign show nowruz --json
  manage.py campaign set nowruz --capacity 1000
  manage.py campaign cancel nowruz 09123456789 --dry-run
  manage.py campaign draw nowruz --capacity 1000 --order lottery --seed "$SEED"

`set` and `cancel` are for campaigns with places = true in their page.toml. Who has a place keeps it, also when the
capacity is lowered. A cancelled number stays cancelled; the next one in line moves up at once.

`draw` is for a campaign without places, once, after its close: it numbers all who were accepted in time, and refuses
while one of them is not stored. Publish the hash of the seed before the campaign opens, with
  printf %s "$SEED" | sha256sum
and the seed after the draw. Then anybody can check it: who has one of the least
  printf %s "$SEED$TRACKING_CODE" | sha256sum
is placed. The tracking code is the first one that the person was given.

exit codes: 0 done; 1 there is no such campaign or person, or it is not the time; 2 a server does not answer
"""


class Command(terminal.ExplainedCommand):
    """Shows campaigns, and changes their places."""

    help = "Show campaigns, set how many places there are, cancel a place, draw places after the close."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        json_option = ArgumentParser(add_help=False)
        json_option.add_argument("--json", action="store_true", help="print one JSON object")
        changes = ArgumentParser(add_help=False)
        changes.add_argument("--dry-run", action="store_true", help="only say what would change")
        acts = parser.add_subparsers(dest="act", required=True, metavar="list | show | set | cancel | draw")

        def add(name: str, what: str, *parents: ArgumentParser) -> ArgumentParser:
            return acts.add_parser(name, help=what, description=what, parents=[json_option, *parents])

        add("list", "All campaigns.")
        add("show", "One campaign.").add_argument("slug")
        act = add("set", "Set how many places there are.", changes)
        act.add_argument("slug")
        act.add_argument("--capacity", type=int, required=True, metavar="N", help="places")
        act = add("cancel", "Cancel a person's place or number, for good.", changes)
        act.add_argument("slug")
        act.add_argument("phone", help="a phone number in any spelling")
        act = add("draw", "Number all who registered in time, and place the first.", changes)
        act.add_argument("slug")
        act.add_argument("--capacity", type=int, required=True, metavar="N", help="places")
        act.add_argument(
            "--order", choices=places.ORDERS, required=True, help="the first who came, or a lottery"
        )
        act.add_argument("--seed", default="", help="of the lottery; a new one unless given")

    def handle(self, *args: Any, **options: Any) -> None:
        terminal.logs_to_stderr()
        if options.get("capacity", 0) < 0:
            raise CommandError("--capacity is 0 or more.")
        try:
            getattr(self, f"_{options['act']}")(options)
        except (NoSuchCampaign, NotPossible) as error:
            raise CommandError(str(error)) from None
        except phones.InvalidPhone as error:
            raise CommandError(f"That is no phone number ({error.reason}).") from None
        except (
            DatabaseError,
            SpoolFailed,
            QueueNotRead,
            *counters.Unavailable,
            *queues.OUTAGES,
        ) as error:
            raise CommandError(
                f"A server does not answer, and nothing was changed: {error!r}", returncode=2
            ) from error

    def _list(self, options: dict[str, Any]) -> None:
        found = [_facts(row) for row in CampaignRow.objects.order_by("slug")]
        if options["json"]:
            self.stdout.write(json.dumps({"campaigns": found}))
            return
        table = Table(*found[0])
        for one in found:
            table.add_row(*("" if value is None else str(value) for value in one.values()))
        self.stdout.write(terminal.rendered(table))

    def _show(self, options: dict[str, Any]) -> None:
        row = CampaignRow.named(options["slug"])
        self._tell(_facts(row) | {"registered": row.registration_set.count()}, options)

    def _set(self, options: dict[str, Any]) -> None:
        change = places.set_capacity(options["slug"], options["capacity"], dry_run=options["dry_run"])
        self._tell(_changed(change), options)

    def _cancel(self, options: dict[str, Any]) -> None:
        phone_number = phones.normalise(options["phone"])
        change = places.cancel(options["slug"], phone_number, dry_run=options["dry_run"])
        self._tell({"number": change.number} | _changed(change), options)

    def _draw(self, options: dict[str, Any]) -> None:
        slug, order = options["slug"], options["order"]
        seed = (options["seed"] or secrets.token_hex(16)) if order == "lottery" else ""
        self._require_all_stored(slug)
        change = places.draw(slug, options["capacity"], order, seed, dry_run=options["dry_run"])
        facts: dict[str, Any] = {"participants": change.after.last_number}
        if seed:
            facts |= {
                "seed": seed,
                "seed_sha256": places.ticket(seed, ""),
                "last_ticket": _last_ticket(slug, seed, change),
            }
        self._tell(facts | _changed(change), options)

    def _require_all_stored(self, slug: str) -> None:
        row = CampaignRow.named(slug)
        if row.closes is None or now() < row.closes:
            when = (
                f"It closes at {row.closes.isoformat()}." if row.closes else "Its page.toml has no `closes`."
            )
            raise CommandError(f"A draw comes after the close. {when}")
        with Console(stderr=True).status("Looking for what is not stored yet…"):
            found = in_flight.of(slug, row.closes)
        if found:
            raise CommandError(
                f"Not all who were in time are stored: {in_flight.sentence(found)}. Wait, run `manage.py drain_spool` on "
                "hosts that are gone, replay or discard dead letters, and draw again."
            )

    def _tell(self, facts: dict[str, Any], options: dict[str, Any]) -> None:
        if options.get("dry_run"):
            facts = {"dry_run": True} | facts
        if options["json"]:
            self.stdout.write(json.dumps(facts))
            return
        for name, value in facts.items():
            self.stdout.write(f"{name:20} {'' if value is None else value}")


def _last_ticket(slug: str, seed: str, change: Change) -> str | None:
    """Return the greatest ticket that has won; None if none has, or nothing was changed."""
    last = Q(registration__campaign__slug=slug, registration__number=change.after.placed)
    first = (
        StoredSubmission.objects.filter(last).order_by("accepted_at", "pk").values_list("pk", flat=True)[:1]
    )
    return next((places.ticket(seed, str(request_id)) for request_id in first), None)


def _facts(row: CampaignRow) -> dict[str, Any]:
    """Return a campaign's places and times (UTC). What a campaign without numbers lacks is None."""
    figures = row.line.figures if row.is_numbered else dict.fromkeys(row.line.figures)
    times = {"closes": row.closes, "announces": row.announces}
    told = {name: time and time.isoformat() for name, time in times.items()}
    return {"campaign": row.slug, **figures, "line": row.longest_line, **told}


def _changed(change: Change) -> dict[str, Any]:
    before, after = change.before, change.after
    return {
        "capacity": after.capacity,
        "placed_before": before.placed,
        "placed": after.placed,
        "waiting": after.waiting,
        "admitted": after.admitted,
    }
