"""The courier's rounds for webhooks: take events, and call each receiver, one call at a time."""

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from email.utils import parsedate_to_datetime
from functools import partial
from urllib.parse import urlsplit
from uuid import uuid4

import certifi
import httpcore
import orjson
from django.conf import settings

from courier import deliveries
from courier.addresses import GuardedNetwork, NotAllowed
from courier.deliveries import Due, Result
from courier.models import Delivery
from courier.rounds import Database, pause
from courier.webhooks import Webhook
from lib import metrics
from lib.clock import now
from lib.off_loop import Unanswered

log = logging.getLogger(__name__)

EVERY = 0.25
"""Seconds from one look to the next where there is nothing to do."""
TIMEOUT, CONNECT_TIMEOUT = 15.0, 5.0
"""Seconds for all of a call, the look-up of the name included, and to connect."""
LARGEST_ANSWER = 4_096
"""Bytes that are read of an answer, to use the connection again. Nobody looks at them."""
PURGE_EVERY = 3_600.0


class Caller:
    """Calls one webhook's receiver, over a connection that is kept."""

    def __init__(self, webhook: Webhook) -> None:
        self.webhook = webhook
        # No environment's proxy, no redirect: httpcore knows neither. Without https only our own network.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_trust(),
            network_backend=GuardedNetwork(takes_public=urlsplit(webhook.url).scheme == "https"),
            max_connections=1,
            keepalive_expiry=30.0,
        )

    async def call(self, message_id: str, body: bytes) -> Result:
        """Send a message once. Whatever the receiver does is a result, and no error."""
        started = time.monotonic()
        status, reason, retry_after = None, "", None
        try:
            async with asyncio.timeout(TIMEOUT):
                status, retry_after = await self._exchange(message_id, body)
            reason = f"HTTP {status}"
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
            TimeoutError,
        ) as error:
            reason = type(error).__name__
        except NotAllowed as error:
            reason = str(error)
        return Result(time.monotonic() - started, status, reason, retry_after)

    async def close(self) -> None:
        """Close the connection."""
        await self._pool.aclose()

    async def _exchange(self, message_id: str, body: bytes) -> tuple[int, float | None]:
        headers = self.webhook.headers(message_id, int(time.time()), body)
        headers |= {"content-type": "application/json", "user-agent": f"Breakwater/{settings.VERSION}"}
        async with self._pool.stream(
            "POST",
            self.webhook.url,
            headers=list(headers.items()),
            content=body,
            extensions={"timeout": {"connect": CONNECT_TIMEOUT, "read": TIMEOUT, "write": TIMEOUT}},
        ) as answer:
            size = 0
            async for piece in answer.aiter_stream():
                if (size := size + len(piece)) > LARGEST_ANSWER:
                    break
            told = {name.lower(): value for name, value in answer.headers}
            return answer.status, _seconds(told.get(b"retry-after", b""))


class Deliverer:
    """Delivers what webhooks wait for. Several couriers may: each receiver has one open call at a time."""

    def __init__(self, webhooks: Sequence[Webhook], holder: str, stopping: asyncio.Event) -> None:
        self._webhooks, self._holder, self._stopping = webhooks, holder, stopping
        self._database = Database("webhooks")
        self._purge_due = 0.0
        self._has_subscribed = False

    async def run(self) -> None:
        """Deliver until `stopping` is set, and let the calls under way end."""
        callers = [Caller(one) for one in self._webhooks]
        try:
            deliver = [self._loop(partial(self._deliver, one)) for one in callers]
            await asyncio.gather(self._loop(self._take), *deliver)
        finally:
            for one in callers:
                await one.close()

    async def _loop(self, act: Callable[[], Awaitable[bool]]) -> None:
        """Act again and again, at once while there is something to do."""
        while not self._stopping.is_set():
            found = False
            try:
                found = await act()
            except Unanswered:
                pass  # OffLoop has said so
            except Exception:
                log.exception("a loop goes on after an error", extra={"loop": "webhooks"})
            if not found:
                await pause(EVERY, self._stopping)

    async def _take(self) -> bool:
        if not self._has_subscribed:
            await self._database.do(deliveries.subscribe, self._webhooks)
            self._has_subscribed = True
        if time.monotonic() >= self._purge_due:
            is_more = await self._database.do(deliveries.purge)
            self._purge_due = time.monotonic() + (0 if is_more else PURGE_EVERY)
        return bool(await self._database.do(deliveries.take))

    async def _deliver(self, caller: Caller) -> bool:
        due = await self._database.do(deliveries.claim, caller.webhook.name, self._holder)
        if due is None:
            return False
        if due.body is None:
            await self._database.do(deliveries.end_empty, due)
            return True
        result = await caller.call(due.message_id, due.body)
        # If this is not written, the lease ends and the message is sent again: at least once.
        state = await self._database.do(deliveries.settle, due, result)
        _say(due, result, state)
        return True


def _trust() -> ssl.SSLContext:
    """Trust what the machine and SSL_CERT_FILE trust, too: a neighbour may have a certificate of our own authority."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


async def test(webhook: Webhook) -> Result:
    """Send a message without registrations, and return what came of it."""
    caller = Caller(webhook)
    told = {"type": "webhook.test", "timestamp": now(), "data": {"submissions": []}}
    try:
        return await caller.call(str(uuid4()), orjson.dumps(told, option=orjson.OPT_UTC_Z))
    finally:
        await caller.close()


def _say(due: Due, result: Result, state: str) -> None:
    metrics.count(f"webhook_calls:{'delivered' if result.is_delivered else 'failed'}")
    metrics.observe("webhook_seconds", result.seconds)
    told = {"webhook": due.webhook, "webhook_id": due.message_id, "reason": result.reason}
    if state == Delivery.State.FAILED:
        log.error("a webhook's message has failed for good; it is kept", extra=told)
    elif not result.is_delivered:
        log.warning("a webhook's receiver has not taken a message", extra=told)
    else:
        log.info("webhook", extra=told)


def _seconds(retry_after: bytes) -> float | None:
    """Return the seconds of a Retry-After header, which may be a date; None if it is neither."""
    text = retry_after.decode("ascii", "replace").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - now()).total_seconds())
    except (ValueError, TypeError):
        return None
