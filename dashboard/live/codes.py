"""The line for codes as the courier tells it, and whether those who make and judge codes have one key."""

import time

from confirmations import line
from confirmations.line import Line
from dashboard.live import counters


def told_line() -> Line | None:
    """Return the line, or None if no courier has told of it lately or Redis does not answer."""
    try:
        return line.read(counters.redis().get(line.KEY), time.time())
    except counters.Unavailable:
        return None


def keys_that_differ() -> dict[str, str]:
    """Return the fingerprint of CODE_KEY in each worker and courier, if they are not all the same. Raises Unavailable."""
    said = {
        name: str(one["code_key"])
        for name, one in counters.processes().items()
        if one.get("code_key") is not None
    }
    return said if len(set(said.values())) > 1 else {}
