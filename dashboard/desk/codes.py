"""How codes by SMS are now, for the command, the admin and the doctor."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from confirmations import claims, switches
from confirmations.models import Lease, Switch
from dashboard.live.codes import told_line
from lib.clock import now

LONG = timedelta(days=1)
"""What a share of typed codes is of."""

_TYPED = """
SELECT count(*) FILTER (WHERE parts > 0), count(*) FILTER (WHERE parts > 0 AND EXISTS (
    SELECT FROM confirmations_try AS typed WHERE typed.request_id = ask.request_id AND verdict = 'confirmed'
)), count(*) FILTER (WHERE state = 'dropped' AND reason = 'limit'), count(*) FILTER (WHERE state = 'unknown'),
    count(*) FILTER (WHERE state = 'refused')
FROM confirmations_ask AS ask WHERE asked_at >= %s AND asked_at < %s
"""


def figures() -> dict[str, Any]:
    """Return how codes are now, as `manage.py codes status --json` prints it. Raises django.db.Error."""
    told = told_line()
    lease = Lease.objects.first()
    switch = Switch.objects.filter(pk=Switch.ALL).first()
    return {
        "gateway": settings.CODE_GATEWAY,
        "is_on": not switches.is_off(),
        "switched": {"by": switch.by, "reason": switch.reason, "at": switch.at.isoformat()}
        if switch
        else None,
        "courier": lease.holder if lease and lease.until > now() else None,
        "held_by": told.held_by if told else None,
        "waiting": told.waiting if told else None,
        "here": told.here if told else None,
        "wait_seconds": told.wait_of_next() if told else None,
        "rate": told.rate if told else None,
        "parts_today": claims.parts_today(),
        "budget": settings.CODE_BUDGET or None,
        "held_prefixes": list(
            Switch.objects.filter(name__startswith="hold:", until__gt=now()).values_list("name", flat=True)
        ),
        **typed(now() - LONG, now()),
    }


def typed(since: Any, until: Any) -> dict[str, Any]:
    """Return what became of the codes asked for in a time. Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_TYPED, [since, until])
        sent, confirmed, limited, unknown, refused = cursor.fetchone()
    return {
        "sent": sent,
        "typed": confirmed,
        "share_typed": round(confirmed / sent, 3) if sent else None,
        "limited": limited,
        "unknown": unknown,
        "refused": refused,
    }
