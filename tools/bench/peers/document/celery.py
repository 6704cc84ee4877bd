"""The Celery application."""

import os

from celery import Celery
from kombu import Exchange, Queue

from tools.bench.peers import env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tools.bench.peers.document.settings")

app = Celery("document")
app.conf.update(
    broker_url=env.RABBITMQ_URL,
    result_backend=env.REDIS_URL,
    result_expires=3600,
    imports=["tools.bench.peers.document.tasks"],
    # With confirms `.delay()` returns once the broker has the message on its disk; without, it may be lost.
    broker_transport_options={"confirm_publish": env.CONFIRMS},
    # As many connections as there are threads that publish: the default of 10 would make some wait.
    broker_pool_limit=env.THREADS,
    task_queues=[
        Queue(
            env.QUEUE,
            Exchange(env.QUEUE, type="direct", durable=True),
            routing_key=env.QUEUE,
            queue_arguments=env.QUEUE_ARGUMENTS,
        )
    ],
    task_default_queue=env.QUEUE,
    # The document asks for tasks that survive a redelivery, so that a killed worker loses none.
    task_acks_late=True,
    # Short tasks: Celery's guide suggests a large reserve for them.
    worker_prefetch_multiplier=64,
    worker_hijack_root_logger=False,
    # Without it Celery closes the connection to PostgreSQL before and after each task, whatever Django's
    # CONN_MAX_AGE says: few users know, and it costs four fifths of the rate.
    CELERY_DB_REUSE_MAX=1_000_000,
)
