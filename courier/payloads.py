"""What webhooks are sent: submissions as they are in PostgreSQL at the moment of sending."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db import connection

from campaigns.models import CampaignRow

MOST_SUBMISSIONS, MOST_BYTES = 50, 16_384
"""In one message. A submission that is larger alone is sent alone."""
TYPES = {
    "stored": "submissions.stored",
    "placed": "registrations.placed",
    "confirmed": "registrations.confirmed",
}
_ROOM = 512
"""Bytes for what stands around the submissions, and for a place whose state has become a longer word."""

# first: the first stored of its registration. By that time and not by accepted_at: an older one may come later, out of
# the spool of a web that was down, and a receiver would have two firsts.
_READ = """
SELECT submission.request_id, campaign.id, campaign.slug, phone_number, submission.accepted_at,
    NOT EXISTS (
        SELECT FROM landing_submission AS earlier WHERE earlier.registration_id = registration.id
            AND (earlier.stored_at, earlier.request_id) < (submission.stored_at, submission.request_id)
    ), submission.details, number, status = 'confirmed'
FROM landing_submission AS submission
JOIN landing_registration AS registration ON registration.id = submission.registration_id
JOIN campaigns_campaign AS campaign ON campaign.id = registration.campaign_id
WHERE submission.request_id = ANY(%s)
"""

Item = dict[str, Any]


def read(request_ids: Sequence[UUID]) -> dict[UUID, Item]:
    """Return submissions as webhooks are told of them. Those that were erased are missing. Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_READ, [list(request_ids)])
        rows = cursor.fetchall()
    campaigns = CampaignRow.objects.in_bulk({campaign_id for _, campaign_id, *_ in rows})
    return {request_id: _item(request_id, campaigns[row[0]], *row[1:]) for request_id, *row in rows}


def body(kind: str, created_at: datetime, items: Iterable[Item]) -> bytes:
    """Return one message."""
    return orjson.dumps(
        {"type": TYPES[kind], "timestamp": created_at, "data": {"submissions": list(items)}},
        option=orjson.OPT_UTC_Z,
    )


def packed(items: Mapping[UUID, Item]) -> Iterator[list[UUID]]:
    """Yield the ids of each message: as many as fit into one, in order."""
    ids: list[UUID] = []
    size = _ROOM
    for request_id, item in items.items():
        more = len(orjson.dumps(item)) + 1
        if ids and (len(ids) == MOST_SUBMISSIONS or size + more > MOST_BYTES):
            yield ids
            ids, size = [], _ROOM
        ids.append(request_id)
        size += more
    if ids:
        yield ids


def _item(
    request_id: UUID,
    campaign: CampaignRow,
    slug: str,
    phone_number: str,
    accepted_at: datetime,
    is_first: bool,
    details: str | None,
    number: int | None,
    is_confirmed: bool,
) -> Item:
    fields = orjson.loads(details) if details else {}
    consent, source = fields.pop("consent", None), fields.pop("source", None)
    has_capacity = campaign.capacity is not None
    return {
        "request_id": str(request_id),
        "campaign": slug,
        "phone_number": phone_number,
        "first": is_first,
        "accepted_at": accepted_at,
        "fields": fields,
        "consent": consent,
        "source": source,
        "place": campaign.line.place_of(number) if number is not None and has_capacity else None,
        "confirmed": is_confirmed,
    }
