"""/livez and /readyz: asked often, so answered without Django.

/livez: this process answers. /readyz: what the next registration needs, which is RabbitMQ or the
spool. Whatever else is away, the answer is "degraded", and registrations go on. Dead letters are
told beside it: they need a person, and make nobody less ready.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.db import close_old_connections, connection
from redis.asyncio import Redis

from dashboard import gauges
from landing import intake
from landing.plain_http import Answer
from landing.publisher import NotConfirmed
from lib.spool import SpoolFailed

DEADLINE = 0.9
"""Seconds for all checks together: a probe that hangs is as bad as one that fails."""


async def livez() -> Answer:
    """Return 200 as long as the event loop turns."""
    return _answer(200, {"status": "alive"})


async def readyz() -> Answer:
    """Return 200 and each dependency's state, or 503 when nothing could be accepted."""
    probes = {"rabbitmq": _rabbitmq, "spool": _spool, "redis": _redis, "postgresql": _postgresql}
    dead_letters, *states = await asyncio.gather(_dead_letters(), *map(_state, probes.values()))
    checks = dict(zip(probes, states, strict=True))
    detail = {"checks": checks, "dead_letters": dead_letters}
    if checks["rabbitmq"] != "ok" and checks["spool"] != "ok":
        return _answer(503, {"status": "unavailable", **detail})
    degraded = any(state != "ok" for state in states)
    return _answer(200, {"status": "degraded" if degraded else "ready", **detail})


def _answer(status: int, content: Mapping[str, Any]) -> Answer:
    body = orjson.dumps(content)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    return Answer(status, headers, body)


async def _state(check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(DEADLINE):
            await check()
    except TimeoutError:
        return "no answer in time"
    except Exception as error:  # noqa: BLE001  whatever a client library raises, the answer is "not ok"
        return type(error).__name__  # the text may hold host names or credentials
    return "ok"


async def _dead_letters() -> int | None:
    return await asyncio.to_thread(gauges.dead_letters)


async def _rabbitmq() -> None:
    if intake.current().broker.is_open:
        raise NotConfirmed
    await intake.current().publisher.check()


async def _spool() -> None:
    if intake.current().disk.is_open:
        raise SpoolFailed
    directory = Path(settings.SPOOL_DIR)
    directory.mkdir(parents=True, exist_ok=True)
    if not os.access(directory, os.W_OK):
        raise PermissionError


async def _redis() -> None:
    client = Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=DEADLINE,
        socket_connect_timeout=DEADLINE,
    )
    async with client:
        await client.get("readyz")


async def _postgresql() -> None:
    await asyncio.to_thread(_select_1)


def _select_1() -> None:
    close_old_connections()  # a thread's connection may be older than PostgreSQL's last restart
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
