"""make backup and make restore: what was stored is there again, row by row, and nothing is replaced unasked."""

import stat
import subprocess
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection

from landing import tasks
from landing.models import ParkedLog, Registration, StoredSubmission
from landing.storing import outbox, registrations
from landing.submission import Submission
from local import backup
from local.backup import BackupFailed, Stack
from logs import utils as logs

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parent.parent
SPRING = datetime(2026, 3, 21, 12, 30, 0, 123000, tzinfo=UTC)


@pytest.fixture
def stack(servers):
    """The tests' servers, with the database that the tests use."""
    return Stack(servers.environment() | {"POSTGRES_DB": connection.settings_dict["NAME"]})


def store(count, prefix="0912"):
    """Store submissions as a worker does: rows, then documents."""
    batch = [
        Submission(f"{prefix}{n:07d}", str(uuid4()), "192.0.2.1", "https://کمپین.example/", "فایرفاکس", SPRING + timedelta(seconds=n))
        for n in range(count)
    ]  # fmt: skip
    ids = registrations.store(batch)
    logs.log_requests([tasks._document(one, ids[one.request_id], SPRING.isoformat()) for one in batch])
    return batch


def everything():
    """All rows with all columns, and all documents."""
    return (
        sorted(Registration.objects.values_list()),
        sorted(StoredSubmission.objects.values_list()),
        sorted(ParkedLog.objects.values_list("request_id")),
        sorted(logs.find_many(list(logs.ids())), key=lambda one: one["_id"]),
    )


def drop():
    """Lose all of it, tables included."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE landing_submission, landing_registration, landing_parked_log")
    logs.delete(list(logs.ids()))


def test_every_row_and_document_is_there_again(stack, tmp_path):
    batch = store(2500)
    outbox.park([tasks._document(batch[0], 1, None)])
    Registration.objects.filter(phone_number=batch[7].phone_number).update(status="confirmed")
    before = everything()
    file = backup.save(stack, tmp_path)
    drop()
    manifest = backup.restore(stack, file)
    assert everything() == before
    assert manifest["documents"] == {"request_logs": 2500}
    assert manifest["rows"] == {
        "landing_parked_log": 1,
        "landing_registration": 2500,
        "landing_submission": 2500,
    }
    # And life goes on: ids are not given out twice.
    store(3, prefix="0935")
    assert Registration.objects.count() == 2503


def test_a_database_that_is_not_empty_is_left_alone(stack, tmp_path):
    store(3)
    file = backup.save(stack, tmp_path)
    store(2, prefix="0935")
    before = everything()
    with pytest.raises(BackupFailed, match=r"not empty.*5 in landing_registration(.|\n)*FORCE=1"):
        backup.restore(stack, file)
    assert everything() == before


def test_by_force_it_becomes_what_it_was_however_often(stack, tmp_path):
    store(3)
    before = everything()
    file = backup.save(stack, tmp_path)
    store(2, prefix="0935")
    for _ in range(2):
        backup.restore(stack, file, force=True)
        assert everything() == before


def test_an_empty_stack_can_be_saved_and_restored(stack, tmp_path):
    file = backup.save(stack, tmp_path)
    backup.restore(stack, file)
    assert everything() == ([], [], [], [])


def test_a_backup_is_for_its_owner_alone_and_leaves_nothing_else(stack, tmp_path):
    file = backup.save(stack, tmp_path / "backups")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_without_a_log_store_mongodb_is_not_asked(servers, tmp_path):
    env = servers.environment() | {"POSTGRES_DB": connection.settings_dict["NAME"], "MONGODB_PORT": "1"}
    stack = Stack(env | {"LOGS_STORE": "logs.stores.NoopStore"})
    assert backup.restore(stack, backup.save(stack, tmp_path))["documents"] == {}


@pytest.mark.parametrize("damage", ["cut", "no documents", "no tar", "missing"])
def test_a_damaged_file_is_noticed_before_anything_is_touched(stack, tmp_path, damage):
    store(200)
    file = backup.save(stack, tmp_path)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif damage == "no documents":
        with tarfile.open(file) as archive:
            archive.extractall(tmp_path / "parts", filter="data")
        (tmp_path / "parts/mongodb/request_logs.jsonl.gz").unlink()
        with tarfile.open(file, "w") as archive:
            for part in (tmp_path / "parts").iterdir():
                archive.add(part, arcname=part.name)
    elif damage == "no tar":
        file.write_text("hello")
    else:
        file.unlink()
    before = everything()
    with pytest.raises(BackupFailed):
        backup.restore(stack, file, force=True)
    assert everything() == before


def test_a_dump_that_fails_in_the_middle_changes_nothing(stack, tmp_path):
    store(50)
    file = backup.save(stack, tmp_path)
    with connection.cursor() as cursor:
        cursor.execute("CREATE VIEW leans_on AS SELECT * FROM landing_registration")
    try:
        before = everything()
        with pytest.raises(BackupFailed, match="leans_on"):
            backup.restore(stack, file, force=True)
        assert everything() == before
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP VIEW leans_on")


@pytest.mark.parametrize(
    ("name", "said"), [("POSTGRES", "PostgreSQL at 127.0.0.1:1 "), ("MONGODB", "MongoDB at 127.0.0.1:1 ")]
)
def test_a_server_that_is_away_is_said_and_nothing_is_touched(servers, tmp_path, stack, name, said):
    store(3)
    file = backup.save(stack, tmp_path)
    env = servers.environment() | {"POSTGRES_DB": connection.settings_dict["NAME"], f"{name}_PORT": "1"}
    before = everything()
    with pytest.raises(BackupFailed, match=said):
        backup.save(Stack(env), tmp_path)
    with pytest.raises(BackupFailed, match=said):
        backup.restore(Stack(env), file, force=True)
    assert everything() == before
    assert list(tmp_path.iterdir()) == [file]


def run(*arguments, **env):
    command = [sys.executable, "-m", "local.backup", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_the_commands_take_the_stack_from_its_state_directory(servers, tmp_path):
    settings = servers.environment() | {"POSTGRES_DB": connection.settings_dict["NAME"]}
    (tmp_path / "stack.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    env = {"PATH": "/usr/bin:/bin", "STATE_DIR": str(tmp_path)}
    store(2)
    saved = run(**env)
    assert saved.returncode == 0, saved.stderr
    (file,) = (tmp_path / "backups").iterdir()
    assert saved.stdout.startswith(str(file))
    refused = run("restore", file, **env)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "FORCE=1" in refused.stderr
    assert "Traceback" not in refused.stderr
    forced = run("restore", file, "--force", **env)
    assert "2 in landing_registration, 2 in landing_submission, 2 in request_logs" in forced.stdout
