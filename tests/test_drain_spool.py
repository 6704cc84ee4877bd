"""manage.py drain_spool: what dead processes left goes to the queue, what running ones hold stays."""

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import Settings

from landing.door import status
from landing.door.status import Known, State
from landing.keeping import queues
from landing.submission import Submission
from lib import request_ids, spool
from tests.messages import ready
from tests.waiting import eventually
from tests.workers import worker


@pytest.fixture
def spooled(tmp_path: Path) -> Any:
    """A file with three registrations, as a process leaves it; settings lead to it."""
    settings_before, settings.SPOOL_DIR = settings.SPOOL_DIR, str(tmp_path)
    wires = [
        Submission(
            f"0912000000{n}",
            request_ids.new(settings.SECRET_KEY.encode()),
            "192.0.2.1",
            "",
            "",
            datetime.now(UTC),
        ).to_wire()
        for n in range(3)
    ]
    file = spool.create(tmp_path)
    file.append([orjson.dumps(wire) for wire in wires])
    yield file, wires
    file.close()
    settings.SPOOL_DIR = settings_before


def drain(*arguments: Any) -> Any:
    out, code = StringIO(), 0
    try:
        call_command("drain_spool", *arguments, "--json", stdout=out, stderr=StringIO())
    except CommandError as error:
        code = error.returncode
    return code, json.loads(out.getvalue())


def test_what_a_dead_process_left_goes_to_the_queue(spooled: tuple[Any, ...]) -> None:
    file, wires = spooled
    file.close()
    assert drain() == (0, {"moved": 3, "left": 0})
    assert ready(queues.live) == [[wires]]
    assert list(Path(settings.SPOOL_DIR).iterdir()) == []


def test_what_a_running_process_holds_stays_and_is_said(spooled: tuple[Any, ...]) -> None:
    assert drain() == (1, {"moved": 0, "left": 3})
    assert drain("--until-empty", "--timeout", "1") == (1, {"moved": 0, "left": 3})


def test_an_empty_directory_is_fine(tmp_path: Path, settings: Settings) -> None:
    settings.SPOOL_DIR = str(tmp_path / "none")
    assert drain("--until-empty") == (0, {"moved": 0, "left": 0})


def test_what_is_not_confirmed_stays(spooled: tuple[Any, ...]) -> None:
    file, _ = spooled
    file.close()
    from celery import current_app

    with current_app.connection_for_write() as broker:
        queues.live.bind(broker.default_channel).delete()
    try:
        assert drain() == (2, {"moved": 0, "left": 3})
    finally:
        with current_app.connection_for_write() as broker:
            queues.declare(broker)
    assert drain() == (0, {"moved": 3, "left": 0})


@pytest.mark.django_db(transaction=True)
def test_a_worker_stores_what_was_drained(spooled: tuple[Any, ...]) -> None:
    file, wires = spooled
    file.close()
    drain()
    with worker():
        eventually(lambda: all(status.of(wire[1]) == Known(State.STORED) for wire in wires), within=30)
    connection.close()


def test_what_waits_here_is_listed_for_reconcile_elsewhere_without_a_phone(spooled: tuple[Any, ...]) -> None:
    _, wires = spooled
    out, lines = StringIO(), StringIO()
    call_command("spooled", stdout=out, stderr=StringIO())
    call_command("spooled", "--json", stdout=lines, stderr=StringIO())
    ids = [wire[1] for wire in wires]
    assert out.getvalue().split() == ids
    assert [json.loads(line)["request_id"] for line in lines.getvalue().splitlines()] == ids
    assert "0912" not in out.getvalue()


def test_a_spool_that_cannot_be_read_is_no_empty_list(tmp_path: Path, settings: Settings) -> None:
    settings.SPOOL_DIR = str(tmp_path)
    (tmp_path / "broken.spool").write_bytes(b"no database" * 1000)
    with pytest.raises(CommandError, match="cannot be read") as refused:
        call_command("spooled", stdout=StringIO(), stderr=StringIO())
    assert refused.value.returncode == 2
