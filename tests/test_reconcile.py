"""manage.py reconcile: nothing to say of what is whole, and every planted damage is found."""

import gzip
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from bson import ObjectId
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from pymongo import MongoClient

from config.celery import app
from dashboard.proof import sorted_ids
from dashboard.proof.sorted_ids import aligned, in_order
from landing.keeping import queues
from landing.models import Registration, StoredSubmission
from landing.storing import outbox
from landing.storing.dead_lettering import bury
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib import request_ids, spool
from local.servers import Servers
from logs import utils as logs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mongo() -> Any:
    login = {"username": settings.MONGODB_USER, "password": settings.MONGODB_PASSWORD}
    client: MongoClient[Any] = MongoClient(settings.MONGODB_HOST, settings.MONGODB_PORT, **login)
    with client:
        yield client[settings.MONGODB_DB]["request_logs"]


def new_ids(count: int) -> Any:
    return sorted(request_ids.new(settings.SECRET_KEY.encode()) for _ in range(count))


def wires(ids: list[str], start: int = 0) -> Any:
    now = datetime.now(UTC)
    return [
        Submission(f"0912{start + n:07}", one, "192.0.2.1", "", "", now + timedelta(milliseconds=n)).to_wire()
        for n, one in enumerate(ids)
    ]


def stored(count: int, start: int = 0) -> Any:
    """Store registrations as a worker does; return their ids."""
    ids = new_ids(count)
    save_phones_async(wires(ids, start))
    return ids


@pytest.fixture
def reconcile(tmp_path: Path) -> Any:
    """Run the command; return its exit code and its report."""

    def run(*arguments: Any, accepted: Any = None, settle: Any = 0) -> Any:
        if accepted is not None:
            (tmp_path / "accepted").write_text("\n".join(accepted))
            arguments = ("--accepted", str(tmp_path / "accepted"), *arguments)
        out, code = StringIO(), 0
        try:
            call_command("reconcile", *arguments, "--json", "--settle", str(settle), stdout=out)
        except CommandError as error:
            if error.returncode == 2:
                raise
            code = error.returncode
        return code, json.loads(out.getvalue())

    return run


def found(report: dict[str, Any]) -> Any:
    """What a report counts above zero, and which ids."""
    return {
        name: value["ids"] for name, value in report.items() if isinstance(value, dict) and value["count"]
    }


def test_of_an_undamaged_run_nothing_is_said(reconcile: Callable[..., Any]) -> None:
    ids = stored(5)
    for arguments, witness in (([], ids), (["--since", "1h"], None), (["--since", "1h"], ids)):
        code, report = reconcile(*arguments, accepted=witness)
        assert (code, report["ok"], found(report)) == (0, True, {})
        assert report["stored"] == 5


def test_nothing_at_all_is_fine_too(reconcile: Callable[..., Any]) -> None:
    assert reconcile("--since", "1h")[0] == 0


def test_what_waits_in_the_spool_of_another_host_is_not_lost(
    reconcile: Callable[..., Any], tmp_path: Path
) -> None:
    ids, elsewhere = stored(3), new_ids(2)
    paths = [tmp_path / f"web-{n}.ids" for n in range(2)]
    for path, one in zip(paths, elsewhere, strict=True):
        path.write_text(f"{one}\n")
    options = [f"--spooled={path}" for path in paths]
    code, report = reconcile(*options, accepted=ids + elsewhere)
    assert (code, found(report)) == (0, {"spooled": elsewhere})
    assert reconcile(options[0], accepted=ids + elsewhere)[0] == 1


def test_a_list_of_spooled_ids_that_is_none_is_refused(reconcile: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>no ids</html>")
    missing = new_ids(1)
    for path in ("page.html", "nowhere"):
        with pytest.raises(CommandError):
            reconcile(f"--spooled={tmp_path / path}", accepted=missing)


def test_a_deleted_row_is_lost(reconcile: Callable[..., Any]) -> None:
    ids = stored(5)
    StoredSubmission.objects.filter(pk=ids[2]).delete()
    code, report = reconcile(accepted=ids)
    assert code == 1
    assert found(report)["lost"] == [ids[2]]
    assert len(found(report)["orphans"]) == 1
    assert report["stored"] == 4


def test_a_deleted_row_is_told_by_its_document_when_there_is_no_witness(
    reconcile: Callable[..., Any],
) -> None:
    ids = stored(5)
    StoredSubmission.objects.filter(pk=ids[2]).delete()
    code, report = reconcile("--since", "1h")
    assert code == 1
    assert found(report)["lost"] == [ids[2]]


def test_what_a_purged_queue_held_is_lost(reconcile: Callable[..., Any]) -> None:
    ids = stored(2) + new_ids(3)
    save_phones_async.delay(wires(ids[2:], start=2))
    code, report = reconcile(accepted=ids)
    assert (code, found(report)) == (0, {"queued": sorted(ids[2:])})
    with app.connection_for_write() as broker:
        queues.live.bind(broker.default_channel).purge()
    code, report = reconcile(accepted=ids)
    assert (code, found(report)) == (1, {"lost": sorted(ids[2:])})


def test_a_missing_document_is_found_and_repaired(reconcile: Callable[..., Any]) -> None:
    ids = stored(5)
    logs.delete(ids[1:3])
    code, report = reconcile(accepted=ids)
    assert (code, found(report)) == (1, {"undocumented": ids[1:3]})
    code, report = reconcile("--repair", accepted=ids)
    assert (code, found(report)) == (0, {"repaired": ids[1:3]})
    document = logs.find(ids[1])
    row = StoredSubmission.objects.get(pk=ids[1])
    assert document["repaired"] is True
    assert document["registration_id"] == row.registration_id
    assert reconcile(accepted=ids)[0] == 0


@pytest.mark.parametrize(
    "other_id", [lambda one: str(uuid4()), str.upper, lambda one: ObjectId(), lambda one: 7]
)
def test_a_doubled_document_is_found_whatever_its_id(
    reconcile: Callable[..., Any], mongo: Any, other_id: Any
) -> None:
    ids = stored(3)
    mongo.insert_one(logs.find(ids[1]) | {"_id": other_id(ids[1])})
    try:
        code, report = reconcile(accepted=ids)
    finally:
        mongo.delete_many({})
    assert (code, found(report)) == (1, {"duplicated": [ids[1]]})


def test_a_doubled_row_is_found(reconcile: Callable[..., Any]) -> None:
    ids = stored(3)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE landing_submission DROP CONSTRAINT landing_submission_pkey")
        try:
            cursor.execute(
                "INSERT INTO landing_submission SELECT * FROM landing_submission WHERE request_id = %s",
                [ids[1]],
            )
            code, report = reconcile(accepted=ids)
            assert (code, found(report)) == (1, {"duplicated": [ids[1]]})
        finally:
            cursor.execute("DELETE FROM landing_submission")
            cursor.execute("ALTER TABLE landing_submission ADD PRIMARY KEY (request_id)")


def test_a_foreign_row_and_a_foreign_document_are_unexpected(reconcile: Callable[..., Any]) -> None:
    ids = stored(3)
    row, document = str(uuid4()), str(uuid4())
    registration = Registration.objects.first()
    StoredSubmission.objects.create(request_id=row, registration=registration, accepted_at=datetime.now(UTC))
    logs.log_requests([{"_id": row}, {"_id": document}])
    for witness in (ids, None):
        code, report = reconcile("--since", "1h", accepted=witness)
        assert code == 1
        assert row in found(report)["unexpected"]
    code, report = reconcile(accepted=ids)
    assert set(found(report)["unexpected"]) == {row, document}


def test_a_row_that_nobody_attempted_is_unexpected(reconcile: Callable[..., Any], tmp_path: Path) -> None:
    ids = stored(3)
    (tmp_path / "attempted").write_text("\n".join(ids[:2]))
    code, report = reconcile("--attempted", str(tmp_path / "attempted"), accepted=ids[:1])
    assert code == 1
    assert found(report) == {"recovered": [ids[1]], "unexpected": [ids[2]]}


def test_a_row_whose_answer_never_came_is_recovered_and_allowed(reconcile: Callable[..., Any]) -> None:
    ids = stored(3)
    code, report = reconcile(accepted=ids[:2])
    assert (code, found(report)) == (0, {"recovered": [ids[2]]})


def test_pending_and_dead_ones_are_not_lost(reconcile: Callable[..., Any]) -> None:
    ids = stored(1) + new_ids(3)
    pending = wires(ids[1:], start=1)
    save_phones_async.delay(pending[:1])
    file = spool.create(Path(settings.SPOOL_DIR))
    file.append([orjson.dumps(pending[1])])
    bury(pending[2], "a test")
    try:
        code, report = reconcile(accepted=ids)
    finally:
        file.delete(file.oldest(9))
        file.remove()
    assert (code, found(report)) == (0, {"queued": [ids[1]], "spooled": [ids[2]], "dead": [ids[3]]})


def test_a_parked_document_is_pending(reconcile: Callable[..., Any]) -> None:
    ids = stored(2)
    outbox.park([logs.find(ids[0])])
    logs.delete(ids[:1])
    code, report = reconcile(accepted=ids)
    assert (code, found(report)) == (0, {"parked": [ids[0]]})


def test_what_was_removed_on_purpose_is_excused(reconcile: Callable[..., Any], tmp_path: Path) -> None:
    ids = stored(3)
    Registration.objects.filter(submissions=ids[0]).delete()
    (tmp_path / "excused").write_text(ids[0])
    code, report = reconcile("--excused", str(tmp_path / "excused"), accepted=ids)
    assert (code, found(report)) == (0, {"excused": [ids[0]]})


def test_what_is_on_its_way_is_waited_for(reconcile: Callable[..., Any]) -> None:
    ids = new_ids(2)

    def work() -> None:
        time.sleep(1)
        save_phones_async(wires(ids))
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    code, report = reconcile(accepted=ids, settle=20)
    thread.join()
    assert (code, found(report), report["stored"]) == (0, {}, 2)


def test_the_queue_is_looked_into_a_few_times_only_and_keeps_what_it_holds(
    reconcile: Callable[..., Any],
) -> None:
    ids = new_ids(2)
    save_phones_async.delay(wires(ids))
    for _ in range(5):
        assert reconcile(accepted=ids)[0] == 0
    for _ in range(3):
        with pytest.raises(CommandError, match="Nothing can be said yet") as error:
            reconcile(accepted=ids)
        assert error.value.returncode == 2
    with app.connection_for_write() as broker:
        assert queues.live.bind(broker.default_channel).get(no_ack=True)


def test_the_witness_may_speak_in_many_ways(reconcile: Callable[..., Any], tmp_path: Path) -> None:
    ids = stored(5)
    lines = [
        ids[0],
        ids[1].upper(),
        json.dumps({"time": "x", "logger": "nginx", "request_id": ids[2], "status": "202"}),
        "nginx-1  | " + json.dumps({"request_id": ids[3], "status": "202"}),
        json.dumps({"task_id": ids[4], "status": 202}),
        json.dumps({"request_id": str(uuid4()), "status": "429"}),
        "# a remark",
        "",
        ids[0],
        "no id at all",
    ]
    code, report = reconcile(accepted=lines)
    assert (code, report["accepted"], report["stored"], found(report)) == (0, 5, 5, {})
    (tmp_path / "log.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    assert reconcile("--accepted", str(tmp_path / "log.gz"))[1]["accepted"] == 5


def test_a_time_bounds_the_rows_and_documents(reconcile: Callable[..., Any]) -> None:
    ids = stored(2)
    StoredSubmission.objects.filter(pk=ids[0]).delete()
    assert reconcile("--since", "2020-01-01", "--until", "2020-01-02")[0] == 1  # the orphan is told always
    save_phones_async(wires(ids[:1]))
    assert reconcile("--since", "2020-01-01", "--until", "2020-01-02")[1]["stored"] == 0


@pytest.mark.parametrize("time", ["yesterday", "9999999d", "999999d", "2026-02-30", ""])
def test_what_is_no_time_is_said(time: str) -> None:
    with pytest.raises(CommandError, match=f"'{time}' is no time"):
        call_command("reconcile", "--since", time)


def test_the_report_is_readable(tmp_path: Path) -> None:
    ids = stored(2) + new_ids(1)
    (tmp_path / "accepted").write_text("\n".join(ids))
    out = StringIO()
    with pytest.raises(CommandError, match="1 things are wrong"):
        call_command("reconcile", "--accepted", str(tmp_path / "accepted"), "--settle", "0", stdout=out)
    assert "accepted             3" in out.getvalue()
    assert "lost                 1  accepted, and nowhere" in out.getvalue()
    assert ids[2] in out.getvalue()


def test_what_cannot_be_read_is_said(reconcile: Callable[..., Any], servers: Servers, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>\n")
    for arguments in (["--accepted", str(tmp_path / "page.html")], ["--accepted", "/nowhere"], []):
        with pytest.raises(CommandError) as error:
            reconcile(*arguments)
        assert error.value.returncode == 2
    servers.mongodb.stop()
    try:
        with pytest.raises(CommandError, match="cannot be read") as error:
            reconcile("--since", "1h")
        assert error.value.returncode == 2
    finally:
        servers.mongodb.start()


def test_ids_are_sorted_in_parts_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_ids, "PART", 10)
    ids = [str(uuid4()) for _ in range(95)]
    assert list(in_order(ids + ids[:7])) == sorted(ids)
    assert [counts for _, counts in aligned(["a", "b"], ["b", "b", "c"])] == [[1, 0], [1, 2], [0, 1]]
