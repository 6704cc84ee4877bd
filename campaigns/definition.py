"""A campaign as its page.toml defines it: when it is open, what it asks for, which consent it shows.

The door judges by it, and asks no store. Workers know a campaign by its slug alone.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from campaigns import fields as field_values
from campaigns import sources
from campaigns.fields import KINDS, LONGEST, LONGEST_EMAIL, MOST_FIELDS, YES, Field
from lib import calendars
from lib.clock import now

DEFAULT, DEFAULT_ID = "default", 1
"""The default campaign's slug, and its row's id. Registrations of before there were campaigns are in it."""
SLUG = re.compile(r"[a-z][a-z0-9-]{1,30}")
RESERVED = frozenset({DEFAULT, "rehearsal"})
LANGUAGES = ("fa", "en")
LONGEST_CHOICE = 60
MOST_CHOICES = 100
MOST_CHARACTERS = 2_000
"""Of all fields of a campaign together: a message carries up to 500 registrations."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
"""Of a field."""
_TAKEN = frozenset({"phone_number", "consent", "source", "key", "proof"})
VERSION = re.compile(r"[0-9a-f]{12}")
"""Of a consent text."""
LONGEST_LINE = 1_000_000_000
"""More than there are phone numbers."""
_TIMES = ("opens", "closes", "announces")
_CAMPAIGN = {*_TIMES, "consent", "places", "line", "confirm", "keep"}
_KEEP = re.compile(r"([1-9][0-9]{0,3}) days?")
_FIELD = {"name", "kind", "required", "longest", "choices", *LANGUAGES}

Table = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """Something wrong in a page.toml: the tables and the name, what is wrong, the next step.

    A number among the place's parts counts the tables of one name, from 1.
    """

    place: tuple[str | int, ...]
    what: str
    remedy: str


class Consent(NamedTuple):
    """A consent text and its version."""

    version: str
    text: str


class ConsentRequired(ValueError):
    """The campaign asks for consent, and there is none."""


class Shut(ValueError):
    """The campaign takes nobody. code: not_open_yet, campaign_closed or campaign_full. opens: when it will be, if it is known."""

    def __init__(self, code: str, opens: datetime | None = None) -> None:
        super().__init__(code)
        self.code, self.opens = code, opens

    @property
    def retry_after(self) -> float | None:
        """Seconds until it opens, or None if it does not."""
        return (self.opens - now()).total_seconds() if self.opens else None


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign.

    opens, closes: UTC; None: always. consent: "required", "shown", or "". consents: the text that is shown now, by
    language. gives_places: each registration gets a number, and the first ones a place; announces (UTC): when people
    learn theirs, None: at once; longest_line: how many may wait for one, None: any number. confirms: people prove their
    number by a code. keep_until: UTC, when everything that is kept of it is due to be deleted; None: never.
    """

    slug: str
    opens: datetime | None = None
    closes: datetime | None = None
    consent: str = ""
    fields: tuple[Field, ...] = ()
    consents: Mapping[str, Consent] = field(default_factory=dict)
    gives_places: bool = False
    announces: datetime | None = None
    longest_line: int | None = None
    confirms: bool = False
    keep_until: datetime | None = None
    takes_details: bool = field(init=False)
    """Whether more than a phone number is kept. The plain default campaign's messages are as ever."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "takes_details", bool(self.slug != DEFAULT or self.fields or self.consent))

    def require_open(self, time: datetime) -> None:
        """Raise Shut unless what is accepted at this time is in time."""
        if self.opens and time < self.opens:
            raise Shut("not_open_yet", self.opens)
        if self.closes and time >= self.closes:
            raise Shut("campaign_closed")

    def details(self, sent: Mapping[str, object], language: str) -> Table:
        """Return what is kept of a registration beside its phone number, as JSON can carry it.

        Its fields; `consent`, the version of the text that was shown; `source`. language: of the visitor, whose
        text counts if they have sent no version. Raises InvalidFields or ConsentRequired.
        """
        details: Table = field_values.read(self.fields, sent)
        if version := self._consent(sent.get("consent"), language):
            details["consent"] = version
        if source := sources.read(sent.get("source")):
            details["source"] = source
        return details

    def _consent(self, given: object, language: str) -> str:
        if not self.consent:
            return ""
        if isinstance(given, str) and VERSION.fullmatch(given):
            return given  # of the text in the visitor's tab, which may be an hour old
        is_given = isinstance(given, (bool, str)) and given in YES
        if self.consent == "required" and not is_given:
            raise ConsentRequired
        return self.consents[language].version


def version_of(slug: str, language: str, text: str) -> str:
    """Return the version of a consent text: 12 hexadecimal digits of its SHA-256, with its campaign and language."""
    return sha256(f"{slug}\n{language}\n{text}".encode()).hexdigest()[:12]


def made_of(
    slug: str, table: Table, asked: list[Table], texts: Mapping[str, str], zone: ZoneInfo
) -> Campaign:
    """Return the campaign of a page.toml without faults: its [campaign], its [[fields]] and its consent texts."""
    return Campaign(
        slug,
        opens=_time(table.get("opens"), zone),
        closes=_time(table.get("closes"), zone),
        consent=table.get("consent", ""),
        fields=tuple(_field(one) for one in asked),
        consents={
            language: Consent(version_of(slug, language, text), text) for language, text in texts.items()
        },
        gives_places=table.get("places", False),
        announces=_time(table.get("announces"), zone),
        longest_line=table.get("line"),
        confirms="confirm" in table,
        keep_until=_keep_until(table, zone),
    )


def _field(table: Table) -> Field:
    usual = {"email": LONGEST_EMAIL, "choice": LONGEST_CHOICE}.get(table["kind"], LONGEST)
    return Field(
        name=table["name"],
        kind=table["kind"],
        is_required=table.get("required", False),
        longest=table.get("longest", usual),
        choices=tuple(field_values.spelled(one) for one in table.get("choices", [])),
        labels={language: table[language] for language in LANGUAGES},
    )


def _keep_until(table: Table, zone: ZoneInfo) -> datetime | None:
    days, closes = _KEEP.fullmatch(str(table.get("keep", ""))), _time(table.get("closes"), zone)
    return closes + timedelta(days=int(days[1])) if days and closes else None


def _time(value: Any, zone: ZoneInfo) -> datetime | None:
    """Return the time that a TOML date-time, or text in either calendar, means. Raises ValueError."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)
    if not isinstance(value, str) or calendars.ago(value) is not None:
        raise ValueError(value)
    return calendars.read(value, calendars.JALALI, zone, now())


# -- What is wrong with a page.toml


def unfit(table: Any, asked: Any, zone: ZoneInfo) -> Iterator[Fault]:
    """Yield what is wrong in [campaign] and [[fields]]."""
    if not isinstance(table, dict):
        yield Fault(("campaign",), "is no table", "Begin it with [campaign].")
    else:
        yield from _unfit_campaign(table, zone)
    if not isinstance(asked, list):
        yield Fault(("fields",), "is no list of tables", "Begin each field with [[fields]].")
    else:
        yield from _unfit_fields(asked)


def _unfit_campaign(table: Table, zone: ZoneInfo) -> Iterator[Fault]:
    for name in sorted(set(table) - _CAMPAIGN):
        remedy = f"Here can stand: {', '.join(sorted(_CAMPAIGN))}."
        yield Fault(("campaign", name), "is not known", remedy)
    yield from _unfit_times(table, zone)
    if table.get("consent", "shown") not in ("required", "shown"):
        yield Fault(("campaign", "consent"), f"is {table['consent']!r}", 'Write "required" or "shown".')
    if "keep" in table and not _KEEP.fullmatch(str(table["keep"])):
        yield Fault(("campaign", "keep"), f"is {table['keep']!r}", 'Write for how long, such as "90 days".')
    elif "keep" in table and "closes" not in table:
        yield Fault(("campaign", "keep"), "counts from closes, which is missing", "Write when it closes.")
    if table.get("confirm", "sms") != "sms":
        yield Fault(("campaign", "confirm"), f"is {table['confirm']!r}", 'Write "sms", or take it away.')
    if not isinstance(table.get("places", False), bool):
        yield Fault(("campaign", "places"), f"is {table['places']!r}", "Write true or false.")
    line = table.get("line", 0)
    if type(line) is not int or not 0 <= line <= LONGEST_LINE:  # True is an int, too
        yield Fault(("campaign", "line"), f"is {line!r}", "Write how many may wait for a place, such as 500.")


def _unfit_fields(asked: list[Any]) -> Iterator[Fault]:
    if len(asked) > MOST_FIELDS:
        place = ("fields", MOST_FIELDS + 1)
        yield Fault(place, f"is one too many of {len(asked)}", f"Ask for {MOST_FIELDS} fields at most.")
    names: set[str] = set()
    for number, one in enumerate(asked, 1):
        for name, what, remedy in _unfit_field(one, names):
            yield Fault(("fields", number, *([name] if name else [])), what, remedy)
    if (together := sum(_longest(one) for one in asked if isinstance(one, dict))) > MOST_CHARACTERS:
        remedy = f"Give some of them a `longest`: {MOST_CHARACTERS:,} characters are the most for all."
        yield Fault(("fields",), f"may hold {together:,} characters together", remedy)


def _unfit_times(table: Table, zone: ZoneInfo) -> Iterator[Fault]:
    times: dict[str, datetime | None] = {}
    for name in _TIMES:
        try:
            times[name] = _time(table.get(name), zone)
        except ValueError:
            remedy = 'Write it as "1405/09/20 10:00" or 2026-12-11T10:00:00Z.'
            yield Fault(("campaign", name), f"is {table[name]!r}", remedy)
    opens, closes = times.get("opens"), times.get("closes")
    if opens and closes and closes <= opens:
        yield Fault(
            ("campaign", "closes"), "is not after opens", "Write a later time, or take one of them away."
        )


def _unfit_field(one: Any, names: set[str]) -> Iterator[tuple[str, str, str]]:
    if not isinstance(one, dict):
        yield "", "is no table", "Begin each field with [[fields]]."
        return
    for name in sorted(set(one) - _FIELD):
        yield name, "is not known", f"Here can stand: {', '.join(sorted(_FIELD))}."
    yield from _unfit_name(one.get("name"), names)
    if one.get("kind") not in KINDS:
        yield "kind", f"is {one.get('kind')!r}", f"Write one of {', '.join(KINDS)}."
    if not isinstance(one.get("required", False), bool):
        yield "required", f"is {one['required']!r}", "Write true or false."
    longest = one.get("longest", LONGEST)
    if type(longest) is not int or not 1 <= longest <= LONGEST_EMAIL:  # True is an int, too
        yield "longest", f"is {longest!r}", f"Write a number of characters from 1 to {LONGEST_EMAIL}."
    yield from _unfit_choices(one)
    for language in LANGUAGES:
        if not (isinstance(one.get(language), str) and one[language].strip()):
            yield language, "is missing", "Write the field's name for people, in both languages."


def _unfit_name(name: Any, names: set[str]) -> Iterator[tuple[str, str, str]]:
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in _TAKEN:
        remedy = f'Write it as "city": small letters, digits and _, and not {", ".join(sorted(_TAKEN))}.'
        yield "name", f"is {name!r}", remedy
    elif name in names:
        yield "name", f"is {name!r} a second time", "Give each field another name."
    else:
        names.add(name)


def _unfit_choices(one: Table) -> Iterator[tuple[str, str, str]]:
    choices = one.get("choices", [])
    if one.get("kind") != "choice":
        if choices:
            yield "choices", "belongs to the kind choice", 'Write kind = "choice", or take it away.'
        return
    sound = isinstance(choices, list) and all(isinstance(word, str) and word.strip() for word in choices)
    if not (sound and 2 <= len(set(choices)) == len(choices) <= MOST_CHOICES):
        yield (
            "choices",
            "has no list of different texts",
            f'Write choices = ["one", "two"], {MOST_CHOICES} at most.',
        )
    elif max(map(len, choices)) > LONGEST_CHOICE:
        yield "choices", "has a text that is too long", f"{LONGEST_CHOICE} characters are the most."


def _longest(one: Table) -> int:
    longest = one.get("longest", LONGEST)
    return longest if one.get("kind") in ("text", "email") and isinstance(longest, int) else 0
