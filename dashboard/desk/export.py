"""Registrations into a file: which of them, which columns, and how their values are spelled."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import IO, Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from campaigns.line import Line
from campaigns.models import CampaignRow
from landing.models import Registration, StoredSubmission
from landing.storing import outbox
from lib import calendars, phones, tables

COLUMNS = ("id", "phone_number", "status", "first_seen", "last_seen", "submissions")
CAMPAIGN, CONFIRMED, REFERRER = "campaign", "confirmed_at", "referrer"
PLACE = ("number", "place")

PAGE = 2000
"""Rows that are in memory at once."""


@dataclass(frozen=True)
class Question:
    """Which registrations, and as what.

    Those first seen from `since` to before `until`, with this status; None and "" leave nothing out.
    referrer: one more column, from where the first submission came; MongoDB is asked for it.
    campaign: the slug of the one campaign that is meant, or "" for all. fields: its fields, a column for each, as
    the latest submission has them. line: of the campaign, if it gives numbers: two columns more, the number and what
    has become of it. several: whether a column must tell which campaign a row is of. confirms: whether one tells when the phone was proven.
    """

    format: str
    since: datetime | None = None
    until: datetime | None = None
    status: str = ""
    referrer: bool = False
    campaign: str = ""
    fields: tuple[str, ...] = ()
    line: Line | None = None
    several: bool = False
    confirms: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The header of the file."""
        places = PLACE if self.line else ()
        several, referrer = [CAMPAIGN] * self.several, [REFERRER] * self.referrer
        return (*COLUMNS, *[CONFIRMED] * self.confirms, *several, *places, *self.fields, *referrer)


def asked(question: Question) -> Question:
    """Return a question with the columns of its campaign. Raises NoSuchCampaign or django.db.Error."""
    if not question.campaign:
        return replace(question, several=CampaignRow.objects.count() > 1)
    row = CampaignRow.named(question.campaign)
    return replace(
        question,
        fields=tuple(row.field_names),
        line=row.line if row.is_numbered else None,
        confirms=row.confirms,
    )


def count(question: Question) -> int:
    """Return how many registrations are meant. Raises django.db.Error."""
    with transaction.atomic():
        _take_time()
        return _registrations(question).count()


def write(question: Question, file: IO[bytes], step: Callable[[int], object]) -> int:
    """Write the registrations into a file and return how many; call step with the rows of each page.

    All rows are as they were at one moment. Memory stays the same however many they are.
    Raises django.db.Error, StoreUnavailable (of the referrers) or OSError, and then the file is not whole.
    """
    writer = tables.FORMATS[question.format](file, question.columns)
    spelled = _for_programs if question.format == "jsonl" else _for_people
    written = 0
    try:
        with transaction.atomic():
            _take_time()
            for page in _pages(question):
                for row in page:
                    writer.write(spelled(row, question.format))
                written += len(page)
                step(len(page))
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    return written


def _registrations(question: Question) -> QuerySet[Registration]:
    rows = Registration.objects.order_by("pk")
    if question.since:
        rows = rows.filter(first_seen__gte=question.since)
    if question.until:
        rows = rows.filter(first_seen__lt=question.until)
    if question.campaign:
        rows = rows.filter(campaign__slug=question.campaign)
    return rows.filter(status=question.status) if question.status else rows


def _pages(question: Question) -> Iterator[list[Sequence[Any]]]:
    """Yield the rows page by page from a cursor that PostgreSQL keeps."""
    mine = StoredSubmission.objects.filter(registration=OuterRef("pk")).order_by()
    counted = mine.values("registration").annotate(sent=Count("pk")).values("sent")
    rows = _registrations(question).annotate(sent=Coalesce(Subquery(counted), 0))
    columns = ["pk", "phone_number", "status", "first_seen", "last_seen", "sent"]
    if question.confirms:
        columns.append("confirmed_at")
    if question.several:
        columns.append("campaign__slug")
    if question.line:
        columns.append("number")
    if question.fields:
        latest = mine.order_by("-accepted_at", "-pk").values("details")[:1]
        rows = rows.annotate(latest=Subquery(latest))
        columns.append("latest")
    if question.referrer:
        rows = rows.annotate(first=Subquery(mine.order_by("accepted_at", "pk").values("pk")[:1]))
        columns.append("first")
    cursor = rows.values_list(*columns).iterator(chunk_size=PAGE)
    while page := list(islice(cursor, PAGE)):
        page = _with_referrers(page) if question.referrer else page
        page = _with_fields(page, columns.index("latest"), question.fields) if question.fields else page
        yield _with_places(page, columns.index("number"), question.line) if question.line else page


def _with_fields(page: list[Sequence[Any]], place: int, fields: Sequence[str]) -> list[Sequence[Any]]:
    """Return rows with the values of a campaign's fields where their details are."""
    return [
        (*row[:place], *(str((row[place] or {}).get(name, "")) for name in fields), *row[place + 1 :])
        for row in page
    ]


def _with_places(page: list[Sequence[Any]], place: int, line: Line) -> list[Sequence[Any]]:
    """Return rows with what has become of each number behind it."""

    def told(number: int | None) -> tuple[int | str, str]:
        return (number, line.state_of(number)) if number is not None else ("", "")

    return [(*row[:place], *told(row[place]), *row[place + 1 :]) for row in page]


def _with_referrers(page: list[Sequence[Any]]) -> list[Sequence[Any]]:
    """Return rows with the referrer in the place of their first request_id."""
    ids = [str(row[-1]) for row in page if row[-1]]
    found = outbox.find_many(ids)
    return [(*row[:-1], str(found.get(str(row[-1]), {}).get("referrer") or "")) for row in page]


def _for_people(row: Sequence[Any], format: str) -> tables.Row:  # noqa: A002  the word for it
    def shown(value: Any) -> Any:
        if isinstance(value, datetime):
            return calendars.show(value, settings.CALENDAR, settings.DISPLAY_TIME_ZONE)
        return "" if value is None else value

    pk, phone, *rest = row
    return pk, phones.group(phone) if format == "csv" else phone, *map(shown, rest)


def _for_programs(row: Sequence[Any], _: str) -> tables.Row:
    zone = settings.DISPLAY_TIME_ZONE
    return tuple(one.astimezone(zone).isoformat() if isinstance(one, datetime) else one for one in row)


def _take_time() -> None:
    """Let this transaction's statements take longer than those that somebody waits for."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
