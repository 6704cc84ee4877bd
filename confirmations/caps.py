"""How many codes a number and an address group may have, and what is held since hardly anybody types its codes.

For claims.claim(), inside whose transaction nothing else is claimed: what is counted here cannot be overtaken.
"""

from datetime import datetime, timedelta

from django.db import connection

from confirmations import switches
from lib.clock import now

NUMBER_HOUR, NUMBER_DAY = 3, 5
"""Codes for one phone number, in all campaigns."""
GROUP_HOUR, GROUP_FOR_EACH = 30, 3
"""Codes for one address group in an hour, and as many more for each that was confirmed there in that hour."""
SUSPECT_SENT, SUSPECT_SHARE, HOLD = 20, 0.1, timedelta(hours=12)
"""So many sent and fewer than this share typed: the prefix is held for a while."""
PREFIX = 7

_OF_NUMBER = """
SELECT count(*) FILTER (WHERE claimed_at > %(hour)s), count(*)
FROM confirmations_ask AS ask JOIN landing_registration AS registration ON registration.id = ask.registration_id
WHERE phone_number = %(phone)s AND ask.parts > 0 AND claimed_at > %(day)s
"""
_SENT_AND_TYPED = """
SELECT count(*), count(*) FILTER (WHERE EXISTS (
    SELECT FROM confirmations_try AS try WHERE try.request_id = ask.request_id AND verdict = 'confirmed'
)) FROM confirmations_ask AS ask
"""
_OF_GROUP = f"""
{_SENT_AND_TYPED} WHERE from_key = %(group)s AND ask.parts > 0 AND claimed_at > %(hour)s
"""
_OF_PREFIX = f"""
{_SENT_AND_TYPED} JOIN landing_registration AS registration ON registration.id = ask.registration_id
WHERE phone_number LIKE %(prefix)s AND ask.parts > 0 AND claimed_at > %(hold)s AND claimed_at < %(typed)s
"""
_TIME_TO_TYPE = timedelta(minutes=2)


def are_reached(phone_number: str, group: bytes) -> bool:
    """Return whether no other code may go to this number now, or to this address group. Raises django.db.Error."""
    prefix = phone_number[:PREFIX]
    if switches.is_held(prefix):
        return True
    in_hour, in_day = _counted(_OF_NUMBER, phone=phone_number)
    if in_hour >= NUMBER_HOUR or in_day >= NUMBER_DAY:
        return True
    sent, confirmed = _counted(_OF_GROUP, group=group)
    if sent >= GROUP_HOUR + GROUP_FOR_EACH * confirmed:
        return True
    sent, confirmed = _counted(_OF_PREFIX, prefix=f"{prefix}%")
    if sent >= SUSPECT_SENT and confirmed < SUSPECT_SHARE * sent:
        reason = f"{confirmed} of {sent} codes to {prefix} were typed"
        switches.hold(prefix, until=now() + HOLD, reason=reason)
        return True
    return False


def _counted(statement: str, **values: str | bytes) -> tuple[int, int]:
    time = now()
    asked: dict[str, str | bytes | datetime] = {**values}
    asked |= {
        "hour": time - timedelta(hours=1),
        "day": time - timedelta(days=1),
        "hold": time - HOLD,
        "typed": time - _TIME_TO_TYPE,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        first, second = cursor.fetchone()
    return int(first), int(second)
