"""Codes switched off by a person, and prefixes held by the machine."""

import logging
from datetime import datetime

from confirmations.models import Switch
from lib.clock import now

log = logging.getLogger(__name__)

_HOLD = "hold:"


def is_off() -> bool:
    """Return whether all codes are switched off. Raises django.db.Error."""
    return Switch.objects.filter(pk=Switch.ALL, is_off=True).exists()


def turn(*, is_off: bool, reason: str, by: str) -> None:
    """Switch all codes off or on. Who waits keeps the place in the line. Raises django.db.Error."""
    Switch.objects.update_or_create(
        pk=Switch.ALL,
        defaults={"is_off": is_off, "reason": reason[:200], "by": by[:150], "at": now(), "until": None},
    )


def is_held(prefix: str) -> bool:
    """Return whether a prefix is held now. Raises django.db.Error."""
    return Switch.objects.filter(pk=_HOLD + prefix, is_off=True, until__gt=now()).exists()


def hold(prefix: str, *, until: datetime, reason: str) -> None:
    """Send no code to a prefix for a while. Raises django.db.Error."""
    log.error("no codes to a prefix: hardly anybody types them", extra={"reason": reason})
    told = {"is_off": True, "until": until, "reason": reason, "by": "courier", "at": now()}
    Switch.objects.update_or_create(pk=_HOLD + prefix, defaults=told)
