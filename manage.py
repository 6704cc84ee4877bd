#!/usr/bin/env python
"""Django's command line: `./manage.py help` lists what there is."""

import fcntl
import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

import config  # noqa: F401  names the settings

STATE_DIR = Path(__file__).resolve().parent / ".local"


def find_stack() -> None:
    """Set STATE_DIR to where `make run` keeps its state, if it runs: what a dead one has left behind does not count."""
    if os.environ.get("STATE_DIR") or not (STATE_DIR / "lock").is_file():
        return
    with (STATE_DIR / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.environ["STATE_DIR"] = str(STATE_DIR)


if __name__ == "__main__":
    find_stack()
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
