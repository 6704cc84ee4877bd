"""The call of save_phones_async that asks a worker to store registrations, as Celery itself would send it."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from celery import current_app

TASK = "landing.tasks.save_phones_async"
JOINED = "landing.tasks.save_batches_async"
"""What a worker makes of several calls of TASK that it has at hand."""

CONFIRM = "confirmations.tasks.confirm_async"
"""Asks and typed codes, in one message."""

MOST = 500
"""Registrations that a worker stores at once. A message of ours holds no more, but anybody's may."""


def of(raws: Sequence[Any], task: str = TASK, **keywords: Any) -> Any:
    """Return Celery's message for a task with a batch in its wire form: its body, headers and properties."""
    return current_app.amqp.as_task_v2(
        str(uuid4()),
        task,
        args=(raws,),
        kwargs=keywords,
        # Phones stay out of Flower and of Celery's logs.
        argsrepr=f"({len(raws)} registrations)" if task == TASK else f"({len(raws)} asks and codes)",
        kwargsrepr="{}",
        ignore_result=True,
    )
