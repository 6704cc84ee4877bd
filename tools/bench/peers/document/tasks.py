"""The task: one row, one document."""

from celery import shared_task
from django.db import transaction
from django.utils import timezone

from tools.bench.peers.document.logs import log_request
from tools.bench.peers.document.models import Registration


@shared_task(name="landing.tasks.save_phone_async")
def save_phone_async(phone_number: str, request_id: str, ip_address: str, referrer: str) -> int:
    """Create or update the record in a transaction, then log the request."""
    with transaction.atomic():
        registration, _ = Registration.objects.update_or_create(phone_number=phone_number)
    log_request(
        {
            "_id": request_id,
            "registration_id": registration.pk,
            "ip_address": ip_address,
            "referrer": referrer,
            "logged_at": timezone.now(),
        }
    )
    return int(registration.pk)
