"""What a task does when a store is away: it waits with the batch in hand, until the store is back or the worker ends."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from celery import signals
from celery.exceptions import Reject
from django.db import DataError, IntegrityError, InterfaceError, connection
from django.db import Error as DatabaseError

from landing.keeping import queues
from lib import retry
from lib.shared_flag import SharedFlag

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_ending = SharedFlag()


@signals.worker_shutting_down.connect
def end_waiting(**_: object) -> None:
    """Let tasks that wait for an outage to end give their batches back, so that the worker can stop."""
    _ending.set()


def gives_back(task: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a task that waits out outages: what it gives back to the queue has no traceback.

    billiard sends the traceback to the parent, 3.5 KB for each frame. A parent that shuts down reads nothing more, and
    the process of the pool then hangs over its last word, in a full pipe.
    """

    @wraps(task)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return task(*args, **kwargs)
        except Reject as error:
            rejected = error
        raise rejected.with_traceback(None)

    return run


def wait_out(act: Callable[[], Result], what: str) -> Result:
    """Do act until no store that it needs is away; return its result.

    what: the act's name in the log. Raises what act raises of its own, and Reject when the worker ends meanwhile.
    """
    try:
        return retry.until_done(act, what, is_outage=is_outage, is_stopping=_ending.is_set)
    except retry.Interrupted as error:
        raise Reject(error, requeue=True) from error


def is_outage(error: BaseException) -> bool:
    """Tell a database that is away, full, read-only or not yet migrated from data it refuses."""
    if isinstance(error, queues.OUTAGES):
        return True
    if isinstance(error, (DataError, IntegrityError)):
        return False
    if isinstance(error, (DatabaseError, InterfaceError)):
        connection.close()  # the next try opens a new one
        return True
    return False
