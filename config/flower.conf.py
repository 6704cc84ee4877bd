"""Flower's settings: `celery -A config.celery flower --conf=config/flower.conf.py`.

Flower itself knows no FLOWER_USER and FLOWER_PASSWORD, and would start with no login at all.
"""

from contextlib import suppress
from socket import create_connection
from urllib.parse import quote, urlsplit

from django.conf import settings

if not (settings.FLOWER_USER and settings.FLOWER_PASSWORD):
    raise SystemExit("Flower does not start without a login: set FLOWER_USER and FLOWER_PASSWORD.")

address = settings.FLOWER_ADDRESS
port = settings.FLOWER_PORT
basic_auth = [f"{settings.FLOWER_USER}:{settings.FLOWER_PASSWORD}"]


def _first_that_answers(urls: list[str]) -> str:
    """Return a node's management API for queue lengths. Flower takes one, so a restart finds the next."""
    for url in urls:
        with (
            suppress(OSError),
            create_connection((urlsplit(url).hostname, urlsplit(url).port or 80), timeout=2),
        ):
            return url
    return urls[0]


_management = urlsplit(_first_that_answers(settings.RABBITMQ_MANAGEMENT_URLS))
_login = f"{quote(settings.RABBITMQ_USER, safe='')}:{quote(settings.RABBITMQ_PASSWORD, safe='')}"
broker_api = f"{_management.scheme}://{_login}@{_management.netloc}/api/"
# Each is a batch; 100,000 of them, Flower's default, take hundreds of megabytes.
max_tasks = 10_000
persistent = False
# Seconds. A worker has a new name in each container: without this those that are gone stay for ever, as offline.
purge_offline_workers = 3600
