"""A rehearsal: a burst of synthetic registrations through the real doors, counted, and taken away again.

Synthetic phone numbers begin with phones.SYNTHETIC, so none of them takes a place in a campaign. Their user agent
names the rehearsal, and only what carries it is ever removed.
"""

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.db.models import Count, QuerySet

from dashboard.proof import ledger, sources
from dashboard.proof.burst import Plan
from dashboard.proof.ledger import Report
from dashboard.proof.sorted_ids import Pile, in_order
from landing.door import plain_http
from landing.models import ParkedLog, Registration, StoredSubmission
from landing.storing import registrations
from lib import phones
from logs import utils as logs

PREFIX = phones.SYNTHETIC
FIRST_PHONE = f"{PREFIX}000000"
MOST = 1_000_000
MARK = "breakwater-rehearsal/"

PAUSE = 0.2
BATCH = 1000


def plan(url: str, rate: float, count: int, run: str) -> Plan:
    """Return what a rehearsal of this name sends."""
    return Plan(url, rate, count, f"{MARK}{run}", FIRST_PHONE, _host(urlsplit(url)))


class Arrival(NamedTuple):
    """Seconds until the last accepted id had its row, and what became of all."""

    seconds: float
    report: Report


def arrival(accepted: list[str], within: float) -> Arrival:
    """Wait until every accepted id has its row, then its document, and tell what became of each."""
    report = Report(witnessed=True, accepted=len(accepted), documents_kept=logs.ids() is not None)
    started = time.monotonic()
    rowless = _wait(Pile(accepted), sources.among_rows, started + within)
    seconds = time.monotonic() - started
    report.stored = len(accepted) - len(rowless)
    if report.documents_kept:
        stored = ledger.without(Pile(accepted), set(rowless).intersection)
        for one in _wait(stored, sources.among_documents, started + within):
            report.undocumented.add(one)
    ledger.trace(Pile(in_order(rowless)), report)
    _compare_phones(set(accepted), report)
    return Arrival(seconds, report)


def leftovers() -> int:
    """Return how many registrations are in the synthetic range."""
    return Registration.objects.filter(phone_number__startswith=PREFIX).count()


def clean(own: set[str]) -> int:
    """Remove synthetic registrations with all that belongs to them; return how many.

    Only what a rehearsal is proven to have sent: its ids are in `own`, or its document bears the mark.
    """
    removed = 0
    rows = iter(list(_rows().values_list("pk", "registration_id")))
    while batch := list(islice(rows, BATCH)):
        registration_of = {str(request_id): registration_id for request_id, registration_id in batch}
        synthetic = _marked(list(registration_of)) | (own & registration_of.keys())
        logs.delete(list(synthetic))
        ParkedLog.objects.filter(pk__in=synthetic).delete()
        StoredSubmission.objects.filter(pk__in=synthetic).delete()
        alone = Registration.objects.filter(
            pk__in={registration_of[one] for one in synthetic}, submissions=None
        )
        removed += registrations.delete(list(alone.values_list("pk", flat=True)))
    return removed


def _host(url: SplitResult) -> str:
    """Return the Host to name: a machine's own name, as in http://web:8000, is no name of the site."""
    named = url.netloc.rpartition("@")[2]
    if url.scheme == "https" or plain_http.is_our_host(named.encode("latin-1", "replace")):
        return named
    return next((one.removeprefix(".") for one in settings.ALLOWED_HOSTS), named)


def _wait(missing: Pile, known: Callable[[Sequence[str]], set[str]], until: float) -> Pile:
    """Look again until nothing is missing or the time is over; return what still is."""
    while missing := ledger.without(missing, known):
        if time.monotonic() > until:
            break
        time.sleep(PAUSE)
    return missing


def _rows() -> QuerySet[StoredSubmission]:
    return StoredSubmission.objects.filter(registration__phone_number__startswith=PREFIX)


def _marked(ids: list[str]) -> set[str]:
    """Return which of these ids have a document, kept or parked, with a rehearsal's user agent."""
    documents = logs.find_many(ids)
    documents += ParkedLog.objects.filter(pk__in=ids).values_list("document", flat=True)
    return {one["_id"] for one in documents if str(one.get("user_agent")).startswith(MARK)}


def _compare_phones(accepted: set[str], report: Report) -> None:
    """Each phone was sent once: a second row of it is a duplicate, one of an unknown id was recovered."""
    rows = _rows()
    doubled = rows.values("registration").annotate(rows=Count("pk")).filter(rows__gt=1)
    for registration_id in doubled.values_list("registration", flat=True):
        report.duplicated.add(f"registration {registration_id}")
    for one in rows.values_list("pk", flat=True).iterator():
        if str(one) not in accepted:
            report.recovered.add(str(one))
