"""The server's entry: health answers, security headers, bounded bodies, the express lane, Django."""

import asyncio
import gc
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any, cast

from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.core.wsgi import get_wsgi_application

from campaigns.definition import DEFAULT, LANGUAGES, Campaign
from config import health, scrape
from config.headers import SecurityHeaders
from dashboard.live import settings_drift, snapshot
from landing.door import express, problems
from landing.door.express import Pending
from landing.door.plain_http import Answer
from landing.keeping import intake
from landing.keeping.drainer import Drainer
from landing.page import branding, rendering
from landing.storing import lines
from lib import metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

REGISTER_PATH = "/api/register/"
BODY_DEADLINE = 10.0
"""Seconds for a body to arrive. A slow sender must not hold one of Django's threads."""

STATUS_PATH = re.compile(r"/api/register/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/")
_SIZES = frozenset({b"content-length", b"transfer-encoding"})
_FORWARDED = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto"}
)
"""What only a proxy may say: TRUSTED_PROXIES."""
_HEALTH = {"/livez": health.livez, "/readyz": health.readyz, "/version": health.version}

# a2wsgi types WSGI and ASGI by TypedDicts of its own, which nobody else's types match.
_wsgi = cast("Any", get_wsgi_application())
django: Any = WSGIMiddleware(_wsgi, workers=settings.WEB_THREADS)
# The pages of staff ask PostgreSQL, which may hang: its threads must not be those that visitors need.
_STAFF = ("/admin/", "/ops/")
_WITHOUT_DATABASE = "/ops/state/"
"""It tells how the servers are, within a deadline, when one of them hangs above all."""
django_for_staff: Any = WSGIMiddleware(_wsgi, workers=settings.WEB_THREADS)
security_headers = SecurityHeaders(hsts=settings.HSTS if settings.HTTPS else "")


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request, or the server's start and stop."""
    if scope["type"] == "http":
        await _answer(scope, receive, send)
    elif scope["type"] == "lifespan":
        await _live(receive, send)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"]
    if answer := await _without_body(scope):
        await _send(send, answer, path)
        return
    try:
        body = await _read(receive)
    except TimeoutError:
        await _send(send, express.too_slow(scope["headers"]), path)
        return
    if body is None:
        return
    started = time.perf_counter()
    if answer := await _register(scope, body):
        await _send(send, answer, path)
    else:
        needs_database = path.startswith(_STAFF) and path != _WITHOUT_DATABASE
        answer_by = django_for_staff if needs_database else django
        await answer_by(_for_wsgi(scope, body), _replay(body), security_headers.wrap(path, send))
    if scope["method"] == "POST" and campaign_at(path):
        metrics.observe("register_seconds", time.perf_counter() - started)


async def _without_body(scope: Scope) -> Answer | None:
    if check := _HEALTH.get(scope["path"]):
        return await check()
    if scope["path"] == scrape.PATH:
        return await scrape.metrics(scope)
    if scope["method"] == "OPTIONS" and scope["path"].startswith(REGISTER_PATH):
        return express.preflight(scope["headers"])
    if scope["method"] == "GET":
        return rendering.from_memory(scope["path"], scope["headers"]) or await _status(scope)
    return None


async def _status(scope: Scope) -> Answer | None:
    task = STATUS_PATH.fullmatch(scope["path"])
    if task is None or scope["query_string"]:
        return None
    return await _finished(express.poll(task[1], scope["headers"]))


async def _register(scope: Scope, body: bytes) -> Answer | None:
    if scope["method"] != "POST" or (campaign := campaign_at(scope["path"])) is None:
        return None
    if scope["query_string"]:  # ?format= is Django REST framework's
        return None
    peer = scope["client"][0] if scope["client"] else ""
    return await _finished(express.register(peer, scope["headers"], body, campaign))


def campaign_at(path: str) -> Campaign | None:
    """Return the campaign that a POST to this path registers for, or None."""
    return _campaigns().get(path)


@cache
def _campaigns() -> dict[str, Campaign]:
    return {
        REGISTER_PATH if slug == DEFAULT else f"{REGISTER_PATH}{slug}/": campaign
        for slug, campaign in branding.campaigns().items()
    }


async def _finished(answer: Answer | Pending | None) -> Answer | None:
    if not isinstance(answer, Pending):
        return answer
    await asyncio.wait([answer.done])
    return answer.answer()


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    for language in LANGUAGES:
        problems.in_language(language)
    # All that is imported stays for good: the garbage collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    process = intake.start(asyncio.get_running_loop())
    drainer = Drainer(process)
    reporter = snapshot.web_reporter()
    reporter.start()
    announcing = settings_drift.web_announcer()
    announcing.start()
    draining = asyncio.create_task(drainer.run())
    following = asyncio.create_task(lines.follow())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    # The drainer first, since it uses the intake's spool. The reporter after it, so that its last counts are told.
    draining.cancel()
    following.cancel()
    ending = asyncio.create_task(asyncio.to_thread(settings_drift.end_announcing, announcing))
    drainer.close()
    await asyncio.to_thread(reporter.stop)
    await process.close()
    await ending
    await send({"type": "lifespan.shutdown.complete"})


async def _read(receive: Receive) -> bytes | None:
    """Return the body, cut after one byte more than is allowed, or None if the sender has gone.

    Raises TimeoutError if it takes too long.
    """
    body = bytearray()
    async with asyncio.timeout(BODY_DEADLINE):
        while len(body) <= settings.MAX_BODY:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
    return bytes(body[: settings.MAX_BODY + 1])


def _for_wsgi(scope: Scope, body: bytes) -> Scope:
    """Return the scope with headers that WSGI cannot misread, and no header that only a proxy may set.

    Django takes a chunked body for an empty one, and "X_Forwarded_For" for "X-Forwarded-For". It believes
    X-Forwarded-Proto from any sender.
    """
    peer = scope["client"][0] if scope["client"] else ""
    dropped = _SIZES if peer in settings.TRUSTED_PROXIES else _SIZES | _FORWARDED
    headers = [one for one in scope["headers"] if one[0] not in dropped and b"_" not in one[0]]
    return {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}


def _replay(body: bytes) -> Receive:
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    return receive


async def _send(send: Send, answer: Answer, path: str) -> None:
    headers = security_headers.join(path, answer.headers)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
