"""The spool keeps what it took, whatever happens to the process that wrote it."""

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from lib import spool
from lib.spool import Row, Spool, SpoolFailed, SpoolFull

WRITER = """
import os, sys
from pathlib import Path
from lib.spool import Spool
Spool(Path(sys.argv[1]), 1_000_000).append([b"one", b"two"])
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def own(tmp_path: Path) -> Any:
    kept = Spool(tmp_path, quota=1000)
    yield kept
    kept.close()


def bodies(file: Any, most: int = 10) -> Any:
    return [row.body for row in file.oldest(most)]


def test_rows_come_out_in_order_until_they_are_deleted(own: Any) -> None:
    own.append([b"one", b"two"])
    own.append([b"three"])
    own.own.delete(own.own.oldest(2))
    assert bodies(own.own) == [b"three"]
    assert own.own.count == 1


def test_the_rows_of_a_killed_process_are_adopted(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", WRITER, tmp_path], check=False)
    assert killed.returncode == -9
    (file,) = spool.adopt(tmp_path)
    assert bodies(file) == [b"one", b"two"]
    file.close()


def test_a_living_process_keeps_its_file(own: Any) -> None:
    own.append([b"one"])
    assert spool.adopt(own.directory) == []


def test_only_one_process_adopts_a_file(own: Any) -> None:
    own.append([b"one"])
    own.close()
    (file,) = spool.adopt(own.directory)
    assert spool.adopt(own.directory) == []
    file.close()
    (again,) = spool.adopt(own.directory)
    again.close()


def test_a_drained_file_is_removed(own: Any) -> None:
    own.append([b"one"])
    own.close()
    (file,) = spool.adopt(own.directory)
    file.delete(file.oldest(10))
    file.remove()
    assert list(own.directory.iterdir()) == []


def test_a_file_with_rows_is_never_removed(own: Any) -> None:
    own.append([b"one"])
    own.own.remove()
    assert spool.waiting(own.directory) == 1


def test_the_quota_refuses_and_changes_nothing(own: Any) -> None:
    own.append([b"x" * 900])
    with pytest.raises(SpoolFull):
        own.append([b"y" * 101])
    assert own.own.count == 1


def test_room_that_was_drained_can_be_used_again(own: Any) -> None:
    own.append([b"x" * 900])
    own.own.delete(own.own.oldest(1))
    own.append([b"y" * 900])
    assert own.own.count == 1


def test_a_damaged_row_is_left_out_and_its_neighbours_go_on(own: Any) -> None:
    own.append([b"one", b"two", b"three"])
    with sqlite3.connect(own.own.path) as database:
        database.execute("UPDATE spool SET body = x'00' WHERE number = 2")
    database.close()
    assert bodies(own.own) == [b"one", b"three"]
    own.own.delete(own.own.oldest(10))
    own.own.remove()
    assert spool.waiting(own.directory) == 1


def test_after_a_disk_error_a_new_file_is_used_and_the_old_one_can_be_drained(own: Any) -> None:
    own.append([b"one"])
    own.own._database.close()  # every later write fails, as on a disk that went away
    with pytest.raises(SpoolFailed):
        own.append([b"lost"])
    own.append([b"two"])
    (old,) = spool.adopt(own.directory)
    assert bodies(old) == [b"one"]
    assert bodies(own.own) == [b"two"]
    old.close()


def test_a_directory_that_cannot_be_made_is_a_spool_that_failed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolFailed):
        Spool(tmp_path / "file" / "spool", 1000).append([b"one"])


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "broken.spool").write_bytes(os.urandom(5000))
    assert spool.adopt(tmp_path) == []
    assert (tmp_path / "broken.spool").exists()


def test_a_file_that_cannot_be_locked_does_not_keep_the_others_from_being_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for body in (b"one", b"two", b"three"):
        left = Spool(tmp_path, quota=1000)
        left.append([body])
        left.close()
    first, second, third = sorted(tmp_path.glob("*.spool"))
    second.with_suffix(".lock").unlink()
    second.with_suffix(".lock").mkdir()  # cannot be opened as a file
    files = spool.adopt(tmp_path)
    assert [file.path for file in files] == [first, third]
    for file in files:
        file.close()
    second.with_suffix(".lock").rmdir()
    again = spool.adopt(tmp_path)
    assert [file.path for file in again] == [first, second, third]
    for file in again:
        file.close()


def test_a_lock_that_the_disk_refuses_is_not_held_for_ever(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own.append([b"one"])
    own.close()
    with monkeypatch.context() as patched:
        patched.setattr(spool.fcntl, "flock", Mock(side_effect=OSError(errno.ENOLCK, "no locks")))
        open_before = len(list(Path("/proc/self/fd").iterdir()))
        assert spool.adopt(own.directory) == []
        assert len(list(Path("/proc/self/fd").iterdir())) == open_before
    (file,) = spool.adopt(own.directory)
    assert bodies(file) == [b"one"]
    file.close()


def test_after_a_delete_that_failed_the_file_can_still_be_written(own: Any) -> None:
    own.append([b"one"])
    with pytest.raises(SpoolFailed):
        own.own.delete([Row(object(), b"")])  # SQLite has no type for it
    own.append([b"two"])
    assert bodies(own.own) == [b"one", b"two"]


def test_a_rehearsal_leaves_nothing_behind(own: Any) -> None:
    own.append([b"one"])
    own.rehearse([b"two", b"three"])
    assert bodies(own.own) == [b"one"]
    assert (own.own.count, own.own.bytes) == (1, 3)
    own.append([b"four"])
    assert [one.rows for one in spool.extents(own.directory).values()] == [2]


def test_a_rehearsal_obeys_the_quota(own: Any) -> None:
    with pytest.raises(SpoolFull):
        own.rehearse([b"x" * 1001])


def test_a_large_empty_file_is_replaced(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "LARGE", 0)
    own.append([b"one"])
    own.own.delete(own.own.oldest(1))
    own.tidy()
    assert own.own is None
