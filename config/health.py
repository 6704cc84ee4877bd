"""/livez, /readyz and /version: asked often, so answered without Django.

/livez: this process answers. /readyz: what the next registration needs, which is RabbitMQ or, unless
SPOOL_MODE is off, the spool. Whatever else is away, the answer is "degraded", and registrations go on.
Dead letters are told beside it: they need a person, and make nobody less ready.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from django.conf import settings

from dashboard.live import probes
from landing.door.plain_http import Answer
from landing.keeping import intake


async def livez() -> Answer:
    """Return 200 as long as the event loop turns."""
    return _answer(200, {"status": "alive"})


async def readyz() -> Answer:
    """Return 200 and each dependency's state, or 503 when nothing could be accepted.

    The probes are those of the live page: one thread for each server, none on the event loop, one
    deadline (probes.DEADLINE) for all.
    """
    homes = ["rabbitmq"] if settings.SPOOL_MODE == "off" else ["rabbitmq", "spool"]
    readings = await probes.read_on_loop([*homes, "redis", "postgresql"])
    checks = {name: reading.state for name, reading in readings.items()}
    process = intake.current()
    if checks["rabbitmq"] == "ok" and process.rabbitmq_outage.is_on:
        checks["rabbitmq"] = "does not confirm"
    if checks.get("spool") == "ok" and process.spool_outage.last_try_failed:
        checks["spool"] = "takes nothing"
    detail = {"checks": checks, "dead_letters": readings["rabbitmq"].values.get("dead_letters")}
    if all(checks[home] != "ok" for home in homes):
        return _answer(503, {"status": "unavailable", **detail})
    is_degraded = any(state != "ok" for state in checks.values())
    return _answer(200, {"status": "degraded" if is_degraded else "ready", **detail})


async def version() -> Answer:
    """Return which version runs, and the commit its image was built from (null: not known).

    The members are those of Mozilla's Dockerflow.
    """
    return _answer(
        200, {"source": None, "version": settings.VERSION, "commit": settings.COMMIT or None, "build": None}
    )


def _answer(status: int, content: Mapping[str, Any]) -> Answer:
    body = orjson.dumps(content)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    return Answer(status, headers, body)
