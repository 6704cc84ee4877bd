"""The Celery task that reads the queue of asks and typed codes."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from celery import shared_task, signals
from celery.exceptions import Reject
from django.conf import settings

from confirmations import asks, states, tries, wire
from confirmations.asks import Asked
from confirmations.tries import Typed
from landing.keeping import task_messages
from landing.storing import outages
from lib import metrics

log = logging.getLogger(__name__)


@signals.worker_ready.connect
def warn_without_key(**_: object) -> None:
    """Say that this worker reads no asks and typed codes; they wait in the queue."""
    if settings.SENDS_CODES and not settings.HAS_CODE_KEY:
        log.critical("no codes are judged here: CODE_KEY is not set, or has fewer than 32 characters")


@shared_task(name=task_messages.CONFIRM, ignore_result=True)
@outages.gives_back
def confirm_async(batch: list[Any], queued_at: str | None = None) -> None:
    """Put asks into the line and judge typed codes, each in its wire form. queued_at: not used.

    A message may come twice, and changes nothing the second time. What cannot be read makes a dead letter of the
    message, after the others in it are done.
    """
    items, malformed = _read(batch)
    asked = [item for item in items if isinstance(item, Asked)]
    if asked:
        outages.wait_out(partial(asks.note, asked), "note asks for codes")
        metrics.count("codes_asked", len(asked))
        ids = [one.request_id for one in asked]
        outages.wait_out(partial(states.tell, ids, first=ids), "tell of asks")
    for typed in items:
        if isinstance(typed, Typed):
            _judge(typed)
    if malformed:
        log.warning("asks or typed codes that cannot be read", extra={"reasons": malformed})
        raise Reject("malformed", requeue=False)


def _read(batch: Sequence[Any]) -> tuple[list[Asked | Typed], list[str]]:
    items: list[Asked | Typed] = []
    malformed = []
    for raw in batch if isinstance(batch, list) else [batch]:
        try:
            items.append(wire.read(raw))
        except wire.Malformed as error:
            malformed.append(str(error))
    return items, malformed


def _judge(typed: Typed) -> None:
    verdict = outages.wait_out(partial(tries.judge, typed), "judge a typed code")
    metrics.count(f"code_tries:{verdict}")
    # After the commit: no verdict is told before its try is counted.
    outages.wait_out(partial(states.tell, [typed.request_id]), "tell a verdict")
    log.info("judged", extra={"request_ids": [typed.request_id], "verdict": verdict})
