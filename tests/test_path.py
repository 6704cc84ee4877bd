"""One registration through every layer: the executable overview."""

import pytest
from celery.result import AsyncResult
from django.test import Client

from config.celery import app
from landing.models import Registration, StoredSubmission
from logs import utils as logs
from tests.messages import drain_spool
from tests.waiting import eventually
from tests.workers import worker

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_registration_goes_from_the_post_to_both_databases(client: Client) -> None:
    accepted = client.post(
        "/api/register/",
        {"phone_number": "۰۹۱۲ ۳۴۵ ۶۷۸۹"},
        content_type="application/json",
        headers={"referer": "https://campaign.example/spring", "user-agent": "A browser"},
    )
    assert accepted.status_code == 202
    task_id = accepted.json()["task_id"]
    assert client.get(accepted["Location"]).json()["status"] == "Processing"

    drain_spool()
    with worker():
        eventually(lambda: client.get(accepted["Location"]).json()["status"] == "Registered", within=30)

    registration = Registration.objects.get(phone_number="09123456789")
    submission = StoredSubmission.objects.get(request_id=task_id)
    assert submission.registration == registration
    document = logs.find(task_id)
    assert document["registration_id"] == registration.pk
    assert document["referrer"] == "https://campaign.example/spring"
    assert AsyncResult(task_id, app=app).state == "SUCCESS"
