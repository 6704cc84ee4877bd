"""The line for codes as the courier tells it, who sends them, and whether those who make and judge codes have one key."""

import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from confirmations import line
from confirmations.line import Line
from dashboard.live import counters, probes
from dashboard.live.probes import Reading


def told_line() -> Line | None:
    """Return the line, or None if no courier has told of it lately or Redis does not answer."""
    try:
        return line.read(counters.redis().get(line.KEY), time.time())
    except counters.Unavailable:
        return None


def figures(readings: Mapping[str, Reading]) -> dict[str, Any]:
    """Return how codes are now, for the live page. What cannot be known, since its server is away, is None.

    readings: of Redis, and of probes.COURIER. courier: host and process; "": none works. budget: 0 if not set.
    """
    told = told_line() if readings["redis"].ok else None
    holder = readings[probes.COURIER].values.get("holder")
    return {
        "waiting": told.waiting if told else None,
        "here": told.here if told else None,
        "rate": told.rate if told else None,
        "held_by": told.held_by if told else None,
        "parts": told.parts if told else None,
        "budget": settings.CODE_BUDGET,
        # Without the random part that tells two couriers of one host and process apart.
        "courier": " ".join(holder.split(":")[:2]) if holder is not None else None,
    }


def keys_that_differ() -> dict[str, str]:
    """Return the fingerprint of CODE_KEY in each worker and courier, if they are not all the same. Raises Unavailable."""
    said = {
        name: str(one["code_key"])
        for name, one in counters.processes().items()
        if one.get("code_key") is not None
    }
    return said if len(set(said.values())) > 1 else {}
