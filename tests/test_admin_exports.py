"""Exports from the admin: a worker writes them beside its work, and who may have them gets them whole."""

import csv
import io
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psutil
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models import QuerySet
from django.test import Client

from dashboard.desk import export_jobs
from dashboard.models import Export, ExportChunk
from landing.models import Registration
from landing.storing import registrations
from landing.submission import Submission
from lib import tables
from tests.rights import container_roles, rights_of
from tests.waiting import eventually
from tests.workers import worker

pytestmark = pytest.mark.django_db(transaction=True)

PHONE, OTHER_PHONE = "09123456789", "09351112233"
ADD = "/admin/dashboard/export/add/"


@pytest.fixture(autouse=True)
def _on_the_tests_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_DB", connection.settings_dict["NAME"])


@pytest.fixture
def exporter(client: Client) -> Any:
    """A member of staff who may export and nothing else."""
    person = get_user_model().objects.create_user("exporter", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename="export_registration"))
    client.force_login(person)
    return client


def submitted(phone: str = PHONE, at: datetime | None = None) -> None:
    at = at or datetime.now(UTC)
    registrations.store([Submission(phone, str(uuid4()), "192.0.2.1", "", "", at)])


def asked(client: Client, **fields: Any) -> Any:
    answer = client.post(ADD, {"format": "csv"} | fields)
    assert answer.status_code == 302, answer.content.decode()
    return Export.objects.latest("pk")


def file_of(client: Client, export: Any) -> Any:
    return client.get(f"/admin/dashboard/export/{export.pk}/file/")


@pytest.mark.parametrize("form", tables.FORMATS)
def test_what_is_asked_for_is_written_and_downloaded_whole(exporter: Client, form: str) -> None:
    submitted()
    export = asked(exporter, format=form)
    assert export.state == Export.State.WAITING
    assert export_jobs.work()
    export.refresh_from_db()
    assert (export.state, export.rows, export.requested_by) == (Export.State.READY, 1, "exporter")
    answer = file_of(exporter, export)
    body = b"".join(answer.streaming_content)
    assert len(body) == int(answer["Content-Length"]) == export.bytes
    assert answer["Content-Disposition"] == f'attachment; filename="registrations-{export.pk}.{form}"'
    assert "no-store" in answer["Cache-Control"]
    assert answer["X-Accel-Buffering"] == "no"  # nginx would run out of disk on a large one
    if form == "csv":
        [row] = csv.DictReader(io.StringIO(body.decode("utf-8-sig")))
        assert row["phone_number"] == "0912-345-6789"


def test_only_what_was_chosen_is_in_it(exporter: Client) -> None:
    submitted(PHONE, datetime(2026, 3, 21, 8, 30, tzinfo=UTC))
    submitted(OTHER_PHONE, datetime(2026, 3, 20, 8, 30, tzinfo=UTC))
    export = asked(exporter, format="jsonl", since="۱۴۰۵/۰۱/۰۱", status="pending")
    export_jobs.work()
    body = b"".join(file_of(exporter, export).streaming_content)
    assert body.count(b"\n") == 1
    assert PHONE.encode() in body


def test_a_file_of_many_chunks_comes_in_order(exporter: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_jobs, "CHUNK", 64)
    for number in range(30):
        submitted(f"0912{number:07}")
    export = asked(exporter)
    export_jobs.work()
    assert ExportChunk.objects.count() > 10
    body = b"".join(file_of(exporter, export).streaming_content).decode("utf-8-sig")
    assert [row["id"] for row in csv.DictReader(io.StringIO(body))] == [
        str(pk) for pk in Registration.objects.order_by("pk").values_list("pk", flat=True)
    ]


def test_asking_and_downloading_are_in_the_audit_log(exporter: Client) -> None:
    submitted()
    export = asked(exporter)
    export_jobs.work()
    file_of(exporter, export)
    said = list(LogEntry.objects.order_by("pk").values_list("user__username", "change_message", "object_id"))
    assert said == [
        ("exporter", "asked for an export", str(export.pk)),
        ("exporter", "downloaded an export", str(export.pk)),
    ]


def test_who_may_not_export_gets_nothing(exporter: Client, client: Client) -> None:
    submitted()
    export = asked(exporter)
    export_jobs.work()
    client.force_login(get_user_model().objects.create_user("other", is_staff=True))
    assert file_of(client, export).status_code == 403
    assert client.post(ADD, {"format": "csv"}).status_code == 403
    assert client.get("/admin/dashboard/export/").status_code == 403
    client.logout()
    assert file_of(client, export)["Location"].startswith("/admin/login/")
    assert Export.objects.count() == 1


@pytest.mark.parametrize(
    "fields", [{"format": "exe"}, {"since": "soon"}, {"status": "x"}, {"until": "1404/12/30"}]
)
def test_a_wrong_wish_is_explained(exporter: Client, fields: dict[str, Any]) -> None:
    answer = exporter.post(ADD, {"format": "csv"} | fields)
    assert answer.status_code == 200
    assert answer.context["errors"]
    assert not Export.objects.exists()


def test_there_are_never_more_than_a_few(exporter: Client) -> None:
    for _ in range(export_jobs.MOST_KEPT):
        Export.objects.create(format="csv", requested_by="exporter")
    assert exporter.post(ADD, {"format": "csv"}).context["errors"]


def test_a_file_is_deleted_after_a_day(exporter: Client) -> None:
    submitted()
    export = asked(exporter)
    export_jobs.work()
    Export.objects.update(finished_at=datetime.now(UTC) - timedelta(hours=25))
    assert not export_jobs.work()
    assert not ExportChunk.objects.exists()
    assert file_of(exporter, export).status_code == 404
    assert exporter.get("/admin/dashboard/export/").status_code == 200


def test_one_is_written_at_a_time_and_one_whose_worker_is_gone_is_given_up() -> None:
    running = Export.objects.create(
        format="csv", state=Export.State.RUNNING, alive_at=datetime.now(UTC), requested_by="a"
    )
    ExportChunk.objects.create(export=running, number=1, body=b"half")
    waiting = Export.objects.create(format="csv", requested_by="a")
    assert not export_jobs.work()
    Export.objects.filter(pk=running.pk).update(alive_at=datetime.now(UTC) - timedelta(minutes=6))
    assert export_jobs.work()
    running.refresh_from_db()
    waiting.refresh_from_db()
    assert (running.state, waiting.state) == (Export.State.FAILED, Export.State.READY)
    assert not ExportChunk.objects.filter(export=running).exists()


@pytest.mark.parametrize(("name", "value"), [("MOST_BYTES", 10), ("DEADLINE", timedelta(0))])
def test_one_that_is_too_large_or_too_slow_leaves_no_file(
    exporter: Client, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    monkeypatch.setattr(export_jobs, name, value)
    submitted()
    export = asked(exporter)
    export_jobs.work()
    export.refresh_from_db()
    assert export.state == Export.State.FAILED
    assert "manage.py export" in export.error
    assert not ExportChunk.objects.exists()
    assert file_of(exporter, export).status_code == 404


def test_one_whose_process_dies_leaves_no_file(exporter: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_jobs, "_command", lambda _: ["sh", "-c", "echo half; kill -9 $$"])
    export = asked(exporter)
    export_jobs.work()
    export.refresh_from_db()
    assert export.state == Export.State.FAILED
    assert not ExportChunk.objects.exists()


def pretending(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script stand for `manage.py export`."""
    monkeypatch.setattr(export_jobs, "_command", lambda _: ["sh", "-c", script])


def test_who_asked_reads_why_it_failed(exporter: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PORT", "1")
    export = asked(exporter)
    export_jobs.work()
    export.refresh_from_db()
    assert export.error.startswith("A store does not answer: ")
    assert "manage.py doctor" not in export.error
    assert len(export.error.splitlines()) == 1


def test_one_that_writes_slowly_is_alive_all_the_time(
    exporter: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_jobs, "HEARTBEAT", 0.05)
    pretending(monkeypatch, "sleep 1; printf half; echo '{\"rows\": 1}' >&2")
    said = []
    update = QuerySet.update
    monkeypatch.setattr(QuerySet, "update", lambda those, **new: said.append(new) or update(those, **new))
    asked(exporter)
    export_jobs.work()
    alive = [new["alive_at"] for new in said if "alive_at" in new]
    assert len(alive) > 5
    assert Export.objects.get().state == Export.State.READY


def test_one_that_is_stuck_is_ended_at_its_deadline_though_it_writes_nothing(
    exporter: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_jobs, "HEARTBEAT", 0.05)
    monkeypatch.setattr(export_jobs, "DEADLINE", timedelta(seconds=0.3))
    pretending(monkeypatch, "exec sleep 60")
    export = asked(exporter)
    export_jobs.work()
    export.refresh_from_db()
    assert export.state == Export.State.FAILED
    assert "longer than an hour" in export.error
    assert not export_jobs._running


@pytest.mark.parametrize(
    "script",
    [
        "exec >&-; sleep 60",
        "echo 'Exception ignored in: <function>' >&2",
        """echo '{"rows": "many"}' >&2""",
        """echo '{"rows": null}' >&2; exit 1""",
        "echo '[1]' >&2; exit 3",
        "",
    ],
    ids=["does not end", "no report", "odd rows", "odd error", "an odd line", "nothing"],
)
def test_whatever_the_process_does_the_export_fails_and_the_next_one_is_written(
    exporter: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, script: str
) -> None:
    monkeypatch.setattr(export_jobs, "END_WITHIN", 0.2)
    export = asked(exporter)
    with monkeypatch.context() as patch:
        patch.setattr(export_jobs, "_command", lambda _: ["sh", "-c", script])
        with suppress(ValueError):  # the loop logs it and goes on: tests/test_beside.py
            export_jobs.work()
    export.refresh_from_db()
    assert export.state == Export.State.FAILED
    assert export.error
    later = asked(exporter)
    export_jobs.work()
    later.refresh_from_db()
    assert later.state == Export.State.READY


def test_a_report_is_found_before_what_python_says_at_its_end(
    exporter: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretending(monkeypatch, """printf x; echo '{"rows": 1}' >&2; echo 'Exception ignored in: <x>' >&2""")
    export = asked(exporter)
    export_jobs.work()
    export.refresh_from_db()
    assert (export.state, export.rows) == (Export.State.READY, 1)


def test_a_worker_writes_it_by_itself_and_stores_registrations_meanwhile(exporter: Client) -> None:
    submitted()
    with worker():
        export = asked(exporter)
        eventually(lambda: Export.objects.get(pk=export.pk).state == Export.State.READY, within=60)
    assert file_of(exporter, export).status_code == 200


def test_a_worker_that_ends_takes_its_export_along_and_leaves_no_process(exporter: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO landing_registration (phone_number, first_seen, last_seen) "
            "SELECT '09' || lpad(n::text, 9, '0'), now(), now() FROM generate_series(1, 300000) AS n"
        )
    with worker() as process:
        export = asked(exporter)
        eventually(lambda: Export.objects.get(pk=export.pk).bytes, within=60)
        family = psutil.Process(process.pid).children(recursive=True)
        assert [child for child in family if "export" in child.cmdline()]
        process.terminate()
        process.wait(30)
    assert Export.objects.get(pk=export.pk).state != Export.State.READY
    assert [child for child in family if child.is_running()] == []


def test_the_rights_of_web_and_worker_in_the_container_stack_are_enough(
    client: Client, django_user_model: Any
) -> None:
    submitted()
    with container_roles("breakwater_web", "breakwater_worker"):
        client.force_login(django_user_model.objects.create_superuser("boss"))
        with rights_of("breakwater_web"):
            export = asked(client)
        with rights_of("breakwater_worker"):
            assert export_jobs.work()
        with rights_of("breakwater_web"):
            assert PHONE[-4:].encode() in b"".join(file_of(client, export).streaming_content)
            assert client.get("/admin/dashboard/export/").status_code == 200
            registration = Registration.objects.get()
            page = client.post(f"/admin/landing/registration/{registration.pk}/reveal/")
            assert PHONE in page.content.decode()
            assert client.get("/admin/dashboard/auditentry/").status_code == 200
        Export.objects.update(finished_at=datetime.now(UTC) - timedelta(hours=25))
        with rights_of("breakwater_worker"):
            export_jobs.clean()
        assert not ExportChunk.objects.exists()
