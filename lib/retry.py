"""Retries that wait out an outage, for as long as it takes."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import tenacity

Result = TypeVar("Result")

log = logging.getLogger(__name__)

# Full jitter, up to 5 s: workers that an outage has stopped together do not come back in step.
_PAUSES = tenacity.wait_random_exponential(multiplier=0.2, min=0.1, max=5.0)
_LOOK_EVERY = 0.1
"""Seconds between two looks at whether to stop, during a pause."""


class Interrupted(Exception):
    """The process is to end before the outage did. The act has not succeeded."""


def until_done(
    act: Callable[[], Result],
    what: str,
    *,
    is_outage: Callable[[BaseException], bool],
    is_stopping: Callable[[], bool],
) -> Result:
    """Do act until it succeeds; return its result.

    what: the act's name in the log.
    is_outage: whether an error is the other side's absence. Any other error is raised.
    is_stopping: whether this process is to end; waiting is then given up, at once, by raising Interrupted.
    """

    def sleep(seconds: float) -> None:
        until = time.monotonic() + seconds
        while not is_stopping() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_EVERY))

    def warn(state: tenacity.RetryCallState) -> None:
        log.warning("waiting for an outage to end", extra={"act": what, "reason": repr(_error(state))})

    def give_up(state: tenacity.RetryCallState) -> Any:
        raise Interrupted(what) from _error(state)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_outage),
        wait=_PAUSES,
        stop=lambda _: is_stopping(),
        sleep=sleep,
        before_sleep=warn,
        retry_error_callback=give_up,
    )
    return retrying(act)


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
