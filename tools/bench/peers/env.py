"""Where the servers are: the same for every peer, from the same variables as Breakwater's."""

import os

POSTGRES_HOST = os.environ["POSTGRES_HOST"]
POSTGRES_PORT = os.environ["POSTGRES_PORT"]
POSTGRES_USER = os.environ["POSTGRES_USER"]
POSTGRES_PASSWORD = os.environ["POSTGRES_PASSWORD"]
POSTGRES_DB = os.environ["POSTGRES_DB"]

RABBITMQ_URL = (
    "amqp://{RABBITMQ_USER}:{RABBITMQ_PASSWORD}@{RABBITMQ_HOST}:{RABBITMQ_PORT}/{RABBITMQ_VHOST}".format(
        **os.environ
    )
)
REDIS_URL = "redis://:{REDIS_PASSWORD}@{REDIS_HOST}:{REDIS_PORT}/0".format(**os.environ)

MONGODB_HOST = os.environ["MONGODB_HOST"]
MONGODB_PORT = int(os.environ["MONGODB_PORT"])
MONGODB_USER = os.environ["MONGODB_USER"]
MONGODB_PASSWORD = os.environ["MONGODB_PASSWORD"]
MONGODB_DB = os.environ["MONGODB_DB"]

QUEUE = os.environ["BENCH_QUEUE"]
THREADS = int(os.environ.get("BENCH_THREADS", "1"))
CONFIRMS = os.environ.get("BENCH_CONFIRMS") == "on"

QUEUE_ARGUMENTS: dict[str, str | int] = {
    "x-queue-type": "quorum",
    "x-dead-letter-exchange": f"{QUEUE}.dead",
    "x-dead-letter-routing-key": f"{QUEUE}.dead",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
    "x-delivery-limit": 20,
}
"""As Breakwater's own queue has them (landing/keeping/queues.py)."""
