"""The courier's round: claim, send, settle, tell. It survives what it did not expect, and says so."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import replace

import httpx
from django.conf import settings
from django.db import connection
from redis.exceptions import RedisError

from confirmations import claims, line, states
from confirmations.claims import Errand, Outcome
from confirmations.line import Line
from courier import gateway, on_this_machine
from courier.gateway import Sender
from courier.pace import Pace
from courier.rounds import Database, pause
from landing.keeping import redis_clients
from lib import metrics
from lib.off_loop import Unanswered

log = logging.getLogger(__name__)

EVERY = 0.25
"""Seconds from one claim to the next."""
MOST_UNDER_WAY = 100
"""Calls to gateways at a time."""
SETTLE_FOR = 300.0
"""Seconds for which an outcome is kept in memory while PostgreSQL is away. After it, "nobody knows" stands."""

_WAITING = """
SELECT coalesce(min(id), 0), coalesce(max(id), 0), count(*), count(*) FILTER (WHERE here_at > %s)
FROM confirmations_ask WHERE state = 'waiting'
"""


class Courier:
    """Sends codes through the first gateway that sends them. One of several couriers works, the others stand by."""

    def __init__(self, gateways: Sequence[Sender], rate: float, holder: str, stopping: asyncio.Event) -> None:
        self._holder, self._stopping = holder, stopping
        self._gateways = gateways
        self._pace = Pace(rate)
        self._under_way: set[asyncio.Task[None]] = set()
        self._database = Database("codes")
        self._redis = redis_clients.connect(1.0)
        self._line = Line()
        self._line_due = 0.0
        self._held_by = ""
        self._came = self._were_called = 0

    async def run(self) -> None:
        """Send until `stopping` is set, then wait for the calls under way."""
        async with gateway.open_client() as client:
            while not self._stopping.is_set():
                try:
                    await self._round(client)
                except Unanswered:
                    pass  # OffLoop has said so
                except Exception:
                    log.exception("a loop goes on after an error", extra={"loop": "courier"})
                await pause(EVERY, self._stopping)
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=gateway.TIMEOUT + 2)

    async def _round(self, client: httpx.AsyncClient) -> None:
        room = min(self._pace.room(), MOST_UNDER_WAY - len(self._under_way))
        claimed = await self._database.do(claims.claim, self._holder, room)
        if not claimed.is_ours:
            return
        if claimed.held_by is not None:
            self._held_by = claimed.held_by
        self._pace.take(len(claimed.errands))
        for errand in claimed.errands:
            task = asyncio.create_task(self._send(client, errand))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        await self._database.do(states.tell, list(claimed.changed))
        if time.monotonic() >= self._line_due:
            self._line_due = time.monotonic() + 1.0
            await self._database.do(self._tell_line)

    async def _send(self, client: httpx.AsyncClient, errand: Errand) -> None:
        started = time.monotonic()
        outcome = await self._outcome(client, errand)
        metrics.observe("code_gateway_seconds", time.monotonic() - started)
        metrics.count(f"codes_sent:{outcome.kind}")
        was_down = self._pace.is_down
        self._pace.note(outcome.kind, outcome.reason)
        told = {"request_ids": [errand.request_id], "gateway": outcome.gateway, "outcome": outcome.kind}
        level = logging.INFO if outcome.kind == "accepted" else logging.WARNING
        log.log(level, "code", extra=told | {"reason": outcome.reason})
        if self._pace.is_down and not was_down:
            log.error(
                "no codes: the gateway does not work; people wait in line", extra={"reason": outcome.reason}
            )
        self._came += outcome.kind == "accepted"
        await self._settle(errand, outcome)

    async def _outcome(self, client: httpx.AsyncClient, errand: Errand) -> Outcome:
        """Return what the first gateway says that does more than decline. What may have been sent is not sent again."""
        outcome = Outcome("not_sent", reason="no gateway")
        for sender in self._gateways:
            try:
                outcome = await sender.send(client, errand)
            except Exception as error:  # of ours: it may have come after the call
                log.exception("a gateway's call failed")
                return Outcome("unknown", sender.name, reason=type(error).__name__)
            if outcome.kind not in ("not_sent", "stop"):
                break
        return outcome

    async def _settle(self, errand: Errand, outcome: Outcome) -> None:
        until = time.monotonic() + SETTLE_FOR
        while True:
            try:
                await self._database.do(claims.settle, errand, outcome)
                await self._database.do(states.tell, [errand.request_id])
            except Unanswered:
                if time.monotonic() > until:
                    log.error("an outcome is given up", extra={"request_ids": [errand.request_id]})
                    return
                await asyncio.sleep(random.uniform(0.5, 3.0))  # noqa: S311  not a secret
            else:
                return

    def _tell_line(self) -> None:
        """Write to Redis how long the line is, and who is called."""
        with connection.cursor() as cursor:
            cursor.execute(_WAITING, [claims.here_since()])
            first, last, waiting, here = cursor.fetchone()
        held_by = self._held_by or ("gateway" if self._pace.is_down else "")
        self._came += max(0, here - self._line.here)
        now = replace(
            self._line,
            first=first,
            last=last,
            waiting=waiting,
            here=here,
            rate=self._pace.rate,
            held_by=held_by,
            parts=claims.parts_today(),
        )
        called = now.called if held_by else now.next_called()
        self._learn_share(now.people_between(now.called, called))
        self._line = replace(now, called=called, share=self._line.share, at=time.time())
        try:
            self._redis.set(line.KEY, self._line.to_json(), ex=60)
        except (RedisError, OSError) as error:
            log.warning("the line is not told", extra={"reason": repr(error)})

    def _learn_share(self, newly_called: int) -> None:
        """Learn how many of those who are called come."""
        self._were_called += newly_called
        if self._were_called < 50:
            return
        seen = min(1.0, max(line.LEAST_SHARE, self._came / self._were_called))
        self._line = replace(self._line, share=0.7 * self._line.share + 0.3 * seen)
        self._came = self._were_called = 0


def unfit_settings() -> str:
    """Return what is wrong with the settings for sending codes, with the next step; "" if nothing is."""
    is_real = any(name not in on_this_machine.GATEWAYS for name in settings.CODE_GATEWAY)
    if not is_real and settings.HTTPS:
        return "CODE_GATEWAY=file and console write codes where people can read them: not with HTTPS=on."
    if is_real and not settings.CODE_BUDGET:
        return "CODE_BUDGET is not set: the most parts of SMS that you pay for in a day, such as 20000."
    if is_real and not settings.CODE_GATEWAY_KEY:
        return "CODE_GATEWAY_KEY is not set: the key that the gateway gave you, or a file with it in CODE_GATEWAY_KEY_FILE."
    return ""
