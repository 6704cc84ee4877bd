"""How far a submission's confirmation is: from PostgreSQL, cached in Redis, and as the API tells it."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection
from redis import Redis
from redis.client import Pipeline

from confirmations.asks import pause_after
from confirmations.codes import DIGITS
from confirmations.line import Line
from confirmations.tries import MOST_TRIES
from landing.keeping import redis_clients
from lib.outage import Outage

KEY, CHECKING = "code:", "checking:"
"""Of a submission in Redis: its state, and the try that the web has taken last."""
TTL, CHECKING_TTL = 1800, 60
TRY_LATER = {"gateway": 10, "budget": 600, "off": 300}
"""Seconds after which it makes sense to look again, by what holds codes up."""

_outage = Outage(pause=1.0)

_STATES = """
SELECT DISTINCT ON (ask.request_id) ask.request_id, ask.id, ask.n, ask.state, ask.reason,
    extract(epoch FROM ask.settled_at)::float8, extract(epoch FROM challenge.expires_at)::float8,
    challenge.tries, challenge.closed_as, typed.try_id, typed.verdict
FROM confirmations_ask AS ask
LEFT JOIN confirmations_challenge AS challenge ON challenge.id = ask.challenge_id
LEFT JOIN LATERAL (
    SELECT try_id, verdict FROM confirmations_try WHERE request_id = ask.request_id
    ORDER BY verdict = 'confirmed' DESC, arrived_at DESC LIMIT 1
) AS typed ON true
WHERE ask.request_id = ANY(%s) ORDER BY ask.request_id, ask.n DESC
"""
# Questions go after 30 days; that a number is proven stays.
_PROVEN = """
SELECT submission.request_id FROM landing_submission AS submission
JOIN landing_registration AS registration ON registration.id = submission.registration_id
WHERE submission.request_id = ANY(%s) AND registration.confirmed_by = submission.request_id
"""


@dataclass(frozen=True)
class State:
    """One submission's. Times are Unix times.

    status: as the API has it, but for what depends on the time and on the line. place: in the line. again_at: when
    another code can be asked for. typed: the last try's id and verdict.
    """

    status: str
    place: int = 0
    again_at: float = 0.0
    expires_at: float = 0.0
    tries: int = 0
    typed: tuple[str, str] | None = None
    why: str = ""

    def told(self, line: Line | None, checking: str = "") -> dict[str, Any]:
        """Return what the API tells of it now. checking: the id of the try that the web has taken last."""
        now = time.time()
        status = "expired" if self.status == "sent" and now > self.expires_at else self.status
        if checking and status in ("sent", "expired") and (self.typed is None or self.typed[0] != checking):
            return {"status": "checking", "try": checking}
        if status == "waiting":
            return _in_line(self.place, line)
        if status == "unasked":
            return {"status": status, "wait": line.wait_of_next() if line else 0}
        told: dict[str, Any] = {"status": status}
        if status == "sent":
            told |= {"expires_in": _left(self.expires_at, now), "tries_left": max(0, MOST_TRIES - self.tries)}
            told |= {"digits": DIGITS}
        if status in ("sent", "expired", "locked", "later"):
            told["again_in"] = _left(self.again_at, now)
        if self.typed and status in ("sent", "expired", "locked"):
            told["last_try"] = {"id": self.typed[0], "result": self.typed[1]}
        return told | ({"why": self.why} if self.why else {})


UNASKED = State("unasked")


def _in_line(place: int, line: Line | None) -> dict[str, Any]:
    if line is None:
        return {"status": "waiting", "called": True}
    if line.held_by:
        return {"status": "later", "why": line.held_by, "again_in": TRY_LATER[line.held_by]}
    return {
        "status": "waiting",
        "before": line.before(place),
        "wait": line.wait(place),
        "called": line.calls(place),
    }


def of(request_ids: Iterable[str]) -> dict[str, State]:
    """Return the states of those submissions that have asked for a code. Raises django.db.Error."""
    asked = [UUID(request_id) for request_id in request_ids]
    with connection.cursor() as cursor:
        cursor.execute(_STATES, [asked])
        known = {str(request_id): _state(*row) for request_id, *row in cursor}
        if others := [one for one in asked if str(one) not in known]:
            cursor.execute(_PROVEN, [others])
            known |= {str(request_id): State("confirmed") for (request_id,) in cursor}
    return known


def _state(
    place: int,
    n: int,
    state: str,
    reason: str,
    settled_at: float | None,
    expires_at: float | None,
    tries: int | None,
    closed_as: str | None,
    try_id: UUID | None,
    verdict: str | None,
) -> State:
    typed = (str(try_id), verdict) if try_id and verdict else None
    again_at = (settled_at or 0.0) + pause_after(n)
    if verdict == "confirmed":
        return State("confirmed")
    if state in ("waiting", "sending"):
        return State("waiting", place=place)
    if state == "refused":
        return State("impossible" if reason == "impossible" else "undelivered")
    if state == "dropped":
        is_limit = reason == "limit"
        return (
            State("later", again_at=again_at, why="limit" if is_limit else "off")
            if reason != "left"
            else UNASKED
        )
    if closed_as:
        status = "locked" if closed_as == "locked" else "expired"
        return State(status, again_at=again_at, typed=typed)
    return State("sent", again_at=again_at, expires_at=expires_at or 0.0, tries=tries or 0, typed=typed)


def tell(request_ids: Sequence[str], *, first: Iterable[str] = ()) -> None:
    """Write the states of submissions to Redis. Raises django.db.Error; a Redis that fails is passed over.

    first: those that have only just come into the line. The courier may have written more of them meanwhile, which
    must stay.
    """
    if not request_ids or _outage.is_on:
        return
    states, new = of(request_ids), set(first)

    def fill(pipeline: Pipeline) -> None:
        for request_id, state in states.items():
            is_new = request_id in new and state.status == "waiting"
            pipeline.set(KEY + request_id, orjson.dumps(asdict(state)), ex=TTL, nx=is_new)

    redis_clients.write(_redis(), fill, _outage, "confirmations not written to Redis")


def read(told: Any) -> State | None:
    """Return the state that tell() wrote, or None."""
    try:
        known: Mapping[str, Any] = orjson.loads(told)
        typed = known["typed"]
        return State(**{**known, "typed": (str(typed[0]), str(typed[1])) if typed else None})
    except (ValueError, TypeError, KeyError, IndexError):
        return None


def _left(moment: float, now: float) -> int:
    return max(0, round(moment - now))


@cache
def _redis() -> Redis:
    return redis_clients.connect(settings.REDIS_TIMEOUT)
