"""/metrics, for Prometheus: answered without Django, to internal addresses alone."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from django.conf import settings

from dashboard.live import exposition
from landing.door.plain_http import Answer

PATH = "/metrics"

# Prometheus asks directly. What a proxy passes on comes from outside, whichever proxy it is.
_BY_A_PROXY = frozenset({b"x-forwarded-for", b"forwarded", b"via"})


async def metrics(scope: MutableMapping[str, Any]) -> Answer | None:
    """Return the answer, or None to whom there is nothing at this address."""
    peer = scope["client"][0] if scope["client"] else ""
    passed_on = any(name in _BY_A_PROXY for name, _ in scope["headers"])
    if scope["method"] != "GET" or passed_on or peer not in settings.METRICS_NETWORKS:
        return None
    body = await asyncio.to_thread(exposition.text)
    headers = [
        (b"content-type", exposition.CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    return Answer(200, headers, body)
