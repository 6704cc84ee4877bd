"""Collect the pages' static files; several stacks of one checkout may do so at once."""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

PATIENCE = 60
"""Seconds to wait for another stack that collects."""


def collect() -> None:
    """Run collectstatic, unless nothing has changed since the last time.

    It deletes files and writes them again: a web server of another stack would miss one now and then.
    Raises TimeoutError where another stack does not finish.
    """
    root = Path(settings.STATIC_ROOT)
    root.mkdir(exist_ok=True)
    with _alone_in(root):
        collected, sources = root / ".collected", _sources()
        if collected.is_file() and collected.read_text() == sources:
            return
        collected.unlink(missing_ok=True)
        call_command("collectstatic", interactive=False, verbosity=0)
        collected.write_text(sources)


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Hold a lock on the directory itself: the system takes it back if we are killed."""
    held = os.open(directory, os.O_RDONLY)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"another process has been collecting into {directory} for {PATIENCE} s"
                    ) from None
                time.sleep(0.1)
        yield
    finally:
        os.close(held)


def _sources() -> str:
    """A digest of every file to collect, its place and its last change."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list([]):
            path = Path(storage.path(name))
            digest.update(f"{path} {path.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    collect()
