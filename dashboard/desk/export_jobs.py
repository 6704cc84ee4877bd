"""Exports that were asked for in the admin, written by a worker beside its work.

The table is the queue: no broker is needed, and a row tells its state. A thread of each worker's main
process takes one export at a time, and runs `manage.py export` for it as a process of its own, with the
lowest priority: registrations are neither behind it in a queue nor in its process. What that prints
becomes chunks in PostgreSQL, which every web container can send.
"""

import json
import logging
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from celery import signals
from django.db import Error as DatabaseError
from django.db import transaction

from dashboard.models import KEPT_FOR, Export, ExportChunk
from landing.storing.background import run_in_worker
from lib.clock import now

log = logging.getLogger(__name__)

INTERVAL = 3.0
"""Seconds between two looks at the table."""

CHUNK = 1 << 20
"""Bytes of one chunk, and so of what is in memory."""

MOST_BYTES = 512 << 20
"""Bytes of one file; `manage.py export` on a machine has no such limit."""

MOST_KEPT = 10
"""Exports that wait, run or can be downloaded; more are not taken."""

DEADLINE = timedelta(hours=1)
"""An export that takes longer is stuck."""

HEARTBEAT = 10.0
"""Seconds between two words of a worker that its export is alive, however slowly that comes."""

DEAD_AFTER = timedelta(minutes=5)
"""A running export whose worker has not said anything for so long has lost it."""

END_WITHIN = 30.0
"""Seconds for the process to end once the file is whole."""

_MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
UNFINISHED = (Export.State.WAITING, Export.State.RUNNING)
"""The states of an export that a worker has still to write."""

_stop = threading.Event()
_running: list[subprocess.Popen[bytes]] = []


class ExportFailed(Exception):
    """There is no file; the text says why, for who asked."""


def is_full() -> bool:
    """Return whether no more exports are taken for now."""
    return Export.objects.filter(state__in=(*UNFINISHED, Export.State.READY)).count() >= MOST_KEPT


def work() -> bool:
    """Delete what is too old, and write one export if one waits; return whether one did.

    Raises django.db.Error.
    """
    clean()
    export = _claim()
    if export is None:
        return False
    try:
        rows = _write(export)
    except ExportFailed as error:
        _give_up(export, str(error))
    except DatabaseError:
        raise  # which cannot be written down either: clean() does it, after DEAD_AFTER
    except Exception:
        _give_up(export, "It failed. The worker's log says why.")
        raise
    else:
        # One that another worker has given up meanwhile stays given up.
        running = Export.objects.filter(pk=export.pk, state=Export.State.RUNNING)
        running.update(state=Export.State.READY, finished_at=now(), rows=rows)
        log.info("export written", extra={"export": export.pk, "rows": rows, "bytes": export.bytes})
    return True


def clean() -> None:
    """Delete files that are too old, and give up exports whose worker is gone."""
    silent = Export.objects.filter(state=Export.State.RUNNING, alive_at__lt=now() - DEAD_AFTER)
    for export in silent:
        _give_up(export, "The worker that wrote it has gone. Ask again.")
    old = Export.objects.filter(state=Export.State.READY, finished_at__lt=now() - KEPT_FOR)
    for export in old:
        with transaction.atomic():
            ExportChunk.objects.filter(export=export).delete()
            Export.objects.filter(pk=export.pk).update(state=Export.State.EXPIRED)
        log.info("export deleted", extra={"export": export.pk})


def _claim() -> Export | None:
    """Take the oldest export that waits, unless one is being written somewhere."""
    with transaction.atomic():
        # All unfinished rows are locked, not only the oldest: two workers that ask at the same time would else
        # see one waiting row each, and write two exports at once.
        unfinished = list(Export.objects.select_for_update().filter(state__in=UNFINISHED).order_by("pk"))
        if not unfinished or any(one.state == Export.State.RUNNING for one in unfinished):
            return None
        export = unfinished[0]
        export.state, export.alive_at = Export.State.RUNNING, now()
        export.save(update_fields=["state", "alive_at"])
        return export


def _write(export: Export) -> int:
    """Write the file of an export and return its rows. Raises ExportFailed or django.db.Error."""
    # Standard error goes to a file: a pipe that nobody reads while chunks are stored could fill and stop the child.
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603  our own command; what was asked are checked values
            _command(export), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        assert process.stdout
        _running.append(process)
        try:
            _keep(export, process.stdout)
            code = process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            raise ExportFailed("The export did not end. Ask again.") from None
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            _running.remove(process)
        said.seek(0)
        report = _report(said.read().decode(errors="replace"))
    if _stop.is_set():
        raise ExportFailed("The worker was stopped. Ask again.")
    if code or "rows" not in report:
        raise ExportFailed(report.get("error") or f"The export ended with {code}.")
    return int(report["rows"])


def _report(said: str) -> dict[str, Any]:
    """Return what `manage.py export --json` reported, among whatever else is on its standard error."""
    for line in reversed(said.splitlines()):
        with suppress(ValueError):
            report = json.loads(line)
            if isinstance(report, dict) and ("rows" in report or "error" in report):
                return report
    return {}


def _command(export: Export) -> list[str]:
    command = [sys.executable, str(_MANAGE), "export", "--json", f"--format={export.format}"]
    if export.since:
        command.append(f"--since={export.since.isoformat()}")
    if export.until:
        command.append(f"--until={export.until.isoformat()}")
    if export.status:
        command.append(f"--status={export.status}")
    if export.campaign:
        command.append(f"--campaign={export.campaign}")
    if export.referrer:
        command.append("--referrer")
    nice = shutil.which("nice")
    return [nice, "-n", "19", *command] if nice else command


def _keep(export: Export, pipe: IO[bytes]) -> None:
    """Put what comes into chunks, and say at each and every HEARTBEAT that this worker lives."""
    until = now() + DEADLINE
    number = 0
    for body in _chunks(pipe):
        if now() > until:
            raise ExportFailed("It took longer than an hour. Ask for less, or use manage.py export.")
        export.bytes += len(body)
        if export.bytes > MOST_BYTES:
            raise ExportFailed(f"The file is larger than {MOST_BYTES >> 20} MB: use manage.py export.")
        if body:
            number += 1
            ExportChunk.objects.create(export=export, number=number, body=body)
        alive = Export.objects.filter(pk=export.pk, state=Export.State.RUNNING)
        if not alive.update(alive_at=now(), bytes=export.bytes):
            raise ExportFailed("Another worker has given it up.")


def _chunks(pipe: IO[bytes]) -> Iterator[bytes]:
    """Yield what comes, CHUNK bytes at a time; and nothing, b"", when HEARTBEAT has gone by without a chunk."""
    waiting = bytearray()
    beat_at = time.monotonic() + HEARTBEAT
    while True:
        # read() would wait for a whole chunk, and a slow export would look like a dead one.
        ready, _, _ = select.select([pipe], [], [], max(0.0, beat_at - time.monotonic()))
        body = os.read(pipe.fileno(), CHUNK - len(waiting)) if ready else b""
        waiting += body
        if len(waiting) >= CHUNK or (ready and not body):
            yield bytes(waiting)
            waiting.clear()
        elif time.monotonic() >= beat_at:
            yield b""
        else:
            continue
        if ready and not body:
            return
        beat_at = time.monotonic() + HEARTBEAT


def _give_up(export: Export, error: str) -> None:
    log.warning("export failed", extra={"export": export.pk, "reason": error})
    with transaction.atomic():
        ExportChunk.objects.filter(export=export).delete()
        Export.objects.filter(pk=export.pk).update(
            state=Export.State.FAILED, finished_at=now(), error=error[:500]
        )


@signals.worker_shutting_down.connect
def stop_working(**_: Any) -> None:
    """A worker that ends gives up the export in hand."""
    _stop.set()
    for process in _running:
        process.kill()


@run_in_worker("exports", every=INTERVAL)
def write_those_that_wait() -> None:
    """Write one export after the other until none waits."""
    try:
        while work() and not _stop.is_set():
            pass
    except (DatabaseError, OSError) as error:
        log.info("no export can be written now", extra={"reason": repr(error)})
