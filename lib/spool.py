"""A spool: rows on the local disk that outlive the process, the container and a power cut.

Ours: persist-queue and litequeue neither lock a file to its process nor sync each commit.

One SQLite file for each process that writes, with a lock beside it that dies with the process. A
file whose lock is free belongs to a process that has died: any process that drains may adopt it.

synchronous=FULL syncs the write-ahead log at every commit. With NORMAL, SQLite's usual choice for
WAL, a power cut took all of 200 commits; with FULL, none (sqlite.org/pragma.html#pragma_synchronous).
"""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

from lib.whole_file import sync_directory

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spool (
    number INTEGER PRIMARY KEY, body BLOB NOT NULL, checksum INTEGER NOT NULL, damaged INTEGER NOT NULL DEFAULT 0
)
"""
_INSERT = "INSERT INTO spool (body, checksum) VALUES (?, ?)"
_OLDEST = "SELECT number, body, checksum FROM spool WHERE NOT damaged ORDER BY number LIMIT ?"
_NEWEST = "SELECT number, body, checksum FROM spool WHERE NOT damaged ORDER BY number DESC LIMIT ?"
# Rows go from the oldest on, so their numbers have no gaps: the last and the first tell how many
# there are, where count(*) reads them all.
_EXTENT = """
SELECT (SELECT max(number) FROM spool) - (SELECT min(number) FROM spool) + 1,
       (SELECT body FROM spool ORDER BY number LIMIT 1)
"""
_SUFFIX = ".spool"

LARGE = 16 * 1024 * 1024
"""Bytes of a file that is worth removing once it is empty: SQLite itself does not shrink it."""


class SpoolFull(Exception):
    """There is no room: the quota is reached, or the disk is full. Nothing was written."""


class SpoolFailed(Exception):
    """The disk gave an error. What was being written may or may not be there; the file is not used again."""


@dataclass(frozen=True, slots=True)
class Row:
    """One spooled body and its number, by which it is deleted."""

    number: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Extent:
    """How much waits in one file: rows (damaged ones too), its size in bytes, the body that came first."""

    rows: int
    size: int
    oldest: bytes


class SpoolFile:
    """One file: appended to by one process, drained by it or by the one that adopts it.

    Its methods block, since they wait for the disk; they may be called from any one thread at a time.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock
        try:
            with ExitStack() as undo:
                undo.callback(os.close, lock)
                self._database = sqlite3.connect(
                    path, timeout=1, isolation_level=None, check_same_thread=False
                )
                undo.callback(self._database.close)
                # In WAL mode a commit is one append and one sync, and readers (extents, bodies) do not block it.
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=FULL")
                self._database.execute(_SCHEMA)
                # The rows are synced at each commit, but after a power cut the file's name must be there too.
                sync_directory(path.parent)
                self.bytes, self.count = self._database.execute(
                    "SELECT coalesce(sum(length(body)), 0), count(*) FROM spool WHERE NOT damaged"
                ).fetchone()
                undo.pop_all()
        except (sqlite3.Error, OSError) as error:
            raise _failure(error) from error

    def append(self, bodies: Sequence[bytes]) -> None:
        """Write bodies in one transaction and return when they are on the disk. Raises SpoolFull or SpoolFailed."""
        with self._transaction():
            self._database.executemany(_INSERT, [(body, crc32(body)) for body in bodies])
        self.bytes += sum(map(len, bodies))
        self.count += len(bodies)

    def newest(self, most: int) -> list[Row]:
        """Return the newest sound rows, at most this many, the last written first. Raises SpoolFailed."""
        try:
            rows = self._database.execute(_NEWEST, [most]).fetchall()
        except sqlite3.Error as error:
            raise _failure(error) from error
        return [Row(number, body) for number, body, checksum in rows if crc32(body) == checksum]

    def oldest(self, most: int) -> list[Row]:
        """Return the oldest rows, at most this many. A row with a wrong checksum is marked and left out."""
        try:
            rows = self._database.execute(_OLDEST, [most]).fetchall()
            sound = [Row(number, body) for number, body, checksum in rows if crc32(body) == checksum]
            damaged = {number for number, _, _ in rows} - {row.number for row in sound}
            if damaged:
                log.error("spooled rows are damaged", extra={"path": str(self.path), "count": len(damaged)})
                marks = [(number,) for number in damaged]
                self._database.executemany("UPDATE spool SET damaged = 1 WHERE number = ?", marks)
        except sqlite3.Error as error:
            raise _failure(error) from error
        return sound if sound or not damaged else self.oldest(most)

    def delete(self, rows: Sequence[Row]) -> None:
        """Forget rows that have found another home. Raises SpoolFull or SpoolFailed."""
        with self._transaction():
            numbers = [(row.number,) for row in rows]
            self._database.executemany("DELETE FROM spool WHERE number = ?", numbers)
        self.bytes -= sum(len(row.body) for row in rows)
        self.count -= len(rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is written inside, or roll it back: a transaction left open would fail all later ones."""
        try:
            # IMMEDIATE takes the write lock now. A deferred transaction could fail with SQLITE_BUSY at its first
            # write, which `timeout` does not wait for.
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            finally:
                # SQLite has rolled back by itself after some errors (a full disk, an I/O error), and not after others.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _failure(error) from error

    @property
    def size(self) -> int:
        """Return the bytes that the file takes on the disk, its log aside."""
        return self.path.stat().st_size if self.path.exists() else 0

    def close(self) -> None:
        """Let go of the file; rows that are in it wait for the process that adopts it. Closing twice is fine."""
        self._database.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Close the file and delete it, unless rows are left in it, damaged ones included. Raises SpoolFailed."""
        try:
            (left,) = self._database.execute("SELECT count(*) FROM spool").fetchone()
        except sqlite3.Error as error:
            raise _failure(error) from error
        if left == 0:
            # While the lock is still held: a process that adopts in between must not open a file that goes away.
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            _lock_path(self.path).unlink(missing_ok=True)
        self.close()


class Spool:
    """The spool of one process: the file it appends to, in a directory that it shares with others.

    quota: the most bytes of bodies that wait in this process's file.
    """

    def __init__(self, directory: Path, quota: int) -> None:
        self.directory = directory
        self._quota = quota
        self._file: SpoolFile | None = None

    def append(self, bodies: Sequence[bytes]) -> None:
        """Keep bodies on the disk. Raises SpoolFull or SpoolFailed; the next call gets a new file then."""
        if self._file is None:
            self._file = create(self.directory)
        if self._file.bytes + sum(map(len, bodies)) > self._quota:
            raise SpoolFull(f"the quota of {self._quota} bytes is reached")
        try:
            self._file.append(bodies)
        except SpoolFailed:
            self.give_up_file()
            raise

    def rehearse(self, bodies: Sequence[bytes]) -> None:
        """Write bodies that have another home already, read them back and delete them.

        A crash in between leaves them to be drained, which changes nothing: they are the same
        registrations. Raises SpoolFull or SpoolFailed.
        """
        self.append(bodies)
        assert self._file
        try:
            rows = self._file.newest(len(bodies))
            self._file.delete(rows)
        except SpoolFailed:
            self.give_up_file()
            raise
        if [row.body for row in reversed(rows)] != list(bodies):
            raise SpoolFailed("the disk does not give back what was written")

    def give_up_file(self) -> None:
        """Let go of a file that had an error; what was committed to it is drained by an adopting process.

        After a failed fsync the kernel may call pages clean that never reached the disk, so nothing
        more is written to it (lwn.net/Articles/752063).
        """
        self.close()

    @property
    def own(self) -> SpoolFile | None:
        """The file of this process, if it has one."""
        return self._file

    def tidy(self) -> None:
        """Remove this process's file if it has grown large and is empty."""
        if self._file and self._file.count == 0 and self._file.size > LARGE:
            self._file.remove()
            self._file = None

    def close(self) -> None:
        """Let go of the file."""
        if self._file:
            self._file.close()
            self._file = None


def create(directory: Path) -> SpoolFile:
    """Make a new file, locked by this process. Raises SpoolFull or SpoolFailed."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid4().hex[:8]}{_SUFFIX}"
        lock = _acquire(path)
    except OSError as error:
        raise _failure(error) from error
    if lock is None:
        raise SpoolFailed("a new file is locked already")
    return SpoolFile(path, lock)


def adopt(directory: Path) -> list[SpoolFile]:
    """Return the files that dead processes have left, each locked by this process now.

    A file that cannot be locked or opened is left as it is, with a line in the log, and the others go on.
    """
    found = []
    for path in sorted(directory.glob(f"*{_SUFFIX}")):
        try:
            if file := _take_over(path):
                found.append(file)
        except (OSError, SpoolFull, SpoolFailed) as error:
            log.error("a spool file cannot be opened", extra={"path": str(path), "reason": str(error)})
    return found


def _take_over(path: Path) -> SpoolFile | None:
    if (lock := _acquire(path)) is None:
        return None
    # remove() deletes the file first and the lock last, so a lock without a file is what it left.
    if not path.exists():
        _lock_path(path).unlink(missing_ok=True)
        os.close(lock)
        return None
    return SpoolFile(path, lock)


def waiting(directory: Path) -> int:
    """Return how many rows are in all files of a directory, damaged ones too. Raises SpoolFailed."""
    return sum(count for (count,) in _select("SELECT count(*) FROM spool", directory))


def bodies(directory: Path) -> Iterator[bytes]:
    """Yield the sound bodies in all files of a directory, oldest first in each. Raises SpoolFailed."""
    for (body,) in _select("SELECT body FROM spool WHERE NOT damaged ORDER BY number", directory):
        yield body


def extents(directory: Path) -> dict[str, Extent]:
    """Return how much waits in each file of a directory that holds any, by its name. Raises SpoolFailed.

    It costs the same however much there is.
    """
    return {
        path.name: Extent(rows, path.stat().st_size, oldest)
        for path, (rows, oldest) in _select_from_each(_EXTENT, directory)
        if rows
    }


def _select(query: str, directory: Path) -> Iterator[tuple[Any, ...]]:
    return (row for _, row in _select_from_each(query, directory))


def _select_from_each(query: str, directory: Path) -> Iterator[tuple[Path, tuple[Any, ...]]]:
    """Yield a query's rows from each file of a directory, changing nothing."""
    for path in sorted(directory.glob(f"*{_SUFFIX}")):
        try:
            with closing(
                sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
            ) as database:
                yield from ((path, row) for row in database.execute(query))
        except sqlite3.Error as error:
            if path.exists():  # or it has just been drained
                raise SpoolFailed(f"{path} cannot be read: {error}") from error


def _acquire(path: Path) -> int | None:
    lock = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Without this, a lock that was asked for and not returned would be held until the process ends.
        os.close(lock)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return lock


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _failure(error: Exception) -> SpoolFull | SpoolFailed:
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return SpoolFull(str(error)) if full else SpoolFailed(str(error))
