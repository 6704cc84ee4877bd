"""The only code that inserts registrations and submissions, and that deletes registrations."""

import logging
import time
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from campaigns.definition import DEFAULT, DEFAULT_ID
from landing.keeping import tracing
from landing.storing import erased_phones, events
from landing.submission import Submission
from lib import metrics, phones

log = logging.getLogger(__name__)

# One statement, so one round trip and one commit: registrations first, their ids into the
# submissions. Phones are taken in order, so that two batches lock rows in the same order and
# cannot deadlock. Both inserts change nothing the second time, in any order of delivery: the bounds
# only widen, and an older accepted_at wins.
# GROUP BY and DISTINCT ON: one statement may not touch a row twice (PostgreSQL raises 21000).
# The last SELECT reads `registered` and not the table: a statement does not see rows that it has inserted.
# DO UPDATE and not DO NOTHING for registrations: RETURNING gives back only rows that were written.
# The batch is empty if a campaign in it gives numbers and its row is not locked. That is seen in the statement itself,
# since places.begin() may be at work: it locks the table, which this statement waits for before its snapshot.
_NONE_UNLOCKED = """
    NOT EXISTS (
        SELECT FROM campaigns_campaign WHERE id = ANY(%(all)s) AND is_numbered AND id <> ALL(%(locked)s)
    )
"""
# And it is empty if a webhook wants to hear of it, and this statement tells nobody.
_NONE_SUBSCRIBED = f"NOT EXISTS (SELECT FROM landing_subscription WHERE {events.WANTS.format('%(slugs)s')})"
_ALL = """
batch AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(phones)s::varchar[], %(times)s::timestamptz[], %(campaigns)s::int[],
        %(details)s::text[]) AS submission(request_id, phone_number, accepted_at, campaign_id, details)
    WHERE {guard} AND NOT EXISTS (SELECT FROM landing_erasure)
)"""
# The same where people were erased (landing/storing/erasures.py). What comes of them from a queue, a spool, a dead letter
# or a backup is not stored, and its id is noted. A later registration of the same person is new, and welcome.
_SPARED = """
sent AS (
    SELECT submission.*, EXISTS (
        SELECT FROM landing_erasure AS gone WHERE gone.phone_hash IN (submission.phone_hash, '')
            AND coalesce(gone.campaign_id, submission.campaign_id) = submission.campaign_id
            AND submission.accepted_at <= gone.erased_at
    ) AS is_erased
    FROM unnest(%(ids)s::uuid[], %(phones)s::varchar[], %(times)s::timestamptz[], %(campaigns)s::int[],
        %(details)s::text[], %(hashes)s::bytea[])
        AS submission(request_id, phone_number, accepted_at, campaign_id, details, phone_hash)
    WHERE {guard}
), batch AS (
    SELECT request_id, phone_number, accepted_at, campaign_id, details FROM sent WHERE NOT is_erased
), erased AS (
    INSERT INTO landing_erased (request_id) SELECT DISTINCT request_id FROM sent WHERE is_erased
    ON CONFLICT DO NOTHING
)"""
_WIDEN = """
    ON CONFLICT (phone_number, campaign_id) DO UPDATE SET
        first_seen = least(known.first_seen, excluded.first_seen),
        last_seen = greatest(known.last_seen, excluded.last_seen)
    RETURNING id, phone_number, campaign_id, number
"""
_SUBMIT = """
    INSERT INTO landing_submission (request_id, registration_id, accepted_at, details)
    SELECT DISTINCT ON (request_id) request_id, registered.id, accepted_at, details::jsonb
    FROM batch JOIN registered USING (phone_number, campaign_id) ORDER BY request_id, accepted_at
    ON CONFLICT (request_id) DO UPDATE SET accepted_at = excluded.accepted_at, details = excluded.details
        WHERE excluded.accepted_at < landing_submission.accepted_at
"""
_STORED = (
    "SELECT request_id, registered.id, number FROM batch JOIN registered USING (phone_number, campaign_id)"
)

_STORE = f"""
WITH {{batch}}, registered AS (
    INSERT INTO landing_registration AS known (phone_number, campaign_id, first_seen, last_seen)
    SELECT phone_number, campaign_id, min(accepted_at), max(accepted_at)
    FROM batch GROUP BY phone_number, campaign_id ORDER BY phone_number, campaign_id
    {_WIDEN}
), submitted AS ({_SUBMIT}{{told}})
{_STORED}
"""  # noqa: S608  only our own words

# The campaign's row, then the table, then phones, as in landing/storing/places.py: no cycle. The batches of one campaign
# follow each other, so its numbers have no gap: counter and rows are committed together. A statement of its own: what
# it waited for is then in the snapshot of the next, whose NOT EXISTS would otherwise look at the past.
_LOCK = "SELECT id FROM campaigns_campaign WHERE id = ANY(%s) AND is_numbered ORDER BY id FOR UPDATE"
# A batch's people get numbers in the order of their acceptance. Between batches the order is that of their arrival
# here: a number that was told is never taken back, and an earlier one may still lie in the spool of a host that is off.
# A known phone keeps its number. One of a rehearsal gets none.
_STORE_NUMBERED = f"""
WITH {{batch}}, person AS (
    SELECT phone_number, campaign_id, min(accepted_at) AS first_seen, max(accepted_at) AS last_seen,
        (array_agg(request_id ORDER BY accepted_at, request_id))[1] AS first_id
    FROM batch GROUP BY phone_number, campaign_id
), fresh AS (
    SELECT phone_number, campaign_id,
        last_number + row_number() OVER (PARTITION BY campaign_id ORDER BY first_seen, first_id) AS number
    FROM person JOIN campaigns_campaign ON campaigns_campaign.id = campaign_id AND is_numbered
    WHERE phone_number NOT LIKE '{phones.SYNTHETIC}%%' AND NOT EXISTS (
        SELECT FROM landing_registration AS known
        WHERE known.phone_number = person.phone_number AND known.campaign_id = person.campaign_id
    )
), counted AS (
    UPDATE campaigns_campaign SET last_number = greatest
    FROM (SELECT campaign_id, max(number) AS greatest FROM fresh GROUP BY campaign_id) AS given
    WHERE id = campaign_id
), registered AS (
    INSERT INTO landing_registration AS known (phone_number, campaign_id, first_seen, last_seen, number)
    SELECT phone_number, campaign_id, first_seen, last_seen, number
    FROM person LEFT JOIN fresh USING (phone_number, campaign_id) ORDER BY phone_number, campaign_id
    {_WIDEN}
), submitted AS ({_SUBMIT}{{told}})
{_STORED}
"""  # noqa: S608  only our own words


def _statement(*, numbered: bool, spares: bool, tells: bool) -> str:
    batch = (_SPARED if spares else _ALL).format(
        guard=_NONE_UNLOCKED if tells else f"{_NONE_UNLOCKED} AND {_NONE_SUBSCRIBED}"
    )
    return (_STORE_NUMBERED if numbered else _STORE).format(
        batch=batch, told=events.OF_STORED if tells else ""
    )


_STATEMENTS = {
    (numbered, spares, tells): _statement(numbered=numbered, spares=spares, tells=tells)
    for numbered, spares, tells in product((False, True), repeat=3)
}
"""By whether a campaign of the batch gives numbers, anybody was ever erased, and a webhook hears of the batch."""
# Of a campaign that `migrate` has not seen yet: a kept registration waits for no command.
_ADD_CAMPAIGN = "INSERT INTO campaigns_campaign (slug) VALUES (%s) ON CONFLICT (slug) DO NOTHING"
_CAMPAIGN = "SELECT id FROM campaigns_campaign WHERE slug = %s"


MOST_LABELS = 100
"""Campaigns that have figures of their own, the oldest."""
_campaign_ids = {DEFAULT: DEFAULT_ID}
_numbered_ids: set[int] = set()
"""Campaigns that are known to give numbers. A campaign that does goes on for ever."""
_spares = False
"""Whether anybody was ever erased, as far as this process knows. Then it stays so."""
_subscribed: set[str] = set()
"""Campaigns that a webhook is known to hear of. When it no longer does, the statement says nothing all the same."""
_begun: list[float] = []
"""When the batches that are being stored now were begun. PostgreSQL's statement_timeout does not end a COMMIT that
waits for a synchronous standby, so this may be long."""


class Stored(NamedTuple):
    """What became of a submission: its registration's id, and the number in its campaign, if that gives any."""

    registration_id: int
    number: int | None


@metrics.timed("store_seconds")
@tracing.step("postgresql")
def store(batch: Sequence[Submission]) -> dict[str, Stored]:
    """Store a batch in one transaction; return what became of each request_id.

    Safe to repeat, in whole, in part, in any order and in parallel: a request_id that is already
    stored stays as it is, and a known phone only widens its first_seen and last_seen.
    Raises django.db.Error, and then nothing of the batch is stored.
    """
    columns: dict[str, list[Any]] = {
        "ids": [UUID(submission.request_id) for submission in batch],
        "phones": [submission.phone_number for submission in batch],
        "times": [submission.accepted_at for submission in batch],
        "campaigns": [_campaign_id(submission.campaign) for submission in batch],
        "details": [orjson.dumps(one.details).decode() if one.details else None for one in batch],
    }
    _begun.append(began := time.monotonic())
    try:
        rows = _stored(columns, {one.campaign for one in batch})
        return {str(request_id): Stored(*known) for request_id, *known in rows}
    finally:
        _begun.remove(began)


def _stored(columns: dict[str, list[Any]], slugs: set[str]) -> list[Any]:
    if not slugs:
        return []
    columns |= {"all": list(set(columns["campaigns"])), "slugs": list(slugs)}
    numbered, tells = not _numbered_ids.isdisjoint(columns["all"]), not _subscribed.isdisjoint(slugs)
    rows = _try(columns, numbered=numbered, spares=_spares, tells=tells)
    # Once more in a new transaction when a campaign has begun to give numbers, whose row must be locked before the table,
    # when somebody was erased for the first time, or when a webhook has begun to hear of a campaign.
    if not rows and not (numbered and _spares and tells):
        _learn(slugs)
        rows = _try(columns, numbered=True, spares=_spares, tells=not _subscribed.isdisjoint(slugs))
    return rows


def _try(columns: dict[str, list[Any]], *, numbered: bool, spares: bool, tells: bool) -> list[Any]:
    with transaction.atomic(), connection.cursor() as cursor:
        locked = _lock(cursor, columns["all"]) if numbered else []
        values = columns | {"locked": locked}
        if spares:
            values["hashes"] = [erased_phones.hash_of(one) for one in columns["phones"]]
        cursor.execute(_STATEMENTS[bool(locked), spares, tells], values)
        return list(cursor.fetchall())


def _learn(slugs: set[str]) -> None:
    global _spares  # noqa: PLW0603  one for the process
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM landing_erasure)")
        [found] = cursor.fetchone()
        _subscribed.update(slug for slug in slugs if events.are_wanted(cursor, slug))
    _spares = _spares or found


def _lock(cursor: CursorWrapper, campaigns: list[int]) -> list[int]:
    """Lock the campaigns that give numbers, and return their ids."""
    cursor.execute(_LOCK, [campaigns])
    locked = [campaign_id for (campaign_id,) in cursor]
    _numbered_ids.update(locked)
    return locked


def _campaign_id(slug: str) -> int:
    """Return the id of a campaign's row, which is made if need be. It never changes, so it is asked for once."""
    if (known := _campaign_ids.get(slug)) is not None:
        return known
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CAMPAIGN, [slug])
        if (found := cursor.fetchone()) is None:
            cursor.execute(_ADD_CAMPAIGN, [slug])
            cursor.execute(_CAMPAIGN, [slug])
            found = cursor.fetchone()
            log.warning("a campaign that no migrate has seen", extra={"campaign": slug})
    _campaign_ids[slug] = int(found[0])
    return _campaign_ids[slug]


def hold_storing(cursor: CursorWrapper) -> None:
    """Let nothing be stored until this transaction ends; accepting asks no database. Raises django.db.Error.

    A worker that stores holds a lock that this one conflicts with. So this waits for those at work, and all others wait
    until it is over: no row comes between them.
    """
    cursor.execute("SET LOCAL statement_timeout = 0")
    cursor.execute("LOCK TABLE landing_registration IN SHARE ROW EXCLUSIVE MODE")


def delete(registrations: Sequence[int]) -> int:
    """Delete registrations that have no submissions any more; return how many. Raises django.db.Error."""
    # Not through Django, which would look for rows of other applications that the toolbox may not see.
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM landing_registration WHERE id = ANY(%s)", [list(registrations)])
        return int(cursor.rowcount)


def campaign_label(slug: str) -> str:
    """Return what a figure calls a campaign. Anybody who may write to the queue can name campaigns without end."""
    return slug if _campaign_ids.get(slug, MOST_LABELS) < MOST_LABELS else "other"


def longest_store() -> float:
    """Return for how many seconds the oldest batch that is being stored by this process waits for PostgreSQL."""
    return max((time.monotonic() - began for began in list(_begun)), default=0.0)
