"""Who has done what that concerns people's data: Django's own admin log, which the web may only add to."""

import logging

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest

log = logging.getLogger(__name__)


def record(request: HttpRequest, what: str, about: str, row: Model | None = None) -> None:
    """Write what the request's user is about to do: no entry, no act. Raises django.db.Error.

    what: the deed, marked by gettext_noop. about: which, without personal data; cut at 200 characters.
    """
    assert isinstance(request.user, AbstractBaseUser)
    record_of(request.user, what, about, row)


def record_of(account: AbstractBaseUser, what: str, about: str, row: Model | None = None) -> None:
    """Write what an account does, or what is done to it. Raises django.db.Error."""
    LogEntry.objects.create(
        user_id=account.pk,
        content_type=ContentType.objects.get_for_model(row) if row else None,
        object_id=str(row.pk) if row else None,
        object_repr=about[:200],
        action_flag=CHANGE,
        change_message=what,
    )
    log.warning("audit", extra={"user": account.get_username(), "what": what, "about": about})
