"""The answer to an accepted registration: its id, and where to ask for its state."""

from django.conf import settings

from campaigns.definition import DEFAULT
from lib import request_ids

LONGEST_KEY = 255
"""Characters of an Idempotency-Key."""


def request_id_for(idempotency_key: str, phone_number: str, campaign: str = DEFAULT) -> str:
    """Return a new id, or the one that belongs to this key and this phone number in this campaign."""
    secret = settings.SECRET_KEY.encode()
    if idempotency_key:
        # As ever in the default campaign: a repeat of a registration of before there were campaigns has its id.
        whose = phone_number if campaign == DEFAULT else f"{campaign}\n{phone_number}"
        return request_ids.from_key(secret, idempotency_key, whose)
    return request_ids.new(secret)


def status_url(task_id: str) -> str:
    return f"/api/register/{task_id}/"


def receipt(request_id: str) -> dict[str, str]:
    return {
        "task_id": request_id,
        "request_id": request_id,
        "status": "Processing",
        "status_url": status_url(request_id),
    }
