"""What webhooks are told of: written in the transaction in which it happens, so none is lost and none is untrue.

Ids and no content: what is sent is read when it is sent, so a person who was erased leaves all that waits.
"""

from django.db import connection
from django.db.backends.utils import CursorWrapper

from campaigns.line import Line
from lib import phones

WANTS = "cardinality(campaigns) = 0 OR campaigns::text[] && {}::text[]"
"""Whether a subscription is to one of these slugs."""
_WANTED = f"""
EXISTS (
    SELECT FROM campaigns_campaign AS campaign JOIN landing_subscription ON {WANTS.format("ARRAY[campaign.slug]")}
    WHERE campaign.id = registered.campaign_id {{by}}
) AND registered.phone_number NOT LIKE '{phones.SYNTHETIC}%%'
"""
_IS_WANTED = _WANTED.format(by="")
IS_WANTED_BY_ONE = _WANTED.format(by="AND landing_subscription.name = %(webhook)s")
"""Whether a webhook hears of a row of `registered`."""
# The end of the statement that stores. xmax is 0 in a row that was inserted, not updated: each submission once.
OF_STORED = f"""
    RETURNING request_id, registration_id, xmax = 0 AS is_new
), told AS (
    INSERT INTO landing_event (kind, request_id)
    SELECT 'stored', request_id
    FROM submitted JOIN registered ON registered.id = submitted.registration_id
    WHERE is_new AND {_IS_WANTED}
"""  # noqa: S608  only our own words
_ARE_WANTED = f"SELECT EXISTS (SELECT FROM landing_subscription WHERE {WANTS.format('%s')})"  # noqa: S608  ours
_CONFIRMED = f"""
INSERT INTO landing_event (kind, request_id)
SELECT 'confirmed', request_id
FROM landing_submission JOIN landing_registration AS registered ON registered.id = registration_id
WHERE request_id = %s AND {_IS_WANTED}
"""  # noqa: S608  only our own words
_PLACED = f"""
INSERT INTO landing_event (kind, request_id)
SELECT 'placed', first.request_id
FROM landing_registration AS registered CROSS JOIN LATERAL (
    SELECT request_id FROM landing_submission WHERE registration_id = registered.id ORDER BY stored_at, request_id LIMIT 1
) AS first
WHERE registered.campaign_id = %s AND number > %s AND number <= %s AND number <> ALL(%s) AND {_IS_WANTED}
ORDER BY number
"""  # noqa: S608  only our own words


def are_wanted(cursor: CursorWrapper, slug: str) -> bool:
    """Return whether a webhook hears of a campaign. Raises django.db.Error."""
    cursor.execute(_ARE_WANTED, [[slug]])
    return bool(cursor.fetchone()[0])


def note_confirmed(request_id: str) -> None:
    """Tell webhooks that the sender of a submission has proven the number. Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_CONFIRMED, [request_id])


def note_placed(cursor: CursorWrapper, campaign_id: int, admitted: int, line: Line) -> None:
    """Tell webhooks of those who have a place now, and had none when so many were admitted. Raises django.db.Error."""
    if line.admitted > admitted:
        cursor.execute(_PLACED, [campaign_id, admitted, line.admitted, list(line.cancelled)])
