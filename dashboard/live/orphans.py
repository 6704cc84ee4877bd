"""Messages that RabbitMQ counts as delivered and that no worker has: nobody will ever acknowledge them.

A leader that changes while it delivers can leave a consumer's messages behind (rabbitmq-server#15473). They come
again when that consumer's connection closes, and which one it is nobody can tell: so workers restart.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping

from dashboard.live import counters
from landing.storing.background import run_in_worker

log = logging.getLogger(__name__)

GAUGE = "gauge:orphans"
SURE_AFTER = 90
"""Seconds for which there must have been some at each look. At one look, messages on their way seem to be orphans."""
MOST_UNKNOWN = 2
"""Looks of those that may be missing, since Redis or the management API did not answer."""

SHORTEST_LIFE = 600.0
"""Seconds that a worker goes on at least before it restarts for this reason: if it does not help, it must not hurt."""

_began = time.monotonic()


def count(unacknowledged: int, processes: Iterable[Mapping[str, object]]) -> int:
    """Return how many messages seem to be orphans now, by what RabbitMQ and the living processes say."""
    in_hand = sum(int(str(one.get("messages", 0))) for one in processes)
    return max(0, unacknowledged - in_hand)


def judge(now: float) -> int:
    """Return how many orphans there have been all the time, and tell the workers. Raises counters.Unavailable."""
    looks = counters.hour(int(now) - SURE_AFTER - counters.BUCKET)
    known = [counts[GAUGE] for start, counts in looks.items() if GAUGE in counts]
    is_sure = len(known) >= SURE_AFTER // counters.BUCKET - MOST_UNKNOWN
    found = min(known) if is_sure else 0
    counters.note_orphans(found)
    if found:
        log.critical("no worker has these messages: workers restart to free them", extra={"messages": found})
    return found


@run_in_worker("orphans", every=counters.BUCKET)
def restart_for_orphans() -> None:
    """End this worker if there are orphans. What it holds comes again, and its supervisor starts a new one."""
    if time.monotonic() - _began > SHORTEST_LIFE and counters.orphans():
        log.critical("this worker ends, to free messages that no worker has")
        logging.shutdown()
        os._exit(1)
