"""An installation of 0.2, with rows and a worker that still runs, becomes one with campaigns."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection

from landing.models import Registration, StoredSubmission
from landing.storing import outages
from landing.tasks import save_phones_async

pytestmark = pytest.mark.django_db(transaction=True)

PHONE = "09123456789"
OF_0_2 = """
INSERT INTO landing_registration AS known (phone_number, first_seen, last_seen) VALUES (%(phone)s, %(time)s, %(time)s)
ON CONFLICT (phone_number) DO UPDATE SET last_seen = greatest(known.last_seen, excluded.last_seen) RETURNING id
"""
"""What a worker of 0.2 does with a registration."""


@pytest.fixture
def version_0_2() -> Iterator[Any]:
    call_command("migrate", "landing", "0004", verbosity=0)
    yield store_as_0_2
    call_command("migrate", verbosity=0)


def store_as_0_2(time: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(OF_0_2, {"phone": PHONE, "time": time})
        [registration] = cursor.fetchone()
        row = [str(uuid4()), registration, time]
        cursor.execute(
            "INSERT INTO landing_submission (request_id, registration_id, accepted_at) VALUES (%s, %s, %s)",
            row,
        )


def test_its_rows_are_in_the_default_campaign_and_a_known_phone_stays_one(version_0_2: Any) -> None:
    version_0_2(datetime(2026, 3, 21, tzinfo=UTC))
    call_command("migrate", verbosity=0)
    save_phones_async([[PHONE, str(uuid4()), "192.0.2.1", "", "", "2026-03-22T00:00:00+00:00"]])
    [registration] = Registration.objects.all()
    assert str(registration.campaign) == "default"
    assert [one.details for one in StoredSubmission.objects.all()] == [None, None]


def test_a_worker_that_still_runs_waits_and_buries_nothing(version_0_2: Any) -> None:
    call_command("migrate", verbosity=0)
    with pytest.raises(ProgrammingError) as refused:
        version_0_2(datetime(2026, 3, 21, tzinfo=UTC))
    assert outages.is_outage(refused.value)


def test_an_interrupted_migration_can_be_done_again(version_0_2: Any) -> None:
    call_command("migrate", "landing", "0005", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE UNIQUE INDEX registration_phone_in_campaign ON landing_registration (phone_number)"
        )
    call_command("migrate", verbosity=0)
    save_phones_async([[PHONE, str(uuid4()), "", "", "", "2026-03-22T00:00:00+00:00", "nowruz", {}]])
    save_phones_async([[PHONE, str(uuid4()), "", "", "", "2026-03-22T00:00:00+00:00"]])
    assert Registration.objects.count() == 2
