"""The only code that inserts registrations and submissions."""

import logging
import time
from collections.abc import Sequence
from uuid import UUID

import orjson
from django.db import connection, transaction

from campaigns.definition import DEFAULT, DEFAULT_ID
from landing.keeping import tracing
from landing.submission import Submission
from lib import metrics

log = logging.getLogger(__name__)

# One statement, so one round trip and one commit: registrations first, their ids into the
# submissions. Phones are taken in order, so that two batches lock rows in the same order and
# cannot deadlock. Both inserts change nothing the second time, in any order of delivery: the bounds
# only widen, and an older accepted_at wins.
# GROUP BY and DISTINCT ON: one statement may not touch a row twice (PostgreSQL raises 21000).
# The last SELECT reads `registered` and not the table: a statement does not see rows that it has inserted.
# DO UPDATE and not DO NOTHING for registrations: RETURNING gives back only rows that were written.
_STORE = """
WITH batch AS (
    SELECT * FROM unnest(%s::uuid[], %s::varchar[], %s::timestamptz[], %s::int[], %s::text[])
        AS submission(request_id, phone_number, accepted_at, campaign_id, details)
), registered AS (
    INSERT INTO landing_registration AS known (phone_number, campaign_id, first_seen, last_seen)
    SELECT phone_number, campaign_id, min(accepted_at), max(accepted_at)
    FROM batch GROUP BY phone_number, campaign_id ORDER BY phone_number, campaign_id
    ON CONFLICT (phone_number, campaign_id) DO UPDATE SET
        first_seen = least(known.first_seen, excluded.first_seen),
        last_seen = greatest(known.last_seen, excluded.last_seen)
    RETURNING id, phone_number, campaign_id
), submitted AS (
    INSERT INTO landing_submission (request_id, registration_id, accepted_at, details)
    SELECT DISTINCT ON (request_id) request_id, registered.id, accepted_at, details::jsonb
    FROM batch JOIN registered USING (phone_number, campaign_id) ORDER BY request_id, accepted_at
    ON CONFLICT (request_id) DO UPDATE SET accepted_at = excluded.accepted_at, details = excluded.details
        WHERE excluded.accepted_at < landing_submission.accepted_at
)
SELECT request_id, registered.id FROM batch JOIN registered USING (phone_number, campaign_id)
"""
# Of a campaign that `migrate` has not seen yet: a kept registration waits for no command.
_ADD_CAMPAIGN = "INSERT INTO campaigns_campaign (slug) VALUES (%s) ON CONFLICT (slug) DO NOTHING"
_CAMPAIGN = "SELECT id FROM campaigns_campaign WHERE slug = %s"


MOST_LABELS = 100
"""Campaigns that have figures of their own, the oldest."""
_campaign_ids = {DEFAULT: DEFAULT_ID}
_begun: list[float] = []
"""When the batches that are being stored now were begun. PostgreSQL's statement_timeout does not end a COMMIT that
waits for a synchronous standby, so this may be long."""


@metrics.timed("store_seconds")
@tracing.step("postgresql")
def store(batch: Sequence[Submission]) -> dict[str, int]:
    """Store a batch in one transaction; return the registration's id for each request_id.

    Safe to repeat, in whole, in part, in any order and in parallel: a request_id that is already
    stored stays as it is, and a known phone only widens its first_seen and last_seen.
    Raises django.db.Error, and then nothing of the batch is stored.
    """
    request_ids = [UUID(submission.request_id) for submission in batch]
    phone_numbers = [submission.phone_number for submission in batch]
    times = [submission.accepted_at for submission in batch]
    campaigns = [_campaign_id(submission.campaign) for submission in batch]
    details = [orjson.dumps(one.details).decode() if one.details else None for one in batch]
    _begun.append(began := time.monotonic())
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_STORE, [request_ids, phone_numbers, times, campaigns, details])
            return {str(request_id): registration_id for request_id, registration_id in cursor}
    finally:
        _begun.remove(began)


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


def campaign_label(slug: str) -> str:
    """Return what a figure calls a campaign. Anybody who may write to the queue can name campaigns without end."""
    return slug if _campaign_ids.get(slug, MOST_LABELS) < MOST_LABELS else "other"


def longest_store() -> float:
    """Return for how many seconds the oldest batch that is being stored by this process waits for PostgreSQL."""
    return max((time.monotonic() - began for began in list(_begun)), default=0.0)
