"""Erasure in the admin: shown first, asked for by typing the number twice, written down, and done by the command."""

import json
import logging
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from pytest_django.fixtures import Settings

from dashboard.desk import doctor
from dashboard.models import ErasureRequest
from landing.desk import audit
from landing.models import Registration
from landing.storing import dead_lettering
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib import request_ids
from lib.clock import now
from logs import stores
from tests.rights import container_roles, rights_of

pytestmark = pytest.mark.django_db(transaction=True)

PHONE, NEIGHBOUR = "09123456789", "09350000000"
URL = "/admin/dashboard/erasurerequest/"
ENGLISH = {"Accept-Language": "en"}


def submission(phone: str = PHONE) -> Submission:
    return Submission(phone, request_ids.new(settings.SECRET_KEY.encode()), "192.0.2.1", "", "", now())


@pytest.fixture(autouse=True)
def _stored() -> None:
    save_phones_async([submission().to_wire(), submission().to_wire(), submission(NEIGHBOUR).to_wire()])


@pytest.fixture
def eraser(client: Client) -> Client:
    """A member of staff who may erase and nothing else."""
    return may(client, "erase_person")


def may(client: Client, *permissions: str) -> Client:
    person = get_user_model().objects.create_user("staff", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(person)
    return client


def post(client: Client, **fields: str) -> tuple[int, str]:
    answer = client.post(f"{URL}add/", fields, headers=ENGLISH, follow=True)
    return answer.status_code, answer.content.decode()


def erase_asked() -> Any:
    out = StringIO()
    call_command("erase", "--asked", "--yes", "--settle", "0", "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def test_it_shows_what_there_is_and_what_stays_and_asks_nothing_of_the_command_yet(eraser: Client) -> None:
    dead_lettering.bury(submission().to_wire(), "poison")
    _, page = post(eraser, phone_number="۰۹۱۲ ۳۴۵ ۶۷۸۹")
    for row in ("registrations</th><td>1<", "submissions</th><td>2<", "request logs</th><td>2<"):
        assert row in page
    assert "counted</th><td>1<" in page
    assert "until it rotates" in page
    assert "0912***6789" in page
    assert not ErasureRequest.objects.exists()
    assert not LogEntry.objects.exists()


def test_the_number_typed_again_asks_and_the_command_erases(eraser: Client) -> None:
    _, page = post(eraser, phone_number=PHONE, again="+98 912 345 6789")
    assert "Asked for." in page
    assert "0912***6789" in page
    assert Registration.objects.count() == 2
    assert erase_asked() == {"people": 1, "erased": True}
    assert Registration.objects.get().phone_number == NEIGHBOUR
    asked = ErasureRequest.objects.get()
    assert (asked.phone_number, asked.requested_by) == ("", "staff")
    assert asked.erased_at
    assert erase_asked() == {"people": 0, "erased": False}


def test_the_audit_log_says_so_before_and_without_the_number(
    eraser: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        post(eraser, phone_number=PHONE, again=PHONE)
    entry = LogEntry.objects.get()
    assert (entry.change_message, entry.user.get_username()) == ("asked to erase a person", "staff")
    assert entry.object_repr.endswith(": 1 registrations, 2 submissions")
    assert PHONE not in str(entry.__dict__) + str([one.__dict__ for one in caplog.records])


def test_what_cannot_be_audited_is_not_asked(eraser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(audit, "record", fails)
    eraser.raise_request_exception = False
    post(eraser, phone_number=PHONE, again=PHONE)
    assert not ErasureRequest.objects.exists()


def test_who_is_asked_for_twice_waits_once(eraser: Client) -> None:
    post(eraser, phone_number=PHONE, again=PHONE)
    _, page = post(eraser, phone_number=PHONE, again=PHONE)
    assert "still waits" in page
    assert ErasureRequest.objects.count() == 1


def test_who_was_erased_by_hand_does_not_wait(eraser: Client) -> None:
    post(eraser, phone_number=PHONE, again=PHONE)
    call_command("erase", PHONE, "--yes", "--settle", "0", stdout=StringIO())
    assert not ErasureRequest.objects.filter(phone_number=PHONE).exists()


@pytest.mark.parametrize(
    "again",
    ["", NEIGHBOUR, "0912345678", "<script>alert(1)</script>", "09123456789\0", "9" * 5_000, "%s' OR 1"],
)
def test_another_number_or_none_the_second_time_asks_nothing(eraser: Client, again: str) -> None:
    status, page = post(eraser, phone_number=PHONE, again=again)
    assert status == 200
    assert "<script>alert" not in page
    assert not ErasureRequest.objects.exists()


@pytest.mark.parametrize("typed", ["", "12", "<b>0</b>", "09123456789\0", "{0}", "9" * 5_000])
def test_what_is_no_number_is_asked_for_again(eraser: Client, typed: str) -> None:
    status, page = post(eraser, phone_number=typed, again=typed)
    assert status == 200
    assert 'class="errorlist"' in page
    assert "<b>0</b>" not in page
    assert not ErasureRequest.objects.exists()


def test_a_link_alone_asks_nothing(eraser: Client) -> None:
    eraser.get(f"{URL}add/?phone_number={PHONE}&again={PHONE}")
    assert not ErasureRequest.objects.exists()


def test_a_form_of_another_site_asks_nothing(eraser: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = eraser.cookies
    answer = strict.post(f"{URL}add/", {"phone_number": PHONE, "again": PHONE})
    assert answer.status_code == 403
    assert not ErasureRequest.objects.exists()


@pytest.mark.parametrize(
    "permissions",
    [(), ("delete_registration", "change_registration", "reveal_phone", "export_registration")],
)
def test_no_other_permission_lets_anybody_erase(client: Client, permissions: tuple[str, ...]) -> None:
    may(client, "view_registration", *permissions)
    assert post(client, phone_number=PHONE, again=PHONE)[0] == 403
    assert client.get(URL).status_code == 403
    assert not ErasureRequest.objects.exists()


def test_while_a_store_is_away_nothing_is_asked(
    eraser: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MONGODB_PORT, settings.MONGODB_TIMEOUT = 1, 0.3
    monkeypatch.setattr(stores, "_stores", {})
    status, page = post(eraser, phone_number=PHONE, again=PHONE)
    assert (status, "A server does not answer" in page) == (503, True)
    assert not ErasureRequest.objects.exists()


def test_the_web_may_ask_and_delete_nothing_and_the_toolbox_erases(eraser: Client) -> None:
    with container_roles("breakwater_worker", "breakwater_web", "breakwater_toolbox"):
        with rights_of("breakwater_web"):
            assert "Asked for." in post(eraser, phone_number=PHONE, again=PHONE)[1]
            for table in ("landing_registration", "landing_erasure", "dashboard_erasurerequest"):
                with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(f"DELETE FROM {table}")
        with rights_of("breakwater_toolbox"):
            assert erase_asked()["people"] == 1
    assert Registration.objects.get().phone_number == NEIGHBOUR


def test_doctor_says_that_nobody_runs_the_command(eraser: Client) -> None:
    post(eraser, phone_number=PHONE, again=PHONE)
    assert [one.verdict for one in doctor.examine() if one.part == "erasures"] == ["ok"]
    ErasureRequest.objects.update(requested_at=now() - timedelta(days=2))
    assert [one.verdict for one in doctor.examine() if one.part == "erasures"] == ["warning"]


def test_a_person_is_told_that_the_erasure_was_asked_for(eraser: Client) -> None:
    post(eraser, phone_number=PHONE, again=PHONE)
    out = StringIO()
    call_command("tell", PHONE, "--json", stdout=out)
    assert len(json.loads(out.getvalue())["erasure_asked_at"]) == 1
