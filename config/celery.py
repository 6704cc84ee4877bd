"""The Celery application: each option with its reason.

Start a worker with `celery -A config.celery worker -E -P "$WORKER_POOL"`.
"""

import logging.config
import os
import socket
import ssl
from typing import Any
from urllib.parse import quote
from uuid import uuid4
from zlib import crc32

from billiard import pool
from celery import Celery, signals
from celery.app import control
from django.conf import settings
from kombu import pidbox
from kombu.transport import TRANSPORT_ALIASES, pyamqp

from landing.keeping import queues


class Mailbox(pidbox.Mailbox):
    """Gives each connection of a worker a queue of its own for commands.

    Celery names it after the worker, and it is exclusive. A node that is lost without a word keeps the lock of the
    old connection, and the worker could consume nothing from any other node for up to a minute (RESOURCE_LOCKED).
    """

    def get_queue(self, hostname: str) -> Any:
        return super().get_queue(f"{hostname}.{uuid4().hex[:8]}")


class Control(control.Control):
    Mailbox = Mailbox


app = Celery("breakwater", control=Control)


class TlsTransport(pyamqp.SSLTransport):
    """Checks each node's certificate against the name of that node.

    kombu writes the first node's name into the options that all of them share, so that every other node's
    certificate is refused (kombu#744).
    """

    def establish_connection(self) -> Any:
        client: Any = self.client
        client.ssl = client.ssl | {"server_hostname": client.hostname}
        return super().establish_connection()


TRANSPORT_ALIASES["amqps"] = "config.celery:TlsTransport"


def _in_turn(nodes: list[str]) -> list[str]:
    """Return the nodes so that each worker begins with another one: Celery itself begins with the first."""
    first = (crc32(socket.gethostname().encode()) + os.getpid()) % len(nodes)
    return nodes[first:] + nodes[:first]


def result_backend() -> str:
    """Return the address of Redis as Celery takes it, by way of the Sentinels if there are any."""
    if not settings.REDIS_SENTINELS:
        return settings.REDIS_URL
    login = f"{quote(settings.REDIS_USER, safe='')}:{quote(settings.REDIS_PASSWORD, safe='')}"
    return ";".join(f"sentinel://{login}@{host}/{settings.REDIS_DB}" for host in settings.REDIS_SENTINELS)


app.conf.update(
    broker_url=_in_turn(settings.RABBITMQ_URLS),
    broker_use_ssl={"ca_certs": settings.RABBITMQ_CA_PATH, "cert_reqs": ssl.CERT_REQUIRED}
    if settings.RABBITMQ_CA_PATH
    else None,
    result_backend=result_backend(),
    result_expires=settings.STATE_TTL,
    # A Redis that is away must not hold up a worker: PostgreSQL has the truth.
    result_backend_transport_options={
        "retry_policy": {"max_retries": 1, "timeout": 1.0},
        "master_name": settings.REDIS_MASTER,
        "sentinel_kwargs": {"password": settings.REDIS_SENTINEL_PASSWORD or None},
    },
    redis_socket_timeout=1.0,
    redis_socket_connect_timeout=1.0,
    imports=[
        "landing.tasks",
        "confirmations.tasks",
        "landing.storing.watchdog",
        "dashboard.live.settings_drift",
        "dashboard.live.reporter",
        "dashboard.live.orphans",
        "dashboard.desk.export_jobs",
    ],
    # Nothing but JSON is ever unpacked: pickle in a queue is code from anybody who can write to it.
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    # Acknowledge after the work, also when a child is killed in the middle of it. What fails for a
    # reason that the task does not know is rejected into the dead-letter queue, not acknowledged.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_acks_on_failure_or_timeout=False,
    # A name that is not in `queues` is a mistake, not a new queue.
    task_create_missing_queues=False,
    task_queues=queues.consumed,
    task_default_queue=queues.LIVE,
    # Enough to join for each process, when messages are small; one of ours is up to 500 registrations.
    worker_prefetch_multiplier=1 if settings.WORKER_POOL == "gevent" else 32,
    worker_consumer="landing.storing.consumer:Consumer",
    # Quorum queues have no global prefetch; Celery finds out from the queues' arguments.
    worker_detect_quorum_queues=True,
    # A rebuilt broker connection finishes the work in hand: the redelivery changes nothing.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # RabbitMQ may be away for any time; the worker comes back by itself, with growing pauses.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_channel_error_retry=True,
    # A node that is silent is left after 10 to 20 s, and the messages in hand go to other workers.
    broker_heartbeat=10,
    # py-amqp's own default is 1 s without an acknowledged packet: too nervous for a busy machine.
    broker_transport_options={"socket_settings": {socket.TCP_USER_TIMEOUT: 15_000}}
    if hasattr(socket, "TCP_USER_TIMEOUT")
    else {},
    # A publish from a shell or a script fails soon, instead of sending copies; once it may try again,
    # since a pooled connection can be older than the broker's last restart.
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0},
    # Celery closes Django's connections around every task, and a login to PostgreSQL costs more than
    # a batch. A greenlet's connection, though, is never found again, so gevent gives it back.
    CELERY_DB_REUSE_MAX=None if settings.WORKER_POOL == "gevent" else 1_000_000,
    worker_send_task_events=True,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_concurrency=settings.WORKER_CONCURRENCY,
)


# A process of the pool that ends waits for its parent to read its last result, 30 s by default; a
# parent that shuts down may have stopped reading, and the whole worker should be gone by then.
pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 50  # times 0.1 s

# Python's own warnings become lines of the log, also those before Celery sets it up.
logging.captureWarnings(True)


@signals.before_task_publish.connect
def _hide_arguments(headers: dict[str, Any], **_: Any) -> None:
    """Keep phones out of Flower and of Celery's logs, whatever process sends a task."""
    headers["argsrepr"] = headers["kwargsrepr"] = "(hidden)"


@signals.setup_logging.connect
def _log_as_json(**_: Any) -> None:
    logging.config.dictConfig(settings.LOGGING)


@signals.worker_process_shutdown.connect
def _write_the_last_lines(**_: Any) -> None:
    """Do what atexit does elsewhere: a process of the pool ends without it."""
    logging.shutdown()
