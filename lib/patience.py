"""Waiting out an outage: the same act again, with growing, jittered pauses, for as long as it takes."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

log = logging.getLogger(__name__)

SHORTEST, LONGEST = 0.2, 5.0
"""Seconds between two tries. Both ends are jittered, so that workers do not come back in step."""


class Interrupted(Exception):
    """The process is to end before the outage did. The act has not succeeded."""


def hold(
    act: Callable[[], Result],
    what: str,
    *,
    outage: Callable[[Exception], bool],
    stop: Callable[[], bool],
) -> Result:
    """Do act until it succeeds; return its result.

    what: the act's name in the log.
    outage: whether an error is the other side's absence. Any other error is raised.
    stop: whether this process is to end; waiting is then given up by raising Interrupted.
    """
    pause = SHORTEST
    while True:
        try:
            return act()
        except Exception as error:
            if not outage(error):
                raise
            if stop():
                raise Interrupted(what) from error
            log.warning("waiting for an outage to end", extra={"act": what, "reason": repr(error)})
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  not a secret
        pause = min(pause * 2, LONGEST)
