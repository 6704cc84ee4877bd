"""The Celery application: each option with its reason.

Start a worker with `celery -A config.celery worker -E -P "$WORKER_POOL"`.
"""

import logging.config
import socket
import ssl
from typing import Any

from billiard import pool
from celery import Celery, signals
from django.conf import settings

from landing.keeping import queues

app = Celery("breakwater")

app.conf.update(
    broker_url=settings.RABBITMQ_URL,
    broker_use_ssl={
        "ca_certs": settings.RABBITMQ_CA_PATH,
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": settings.RABBITMQ_HOST,
    }
    if settings.RABBITMQ_CA_PATH
    else None,
    result_backend=settings.REDIS_URL,
    result_expires=settings.STATE_TTL,
    # A Redis that is away must not hold up a worker: PostgreSQL has the truth.
    result_backend_transport_options={"retry_policy": {"max_retries": 1, "timeout": 1.0}},
    redis_socket_timeout=1.0,
    redis_socket_connect_timeout=1.0,
    imports=[
        "landing.tasks",
        "landing.storing.watchdog",
        "dashboard.live.settings_drift",
        "dashboard.live.reporter",
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
    task_queues=[queues.live],
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
    broker_heartbeat=30,
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
