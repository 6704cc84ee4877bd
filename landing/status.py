"""What became of a submission: told by Redis, else by PostgreSQL, else by the id itself."""

import logging
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError

from landing import states
from landing.models import StoredSubmission
from landing.states import State
from lib import request_ids

log = logging.getLogger(__name__)


def of(task_id: str) -> State | None:
    """Return the state of an accepted submission, or None for an id that was never given out.

    Whatever store is down, an accepted id is not None: its seal tells that it is ours.
    """
    if state := states.read(task_id) or _in_postgresql(task_id):
        return state
    if request_ids.is_genuine(settings.SECRET_KEY.encode(), task_id):
        return State.WAITING
    return None


def _in_postgresql(task_id: str) -> State | None:
    try:
        stored = StoredSubmission.objects.filter(request_id=UUID(task_id)).exists()
    except DatabaseError as error:
        log.warning("task state not read from PostgreSQL", extra={"reason": repr(error)})
        return None
    return State.STORED if stored else None
