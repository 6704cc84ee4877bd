"""Registrations that no retry can save, kept apart with the reason."""

import logging

from landing.keeping import broker, queues, task_messages
from lib import metrics
from lib.clock import now

log = logging.getLogger(__name__)

CONFIRM_TIMEOUT = 5.0
"""Seconds for each of RabbitMQ's answers."""

REASON, BURIED_AT = "x-reason", "x-buried-at"
"""Headers of a dead letter of ours. What RabbitMQ itself dead-letters has an x-death header instead."""


def bury(raw: object, reason: str) -> None:
    """Put one raw registration on the dead-letter queue and wait for the confirm.

    The message is the call that stores a batch, of this one, so that moving it back to the live
    queue is all that a replay takes. Raises one of queues.OUTAGES when the broker does not confirm.
    """
    message = task_messages.of([raw])
    with broker.errand(CONFIRM_TIMEOUT, confirm_publish=True) as connection:
        # A connection of its own: a confirm that comes late can then not be taken for another's.
        connection.Producer().publish(
            message.body,
            exchange=queues.dead.exchange,
            routing_key=queues.DEAD,
            serializer="json",
            headers=message.headers | {REASON: reason, BURIED_AT: now().isoformat()},
            correlation_id=message.properties["correlation_id"],
            delivery_mode=2,
            mandatory=True,
            retry=False,
            timeout=CONFIRM_TIMEOUT,
            confirm_timeout=CONFIRM_TIMEOUT,
        )
    # The reason's beginning: what follows the colon may be anything, and each label costs.
    metrics.count(f"dead_lettered:{reason.partition(':')[0]}")
    log.error("registration is a dead letter", extra={"reason": reason})
