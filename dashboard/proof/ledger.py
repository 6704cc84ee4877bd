"""The ledger: everything that a witness saw accepted must be somewhere, once. In Jepsen's words:

lost         accepted, and in no store, queue or spool
duplicated   one acceptance, stored more than once
recovered    stored, though nobody was told so: a sender whose answer was cut off. Allowed.
unexpected   stored, and never given out by us

Every source is read as ids in order and one walk compares them all, so memory does not grow with
their number. The stores are in use meanwhile: what seems wrong is looked up again, and only said
when it still is after `settle` seconds.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from django.conf import settings

from dashboard.desk import queue_messages
from dashboard.proof import sources
from dashboard.proof.sorted_ids import Pile, aligned, in_order
from landing.models import StoredSubmission
from lib import request_ids
from lib.clock import now
from logs import utils as logs

EXAMPLES = 20
PAUSE = 0.5


@dataclass(frozen=True)
class Question:
    """What is to be compared.

    accepted: ids that a witness saw accepted, or None to compare the stores with each other only.
    attempted: ids that were sent: any other in a store is unexpected. None: any id of ours may be there.
    excused: ids that were removed on purpose, beside those of erased people, which PostgreSQL knows.
    spooled: ids that wait in spools which cannot be seen from here.
    since, until: which rows and documents are looked at, by their time of acceptance (whole milliseconds).
    settle: seconds that may pass until everything has arrived.
    """

    accepted: Iterable[str] | None = None
    attempted: Iterable[str] | None = None
    excused: Iterable[str] = ()
    spooled: Iterable[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    settle: float = 30.0


@dataclass
class Tally:
    """How many, and the first of them."""

    count: int = 0
    ids: list[str] = field(default_factory=list)

    def add(self, one: str) -> None:
        self.count += 1
        if len(self.ids) < EXAMPLES:
            self.ids.append(one)


@dataclass
class Report:
    """What became of everything accepted."""

    witnessed: bool
    documents_kept: bool = True
    accepted: int = 0
    stored: int = 0
    queued: Tally = field(default_factory=Tally)
    spooled: Tally = field(default_factory=Tally)
    parked: Tally = field(default_factory=Tally)
    dead: Tally = field(default_factory=Tally)
    excused: Tally = field(default_factory=Tally)
    recovered: Tally = field(default_factory=Tally)
    lost: Tally = field(default_factory=Tally)
    duplicated: Tally = field(default_factory=Tally)
    unexpected: Tally = field(default_factory=Tally)
    undocumented: Tally = field(default_factory=Tally)
    orphans: Tally = field(default_factory=Tally)
    repaired: Tally = field(default_factory=Tally)
    in_hand: int | None = None
    """Messages that workers hold, asked when something is lost: it may be among them."""

    @property
    def damage(self) -> int:
        """How many things are wrong."""
        wrong = (self.lost, self.duplicated, self.unexpected, self.undocumented, self.orphans)
        return sum(tally.count for tally in wrong)


class Seen(NamedTuple):
    """How often each source has one id."""

    accepted: int
    attempted: int
    excused: int
    dead: int
    parked: int
    documents: int
    rows: int


class Suspects:
    """What seems wrong at first sight, to be looked up again."""

    def __init__(self) -> None:
        self.without_row = Pile()  # accepted
        self.without_document = Pile()  # stored
        self.document_only = Pile()
        self.foreign_documents: list[Any] = []  # their _id is no text


def reconcile(question: Question, *, repair: bool = False) -> Report:
    """Compare, and with `repair` write documents that only MongoDB lacks.

    Raises StoreUnavailable, django.db.Error, SpoolFailed, QueueNotRead or one of queues.OUTAGES.
    """
    report = Report(witnessed=question.accepted is not None)
    suspects = Suspects()
    _walk(question, report, suspects)
    _settle(question.settle, report, suspects)
    trace(suspects.without_row, report, question.spooled)
    _judge_documents(suspects, report)
    _tell(suspects.without_document, report.undocumented)
    if repair and report.undocumented.count:
        _repair(suspects.without_document, report)
    _tell((str(one) for one in sources.orphans()), report.orphans)
    return report


def _walk(question: Question, report: Report, suspects: Suspects) -> None:
    """Compare all sources id by id, and put aside what seems wrong."""
    documents = logs.ids(question.since, question.until)
    report.documents_kept = documents is not None
    secret = settings.SECRET_KEY.encode()
    # Lazy streams, each in the order of the ids. Rows come last from a cursor of the database; all others are
    # sorted on the disk before the walk begins, so they are a little older than the rows. What arrives in
    # between looks missing at first, and _settle() finds it.
    streams = (
        in_order(question.accepted or ()),
        in_order(question.attempted or ()),
        in_order(chain(question.excused, sources.erased())),
        in_order(sources.dead()),
        in_order(sources.parked()),
        in_order(_texts(documents or (), suspects.foreign_documents)),
        sources.rows(question.since, question.until),
    )
    for one, counts in aligned(*streams):
        seen = Seen(*counts)
        report.accepted += seen.accepted
        # The primary key forbids this in one table; a restored or merged database may have lost it.
        if seen.rows > 1:
            report.duplicated.add(one)
        if seen.rows:
            may_be_there = (
                seen.attempted if question.attempted is not None else request_ids.is_genuine(secret, one)
            )
            _see_stored(one, seen, report, suspects, may_be_there=bool(may_be_there))
        else:
            _see_unstored(one, seen, report, suspects)


def _see_stored(one: str, seen: Seen, report: Report, suspects: Suspects, *, may_be_there: bool) -> None:
    if seen.accepted or not report.witnessed:
        report.stored += 1
    if not (seen.accepted or may_be_there):
        report.unexpected.add(one)
    elif not seen.accepted and report.witnessed:
        report.recovered.add(one)
    if seen.documents or not report.documents_kept:
        return
    if seen.parked:
        report.parked.add(one)
    else:
        suspects.without_document.add(one)


def _see_unstored(one: str, seen: Seen, report: Report, suspects: Suspects) -> None:
    if seen.excused:
        if seen.accepted:
            report.excused.add(one)
    elif seen.accepted and seen.dead:
        report.dead.add(one)
    elif seen.accepted:
        suspects.without_row.add(one)
    elif seen.documents:
        suspects.document_only.add(one)


def _settle(settle: float, report: Report, suspects: Suspects) -> None:
    """Look again at what is missing until it is there or the time is over."""
    until = time.monotonic() + settle
    while suspects.without_row or suspects.without_document:
        missing = len(suspects.without_row)
        suspects.without_row = without(suspects.without_row, sources.among_rows)
        suspects.without_document = without(suspects.without_document, sources.among_documents)
        report.stored += missing - len(suspects.without_row)
        if time.monotonic() > until:
            break
        if suspects.without_row or suspects.without_document:
            time.sleep(PAUSE)


def trace(missing: Pile, report: Report, spooled_elsewhere: Iterable[str] = ()) -> None:
    """Find what has no row on its way there. The sources are read in the order of that way."""
    if not missing:
        return
    # A registration moves from the spool to the queue, and from there to a row or to the dead letters, never back.
    # So what leaves one source before it is read is found in a later one. What is in none of them was in a
    # worker's hands meanwhile: hence the last look among the rows, and `in_hand` beside what is still missing.
    spooled = in_order(chain(sources.spooled(), spooled_elsewhere))
    queued, dead = in_order(sources.queued()), in_order(sources.dead())
    nowhere = Pile()
    for one, (is_missing, in_spool, in_queue, is_dead) in aligned(missing, spooled, queued, dead):
        if not is_missing:
            continue
        if in_spool:
            report.spooled.add(one)
        elif in_queue:
            report.queued.add(one)
        elif is_dead:
            report.dead.add(one)
        else:
            nowhere.add(one)
    lost = without(nowhere, sources.among_rows)
    report.stored += len(nowhere) - len(lost)
    _tell(lost, report.lost)
    if lost:
        report.in_hand = queue_messages.in_hand()


def _judge_documents(suspects: Suspects, report: Report) -> None:
    """Tell a document without a row: a copy of another's, the last trace of a lost row, or not ours."""
    secret = settings.SECRET_KEY.encode()
    alone = without(suspects.document_only, sources.among_rows)
    for batch in (*alone.batches(), suspects.foreign_documents):
        documents = logs.find_many(batch)
        rows = sources.rows_by_acceptance(documents)
        for document in documents:
            one = str(document["_id"])
            told = sources.acceptance(document)
            # The same registration and time under another id: one acceptance that was stored twice.
            if told in rows:
                report.duplicated.add(rows[told])
            elif request_ids.is_genuine(secret, one):
                report.lost.add(one)
            else:
                report.unexpected.add(one)


def _repair(without_document: Pile, report: Report) -> None:
    """Write documents with what PostgreSQL knows, marked as repaired."""
    for batch in without_document.batches():
        rows = StoredSubmission.objects.filter(pk__in=batch)
        logs.log_requests([_minimal_document(row) for row in rows])
    # Read again and not believed: a worker may have delivered the parked document in this very moment.
    left = without(without_document, sources.among_documents)
    still = set(left)
    _tell((one for one in without_document if one not in still), report.repaired)
    report.undocumented = Tally()
    _tell(left, report.undocumented)


def _minimal_document(row: StoredSubmission) -> dict[str, Any]:
    return {
        "_id": str(row.pk),
        "registration_id": row.registration_id,
        "ip_address": "",
        "referrer": "",
        "user_agent": "",
        "accepted_at": row.accepted_at,
        "queued_at": None,
        "logged_at": now(),
        "repaired": True,
    }


def _texts(documents: Iterable[Any], others: list[Any]) -> Iterator[str]:
    for one in documents:
        if isinstance(one, str):
            yield one
        else:
            others.append(one)


def without(pile: Pile, known: Callable[[Sequence[str]], set[str]]) -> Pile:
    """Return a pile without the ids that `known` finds in a batch of them."""
    left = Pile()
    for batch in pile.batches():
        found = known(batch)
        for one in batch:
            if one not in found:
                left.add(one)
    return left


def _tell(ids: Iterable[str], tally: Tally) -> None:
    for one in ids:
        tally.add(one)
