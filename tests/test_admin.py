"""The admin: finds a registration by phone or request_id, shows no phone unasked, counts no table."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from landing.models import Registration
from landing.storing import outbox, registrations
from landing.submission import Submission
from logs import stores
from logs import utils as logs

pytestmark = pytest.mark.django_db

PHONE, OTHER_PHONE = "09123456789", "09351112233"
LISTS = ["registration", "storedsubmission", "parkedlog"]


@pytest.fixture
def submitted() -> Any:
    """One submission of each of two phones; the first is returned."""
    now = datetime.now(UTC)
    sent = [Submission(phone, str(uuid4()), "192.0.2.1", "", "", now) for phone in (PHONE, OTHER_PHONE)]
    registrations.store(sent)
    return sent[0]


def found(admin_client: Client, model: str, term: str) -> Any:
    page = admin_client.get(f"/admin/landing/{model}/", {"q": term})
    assert page.status_code == 200
    return list(page.context["cl"].result_list)


@pytest.mark.parametrize("spelling", [PHONE, "+98 912 345 6789", "۰۹۱۲۳۴۵۶۷۸۹"])
def test_a_registration_is_found_by_its_phone_in_any_spelling(
    admin_client: Client, submitted: Submission, spelling: str
) -> None:
    assert found(admin_client, "registration", spelling) == [Registration.objects.get(phone_number=PHONE)]


def test_both_are_found_by_request_id(admin_client: Client, submitted: Submission) -> None:
    [registration] = found(admin_client, "registration", submitted.request_id)
    [stored] = found(admin_client, "storedsubmission", f" {submitted.request_id.upper()} ")
    assert registration.phone_number == PHONE
    assert str(stored.pk) == submitted.request_id


@pytest.mark.parametrize("term", ["0912", "6789", "%", "' OR 1=1", "17404890-a740-4620-808f-1205fabef46d"])
def test_a_term_that_is_neither_finds_nothing(admin_client: Client, submitted: Submission, term: str) -> None:
    assert found(admin_client, "registration", term) == []
    assert found(admin_client, "storedsubmission", term) == []


def test_pages_mask_the_phone(admin_client: Client, submitted: Submission) -> None:
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
def test_a_list_reads_one_page_and_counts_no_table(admin_client: Client, model: str) -> None:
    now = datetime.now(UTC)
    sent = [Submission(f"0912{n:07}", str(uuid4()), "192.0.2.1", "", "", now) for n in range(60)]
    registrations.store(sent)
    outbox.park([{"_id": submission.request_id} for submission in sent])
    with CaptureQueriesContext(connection) as queries:
        assert admin_client.get(f"/admin/landing/{model}/").status_code == 200
    statements = [query["sql"] for query in queries if 'FROM "landing_' in query["sql"]]
    assert len(statements) == (3 if model == "registration" else 2)  # the third is for the referrers
    assert all("COUNT(" not in sql and "LIMIT" in sql for sql in statements)


@pytest.mark.parametrize("model", LISTS)
def test_no_row_is_made_by_hand(admin_client: Client, model: str) -> None:
    assert admin_client.get(f"/admin/landing/{model}/add/").status_code == 403


def test_no_row_is_deleted_by_hand(admin_client: Client, submitted: Submission) -> None:
    registration = Registration.objects.get(phone_number=PHONE)
    page = f"/admin/landing/registration/{registration.pk}/delete/"
    assert admin_client.post(page, {"post": "yes"}).status_code == 403
    assert Registration.objects.filter(pk=registration.pk).exists()


def test_no_row_is_changed_by_hand(admin_client: Client, submitted: Submission) -> None:
    registration = Registration.objects.get(phone_number=PHONE)
    for page in (f"registration/{registration.pk}", f"storedsubmission/{submitted.request_id}"):
        assert admin_client.post(f"/admin/landing/{page}/change/", {"status": "confirmed"}).status_code == 403


@pytest.mark.parametrize("model", LISTS)
def test_who_is_not_logged_in_is_asked_to(client: Client, model: str) -> None:
    answer = client.get(f"/admin/landing/{model}/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


def test_who_is_logged_in_without_being_staff_sees_nothing(client: Client) -> None:
    client.force_login(get_user_model().objects.create_user("visitor"))
    assert client.get("/admin/landing/registration/").status_code == 302


def staff(*permissions: Any) -> Any:
    """A member of staff with these permissions of ours."""
    person = get_user_model().objects.create_user(f"staff{len(permissions)}", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return person


def test_a_whole_number_is_shown_to_who_may_see_it_and_the_audit_log_says_so_first(
    client: Client, submitted: Submission
) -> None:
    registration = Registration.objects.get(phone_number=PHONE)
    person = staff("view_registration", "reveal_phone")
    client.force_login(person)
    page = f"/admin/landing/registration/{registration.pk}"
    assert "reveal" in client.get(f"{page}/change/").content.decode()
    answer = client.post(f"{page}/reveal/")
    assert PHONE in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    [entry] = LogEntry.objects.all()
    assert (entry.user, entry.change_message) == (person, "revealed a phone number")
    assert entry.object_id == str(registration.pk)
    assert PHONE not in str(entry.__dict__)


@pytest.mark.parametrize("permissions", [("view_registration",), ("reveal_phone",), ()])
def test_a_whole_number_is_not_shown_without_both_permissions(
    client: Client, submitted: Submission, permissions: tuple[Any, ...]
) -> None:
    registration = Registration.objects.get(phone_number=PHONE)
    client.force_login(staff(*permissions))
    page = f"/admin/landing/registration/{registration.pk}"
    assert "/reveal/" not in client.get(f"{page}/change/").content.decode()
    answer = client.post(f"{page}/reveal/")
    assert answer.status_code == 403
    assert PHONE not in answer.content.decode()
    assert not LogEntry.objects.exists()


def test_a_link_alone_reveals_nothing(admin_client: Client, submitted: Submission) -> None:
    registration = Registration.objects.get(phone_number=PHONE)
    assert admin_client.get(f"/admin/landing/registration/{registration.pk}/reveal/").status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(get_user_model().objects.get(username="admin"))
    assert strict.post(f"/admin/landing/registration/{registration.pk}/reveal/").status_code == 403
    assert not LogEntry.objects.exists()


def test_the_audit_log_is_for_superusers_and_nobody_changes_it(
    admin_client: Client, client: Client, submitted: Submission
) -> None:
    registration = Registration.objects.get(phone_number=PHONE)
    admin_client.post(f"/admin/landing/registration/{registration.pk}/reveal/")
    entry = LogEntry.objects.get()
    listed = admin_client.get(
        "/admin/dashboard/auditentry/", headers={"Accept-Language": "en"}
    ).content.decode()
    assert "revealed a phone number" in listed
    for page in (f"{entry.pk}/delete/", f"{entry.pk}/change/"):
        assert admin_client.post(f"/admin/dashboard/auditentry/{page}").status_code == 403
    client.force_login(staff("view_logentry", "view_registration"))
    assert client.get("/admin/dashboard/auditentry/").status_code == 403


def test_an_account_is_not_deleted_with_what_it_did(admin_client: Client, submitted: Submission) -> None:
    registration = Registration.objects.get(phone_number=PHONE)
    admin_client.post(f"/admin/landing/registration/{registration.pk}/reveal/")
    boss = get_user_model().objects.get(username="admin")
    assert admin_client.post(f"/admin/auth/user/{boss.pk}/delete/", {"post": "yes"}).status_code == 403
    assert LogEntry.objects.count() == 1


def listed(client: Client, **query: Any) -> Any:
    page = client.get("/admin/landing/registration/", query, headers={"Accept-Language": "en"})
    assert page.status_code == 200
    return [one.phone_number for one in page.context["cl"].result_list], page.content.decode()


def test_registrations_are_found_by_time_in_either_calendar(admin_client: Client) -> None:
    noon = datetime(2026, 3, 21, 8, 30, tzinfo=UTC)  # 1405/01/01 12:00 in Tehran
    for phone, time in ((PHONE, noon), (OTHER_PHONE, noon - timedelta(days=1))):
        registrations.store([Submission(phone, str(uuid4()), "192.0.2.1", "", "", time)])
    for since in ("1405/01/01", "۱۴۰۵/۱/۱", "2026-03-21", "2026-03-21T08:30Z"):
        assert listed(admin_client, since=since)[0] == [PHONE]
        assert listed(admin_client, until=since)[0] == [OTHER_PHONE]


@pytest.mark.parametrize("time", ["soon", "1404/12/30", "' OR 1=1", "2026-13-01", "<script>"])
def test_a_time_that_is_none_finds_nothing_and_is_told(
    admin_client: Client, submitted: Submission, time: str
) -> None:
    found, page = listed(admin_client, since=time)
    assert found == []
    assert "That is no time" in page
    assert "<script>alert" not in page
    assert "no time: <script>" not in page


def test_registrations_are_found_by_the_site_they_came_from(
    admin_client: Client, submitted: Submission
) -> None:
    cache.clear()
    registration = Registration.objects.get(phone_number=PHONE)
    document = {"_id": submitted.request_id, "registration_id": registration.pk}
    logs.log_requests([document | {"referrer": "https://news.example/article?id=5"}])
    found, page = listed(admin_client, from_site="news.example")
    assert found == [PHONE]
    assert "news.example (1)" in page
    assert listed(admin_client, from_site="other.example")[0] == []


def test_a_hostile_referrer_is_text(admin_client: Client, submitted: Submission) -> None:
    cache.clear()
    for number, referrer in enumerate(
        ("https://[broken", "javascript:alert(1)", "<img src=x onerror=alert(1)>")
    ):
        logs.log_requests(
            [{"_id": submitted.request_id[:-1] + str(number), "registration_id": 1, "referrer": referrer}]
        )
        registrations.store(
            [Submission(PHONE, submitted.request_id[:-1] + str(number), "", "", "", datetime.now(UTC))]
        )
    _, page = listed(admin_client)
    assert "<img src=x" not in page
    assert "[broken" in page


def test_mongodb_away_takes_the_referrers_away_and_nothing_else(
    admin_client: Client, submitted: Submission, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.clear()
    settings.MONGODB_PORT, settings.MONGODB_TIMEOUT = 9, 0.2
    monkeypatch.setattr(stores, "_stores", {})
    found, page = listed(admin_client)
    assert set(found) == {PHONE, OTHER_PHONE}
    assert "MongoDB does not answer" in page


def test_the_persian_admin_is_persian_and_jalali_and_can_be_left_for_english(
    client: Client, django_user_model: Any
) -> None:
    boss = django_user_model.objects.create_superuser("boss")
    client.force_login(boss)
    noon = datetime(2026, 3, 21, 8, 30, tzinfo=UTC)
    registrations.store([Submission(PHONE, str(uuid4()), "192.0.2.1", "", "", noon)])
    page = client.get("/admin/landing/registration/", headers={"Accept-Language": "fa"}).content.decode()
    assert 'lang="fa" dir="rtl"' in page
    assert "۱۴۰۵/۰۱/۰۱ ۱۲:۰۰:۰۰" in page
    assert "شمارهٔ تلفن" in page
    assert "در انتظار تأیید" in page
    client.post("/admin/language/", {"language": "en", "next": "/admin/"})
    page = client.get("/admin/landing/registration/", headers={"Accept-Language": "fa"}).content.decode()
    assert 'lang="en"' in page
    assert "2026-03-21 12:00:00" in page


def test_the_calendar_of_the_persian_admin_is_a_setting(
    client: Client, django_user_model: Any, settings: Settings
) -> None:
    settings.CALENDAR = "gregorian"
    client.force_login(django_user_model.objects.create_superuser("boss"))
    noon = datetime(2026, 3, 21, 8, 30, tzinfo=UTC)
    registrations.store([Submission(PHONE, str(uuid4()), "192.0.2.1", "", "", noon)])
    page = client.get("/admin/landing/registration/", headers={"Accept-Language": "fa"}).content.decode()
    assert "۲۰۲۶-۰۳-۲۱ ۱۲:۰۰:۰۰" in page
