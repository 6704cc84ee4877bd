"""The queues of a registration, by name and arguments: the one place that says them.

Arguments of a queue cannot be changed once it exists: a new argument needs a new name.
"""

import logging
from copy import copy
from typing import Any

from amqp.exceptions import AMQPError, MessageNacked, NotFound, PreconditionFailed
from django.conf import settings
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

OUTAGES = (OperationalError, AMQPError, MessageNacked, OSError)
"""What kombu and py-amqp raise when RabbitMQ is away, breaks off or refuses."""

DELIVERY_LIMIT, FORMER_DELIVERY_LIMIT = 100, 20
"""Deliveries of one message before it is a dead letter. RabbitMQ 3 and 4 up to 4.2 count each connection that is lost
for all that a worker holds, so 20 were used up by the restarts of one long outage. Queues made before keep 20."""

LIVE = "registrations"
DEAD = "registrations.dead"
CONFIRMATIONS, CONFIRMATIONS_DEAD = "confirmations", "confirmations.dead"
KEPT = "registrations.kept"
REPLAYED = "registrations.replayed"
"""The routing key of what comes from the stream: it goes to a worker, and not into the stream once more."""
ANNOUNCEMENTS = "breakwater.settings"

_QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}


def _read_by_workers(dead_letters: str) -> dict[str, Any]:
    """Return the arguments of a queue that workers read, with the routing key of its dead letters."""
    return _QUORUM | {
        "x-dead-letter-exchange": DEAD,
        "x-dead-letter-routing-key": dead_letters,
        # A dead letter leaves the live queue only when the dead queue has confirmed it; that needs
        # reject-publish, which is what a full queue should do anyway.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-delivery-limit": DELIVERY_LIMIT,
    }


dead = Queue(
    DEAD,
    Exchange(DEAD, type="direct", durable=True),
    routing_key=DEAD,
    # Looking at a dead letter is a delivery that is given back. RabbitMQ 4 would drop it after 20 of
    # them, and has no word for "never" that RabbitMQ 3 understands too.
    queue_arguments=_QUORUM | {"x-delivery-limit": 1_000_000_000},
    no_declare=True,
)
_exchange = Exchange(LIVE, type="direct", durable=True)
lives = [
    Queue(
        name,
        _exchange,
        routing_key=name,
        queue_arguments=_read_by_workers(DEAD),
        no_declare=True,  # workers have no right to; `manage.py declare_queues` does it
    )
    for name in [LIVE, *(f"{LIVE}.{number}" for number in range(1, settings.QUEUES))]
]
"""The live queues, QUEUES of them. Which one a message goes to means nothing: a store is the same in any order."""
live = lives[0]

confirmations_dead = Queue(
    CONFIRMATIONS_DEAD,
    dead.exchange,
    routing_key=CONFIRMATIONS_DEAD,
    # What is in it may be codes that people have typed: nobody reads it, and after ten minutes it is gone.
    queue_arguments=_QUORUM | {"x-message-ttl": 600_000},
    no_declare=True,
)
confirmations = Queue(
    CONFIRMATIONS,
    _exchange,  # the one to which a web may publish
    routing_key=CONFIRMATIONS,
    queue_arguments=_read_by_workers(CONFIRMATIONS_DEAD),
    no_declare=True,
)
"""Asks for a code and typed codes. The stream has no copy of it."""

kept = Queue(
    KEPT,
    _exchange,
    queue_arguments={"x-queue-type": "stream", "x-max-age": f"{settings.KEEP_DAYS}D"},
    no_declare=True,
)
"""A stream with a copy of each message, if KEEP_DAYS is above 0. The confirm of a publish waits for it too."""

# Only with codes: a RabbitMQ that was not started again since the upgrade gives nobody a right to the queue.
_of_codes = [confirmations] if settings.SENDS_CODES else []
promised = [*lives, dead, *_of_codes, *([kept] if settings.KEEP_DAYS else [])]
"""The queues that must be there."""

_readable = [*lives, *(_of_codes if settings.HAS_CODE_KEY else [])]
consumed = [queue for queue in _readable if queue.name in (settings.WORKER_QUEUES or [queue.name])]
"""The queues that a worker reads. One without CODE_KEY leaves typed codes to those that can judge them."""

# Short-lived words of each process on its settings, for `manage.py doctor`: losing them costs nothing.
announcements = Queue(
    ANNOUNCEMENTS,
    Exchange(ANNOUNCEMENTS, type="direct", durable=True),
    routing_key=ANNOUNCEMENTS,
    queue_arguments={"x-message-ttl": 120_000, "x-max-length": 200, "x-overflow": "drop-head"},
    no_declare=True,
)


def declare(connection: Any) -> None:
    """Create exchanges, queues and bindings where they are missing. Raises if one has other arguments."""
    _declare(connection, dead)
    if settings.SENDS_CODES:
        declare_confirmations(connection)
    for queue in lives:
        _declare_live(connection, queue)
    if settings.KEEP_DAYS:
        _keep(connection)
    else:
        _keep_no_more(connection)
    try:
        _declare(connection, announcements)
    except NotFound as error:
        # A classic queue lives on one node, and while that is away RabbitMQ does not even say that it is there
        # (rabbitmq-server#2454). No upgrade waits for it: only `doctor` reads it.
        log.warning("the settings of the processes cannot be compared now", extra={"reason": str(error)})


def declare_confirmations(connection: Any) -> None:
    """Create the queue of asks and typed codes, and the one for what cannot be read of it."""
    _declare(connection, confirmations_dead)
    _declare(connection, confirmations)


def _declare_live(connection: Any, queue: Queue) -> None:
    try:
        _declare(connection, queue)
    except PreconditionFailed as error:
        if "x-delivery-limit" not in str(error):
            raise
        former = copy(queue)
        former.queue_arguments = (queue.queue_arguments or {}) | {"x-delivery-limit": FORMER_DELIVERY_LIMIT}
        _declare(connection, former)


def _keep(connection: Any) -> None:
    """Let the exchange copy each message into the stream. Replays reach the first live queue alone."""
    try:
        with connection.channel() as channel:
            kept.bind(channel).queue_declare()
    except PreconditionFailed as error:
        log.warning(
            "the stream keeps its former days: delete it, and run declare_queues again",
            extra={"reason": str(error)},
        )
    with connection.channel() as channel:
        for queue in lives:
            channel.queue_bind(KEPT, LIVE, queue.name)
        channel.queue_bind(LIVE, LIVE, REPLAYED)


def _keep_no_more(connection: Any) -> None:
    """Copy nothing more. What the stream holds stays until it is deleted: it may still be needed."""
    with connection.channel() as channel:
        for queue in lives:
            channel.queue_unbind(KEPT, LIVE, queue.name)


def _declare(connection: Any, queue: Queue) -> None:
    with connection.channel() as channel:  # of its own: an error closes it
        bound = queue.bind(channel)
        bound.exchange.declare()
        bound.queue_declare()
        bound.queue_bind()
