"""RabbitMQ's management API: the first of the cluster's nodes that answers."""

from base64 import b64encode
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import orjson
from django.conf import settings


def get(path: str, timeout: float) -> Any:
    """Return what /api/PATH answers, decoded. timeout: seconds for each node.

    Raises OSError or HTTPException, the last node's, if no node answers, and HTTPError if one refuses.
    """
    login = b64encode(f"{settings.RABBITMQ_USER}:{settings.RABBITMQ_PASSWORD}".encode()).decode()
    # No proxy of the environment: the address is the operator's own server.
    opener = build_opener(ProxyHandler({}))
    failure: Exception = OSError("RABBITMQ_MANAGEMENT_URL is empty")
    for base in settings.RABBITMQ_MANAGEMENT_URLS:
        question = Request(f"{base.rstrip('/')}/api/{path}", headers={"Authorization": f"Basic {login}"})  # noqa: S310
        try:
            with opener.open(question, timeout=timeout) as answer:
                return orjson.loads(answer.read())
        except HTTPError:
            raise
        except (OSError, HTTPException, ValueError) as error:
            failure = error
    raise failure


def queue(name: str, timeout: float) -> Any:
    """Return what RabbitMQ tells of one queue."""
    return get(f"queues/{quote(settings.RABBITMQ_VHOST, safe='')}/{quote(name, safe='')}", timeout)
