"""A file that appears under its name only when it is whole."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Give a temporary file beside `path`; at the end it is on the disk and has that name.

    After an exception nothing is left; after `kill -9` a hidden file that ends in .part. Only its
    owner can read it. Raises FileExistsError if there is a file of that name, at the beginning or
    meanwhile, and `overwrite` is not said; OSError if the disk does not take it.
    """
    if not overwrite and path.exists():
        raise FileExistsError(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            part.replace(path)
        else:
            path.hardlink_to(part)  # which fails, unlike a renaming, if the name is taken
    finally:
        part.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names of new files durable, as fsync(2) says it must be done."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
