"""The admin: finds a registration by phone or request_id, shows no phone, counts no table."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from landing import outbox, registrations
from landing.models import Registration
from landing.submission import Submission

pytestmark = pytest.mark.django_db

PHONE, OTHER_PHONE = "09123456789", "09351112233"
LISTS = ["registration", "storedsubmission", "parkedlog"]


@pytest.fixture
def submitted():
    """One submission of each of two phones; the first is returned."""
    now = datetime.now(UTC)
    sent = [Submission(phone, str(uuid4()), "192.0.2.1", "", "", now) for phone in (PHONE, OTHER_PHONE)]
    registrations.store(sent)
    return sent[0]


def found(admin_client, model, term):
    page = admin_client.get(f"/admin/landing/{model}/", {"q": term})
    assert page.status_code == 200
    return list(page.context["cl"].result_list)


@pytest.mark.parametrize("spelling", [PHONE, "+98 912 345 6789", "۰۹۱۲۳۴۵۶۷۸۹"])
def test_a_registration_is_found_by_its_phone_in_any_spelling(admin_client, submitted, spelling):
    assert found(admin_client, "registration", spelling) == [Registration.objects.get(phone_number=PHONE)]


def test_both_are_found_by_request_id(admin_client, submitted):
    [registration] = found(admin_client, "registration", submitted.request_id)
    [stored] = found(admin_client, "storedsubmission", f" {submitted.request_id.upper()} ")
    assert registration.phone_number == PHONE
    assert str(stored.pk) == submitted.request_id


@pytest.mark.parametrize("term", ["0912", "6789", "%", "' OR 1=1", str(uuid4())])
def test_a_term_that_is_neither_finds_nothing(admin_client, submitted, term):
    assert found(admin_client, "registration", term) == []
    assert found(admin_client, "storedsubmission", term) == []


def test_pages_mask_the_phone(admin_client, submitted):
    registration = Registration.objects.get(phone_number=PHONE)
    for page in (
        "",
        f"{registration.pk}/change/",
        f"{registration.pk}/history/",
        f"{registration.pk}/delete/",
    ):
        shown = admin_client.get(f"/admin/landing/registration/{page}").content.decode()
        assert PHONE not in shown
    listed = admin_client.get("/admin/landing/registration/").content.decode()
    assert "0912***6789" in listed


@pytest.mark.parametrize("model", LISTS)
def test_a_list_reads_one_page_and_counts_no_table(admin_client, model):
    now = datetime.now(UTC)
    sent = [Submission(f"0912{n:07}", str(uuid4()), "192.0.2.1", "", "", now) for n in range(60)]
    registrations.store(sent)
    outbox.park([{"_id": submission.request_id} for submission in sent])
    with CaptureQueriesContext(connection) as queries:
        assert admin_client.get(f"/admin/landing/{model}/").status_code == 200
    statements = [query["sql"] for query in queries if "landing_" in query["sql"]]
    assert len(statements) == 2
    assert all("COUNT(" not in sql and "LIMIT" in sql for sql in statements)


@pytest.mark.parametrize("model", LISTS)
def test_no_row_is_made_by_hand(admin_client, model):
    assert admin_client.get(f"/admin/landing/{model}/add/").status_code == 403


def test_no_row_is_changed_by_hand(admin_client, submitted):
    registration = Registration.objects.get(phone_number=PHONE)
    for page in (f"registration/{registration.pk}", f"storedsubmission/{submitted.request_id}"):
        assert admin_client.post(f"/admin/landing/{page}/change/", {"status": "confirmed"}).status_code == 403


@pytest.mark.parametrize("model", LISTS)
def test_who_is_not_logged_in_is_asked_to(client, model):
    answer = client.get(f"/admin/landing/{model}/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


def test_who_is_logged_in_without_being_staff_sees_nothing(client):
    client.force_login(get_user_model().objects.create_user("visitor"))
    assert client.get("/admin/landing/registration/").status_code == 302
