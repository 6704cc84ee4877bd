"""manage.py dead_letters"""

import json
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from typing import Any

from amqp.exceptions import ChannelError
from django.core.management.base import CommandError
from rich.console import Console
from rich.table import Table

from dashboard import terminal
from dashboard.desk import dead_letters
from dashboard.desk.dead_letters import Choice, Letter, masked_phone
from dashboard.desk.queue_messages import request_id_of
from landing.keeping import queues
from lib.json_log import mask_phones
from lib.texts import inert

EXAMPLES = """
examples:
  manage.py dead_letters list
  manage.py dead_letters show 0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b
  manage.py dead_letters replay --reason rejected --dry-run
  manage.py dead_letters discard --reason malformed --reason-note "test data of 3 May" --yes

exit codes: 0 done, 1 no such dead letter, 2 RabbitMQ does not answer or did not confirm
"""

FIELDS = (
    "phone_number",
    "request_id",
    "ip_address",
    "referrer",
    "user_agent",
    "accepted_at",
    "campaign",
    "details",
)
HIDDEN = "(hidden; --reveal shows it)"


class Command(terminal.ExplainedCommand):
    """Lists, shows, replays and discards dead letters."""

    help = "Look at registrations that no retry could save, send them again, or give them up."
    examples = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One verb, each with its options."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|show|replay|discard")
        listing = verbs.add_parser("list", help="count them by reason, then one line for each")
        listing.add_argument("--reason", default="", help="only those whose reason begins so")
        listing.add_argument("--limit", type=int, default=50, help="the most lines (50); all are counted")
        listing.add_argument("--json", action="store_true", help="print one JSON object")
        show = verbs.add_parser("show", help="everything about one")
        show.add_argument("request_id", help="a request_id, or the 16 characters that `list` shows instead")
        show.add_argument("--reveal", action="store_true", help="show the phone number and the whole body")
        show.add_argument("--json", action="store_true", help="print one JSON object")
        replay = verbs.add_parser("replay", help="send them to the live queue again")
        _add_choice(replay)
        replay.add_argument("--dry-run", action="store_true", help="only say which")
        replay.add_argument("--json", action="store_true", help="print one JSON object")
        replay.add_argument(
            "--one-by-one",
            action="store_true",
            help="each registration of a batch as a message of its own: after delivery_limit",
        )
        discard = verbs.add_parser("discard", help="give them up for good")
        _add_choice(discard)
        discard.add_argument("--reason-note", required=True, metavar="TEXT", help="why; goes to the log")
        discard.add_argument("--yes", action="store_true", help="do it without asking")
        discard.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what the verb says."""
        terminal.logs_to_stderr()
        act = {"list": self._list, "show": self._show, "replay": self._replay, "discard": self._discard}
        try:
            act[options["verb"]](options)
        except ChannelError as error:
            raise CommandError(
                f"RabbitMQ has no such queue: {error}\nCreate the queues: manage.py declare_queues",
                returncode=2,
            ) from error
        except queues.OUTAGES as error:
            raise CommandError(
                f"RabbitMQ does not answer or did not confirm: {error!r}\n"
                "Nothing is lost: what was not confirmed is still a dead letter. Repeat the command.",
                returncode=2,
            ) from error

    def _list(self, options: dict[str, Any]) -> None:
        reasons: Counter[str] = Counter()
        lines: list[dict[str, Any]] = []
        with Console(stderr=True).status("Reading…"):
            for letter in dead_letters.letters(Choice(options["reason"])):
                reasons[letter.reason] += 1
                if len(lines) < options["limit"]:
                    lines.append(_line(letter))
        if options["json"]:
            self.stdout.write(json.dumps({"count": reasons.total(), "reasons": reasons, "letters": lines}))
            return
        self.stdout.write(f"{reasons.total()} dead letters")
        for reason, number in reasons.most_common():
            self.stdout.write(f"  {number:7}  {reason}")
        if lines:
            self.stdout.write(terminal.rendered(_table(lines)))
        if reasons.total() > len(lines):
            self.stdout.write(f"… and {reasons.total() - len(lines)} more (--limit)")

    def _show(self, options: dict[str, Any]) -> None:
        choice = Choice(request_id=options["request_id"])
        found = [_whole(one, choice.request_id, options["reveal"]) for one in dead_letters.letters(choice)]
        if not found:
            raise CommandError(f"No dead letter holds {options['request_id']}: manage.py dead_letters list")
        if options["json"]:
            self.stdout.write(json.dumps(found, default=str))
            return
        for facts in found:
            table = Table(show_header=False, box=None)
            for name, value in facts.items():
                table.add_row(name, value if isinstance(value, str) else json.dumps(value, default=str))
            self.stdout.write(terminal.rendered(table))

    def _replay(self, options: dict[str, Any]) -> None:
        choice = _choice(options)
        say = self._narrator(options)
        if options["dry_run"]:
            meant = 0
            for letter in dead_letters.letters(choice):
                meant += 1
                say(f"would replay {_in_words(letter)}")
            self._say_count(meant, "would be replayed; nothing was sent", options)
            return
        with terminal.progress("replaying", dead_letters.count(), say) as step:
            moved = dead_letters.replay(
                choice, lambda letter: step(f"replayed {_in_words(letter)}"), one_by_one=options["one_by_one"]
            )
        self._say_count(moved, f"replayed to {queues.LIVE}, each confirmed", options)

    def _discard(self, options: dict[str, Any]) -> None:
        choice = _choice(options)
        say = self._narrator(options)
        keys = set()
        for letter in dead_letters.letters(choice):
            keys.add(letter.key)
            say(f"to discard: {_in_words(letter)}")
        if keys and not (options["yes"] or _confirmed(len(keys))):
            self._say_count(len(keys), "would be discarded; nothing was. Add --yes", options)
            return
        gone = dead_letters.discard(keys, options["reason_note"]) if keys else 0
        self._say_count(gone, "discarded", options)

    def _narrator(self, options: dict[str, Any]) -> Callable[[str], object]:
        return self.stderr.write if options["json"] else self.stdout.write

    def _say_count(self, count: int, what: str, options: dict[str, Any]) -> None:
        if count == 0 and options["request_id"]:
            raise CommandError(f"No dead letter holds {options['request_id']}: manage.py dead_letters list")
        facts = json.dumps({"count": count, "what": what})
        self.stdout.write(facts if options["json"] else f"{count} dead letters {what}.")


def _add_choice(parser: ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--reason", default="", help="those whose reason begins so")
    which.add_argument("--request-id", default="", help="the one that holds this registration")
    which.add_argument("--all", action="store_true", help="every one")


def _choice(options: dict[str, Any]) -> Choice:
    if not (options["all"] or options["reason"] or options["request_id"]):
        raise CommandError("Which? An empty text chooses nothing; --all chooses every dead letter.")
    return Choice(options["reason"], options["request_id"])


def _confirmed(count: int) -> bool:
    if not sys.stdin.isatty():
        return False
    return (
        input(f"They are accepted registrations. Type `discard {count}` to lose them: ") == f"discard {count}"
    )


def _line(letter: Letter) -> dict[str, Any]:
    return {
        "request_ids": letter.request_ids or [letter.digest],
        "reason": letter.reason,
        "time": letter.died_at and letter.died_at.isoformat(timespec="seconds"),
        "phones": [masked_phone(raw) for raw in letter.registrations or []],
        "readable": letter.registrations is not None,
    }


def _table(lines: list[dict[str, Any]]) -> Table:
    table = Table("request_id", "reason", "time (UTC)", "phone", box=None, header_style="bold")
    for line in lines:
        first, *more = line["request_ids"]
        phone = line["phones"][0] if line["phones"] else "unreadable"
        table.add_row(
            first + (f" and {len(more)} more" if more else ""),
            line["reason"],
            (line["time"] or "").replace("T", " ").removesuffix("+00:00"),
            phone,
        )
    return table


def _in_words(letter: Letter) -> str:
    first, *more = letter.request_ids or [letter.digest]
    return f"{first}{f' and {len(more)} more' if more else ''} ({letter.reason})"


def _whole(letter: Letter, request_id: str, reveal: bool) -> dict[str, Any]:
    message = letter.message
    facts: dict[str, Any] = {
        "reason": letter.reason,
        "time": letter.died_at,
        "registrations in the message": len(letter.registrations or []),
        "bytes": len(message.body),
    }
    for raw in letter.registrations or []:
        if request_id in (request_id_of(raw), letter.digest):
            facts |= _fields(raw, reveal)
    shown = {name: value for name, value in message.headers.items() if name not in ("argsrepr", "kwargsrepr")}
    facts["headers"] = message.headers if reveal else shown
    facts["body"] = repr(message.body) if reveal else HIDDEN
    return facts


def _fields(raw: Any, reveal: bool) -> dict[str, Any]:
    if reveal:
        return dict(zip(FIELDS, raw, strict=False)) if isinstance(raw, list) else {"registration": raw}
    if not isinstance(raw, list):
        return {"registration": HIDDEN}
    fields = {name: mask_phones(inert(str(value))) for name, value in zip(FIELDS[:-1], raw, strict=False)}
    return fields | {"phone_number": masked_phone(raw)}
