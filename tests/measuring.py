"""Stores of their own for a measurement, and what a command costs on them."""

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local import servers


@contextmanager
def stores(*prepare: Any) -> Any:
    """Start servers in a new directory, point this process's settings at them, and run manage.py commands there."""
    state_dir = Path(tempfile.mkdtemp(prefix="breakwater-measure-"))
    running = servers.start(state_dir)
    try:
        os.environ.update(running.environment())
        os.environ.update(
            DJANGO_SETTINGS_MODULE="config.settings",
            STATE_DIR=str(state_dir),
            SECRET_KEY=secrets.token_urlsafe(50),
            SPOOL_DIR=str(state_dir / "spool"),
        )
        for command in prepare:
            subprocess.run([sys.executable, "manage.py", *command], check=True)
        yield state_dir
    finally:
        running.stop()
        shutil.rmtree(state_dir)


def cost(*command: Any, **options: Any) -> str:
    """Run a manage.py command to its end; return its exit status, seconds, and MB of memory at most, in words."""
    started, most = time.monotonic(), 0
    process = subprocess.Popen([sys.executable, "manage.py", *command], **options)
    while process.poll() is None:
        # Not ru_maxrss: that begins with what this process took when it forked.
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text()):
            most = int(found[1])
        time.sleep(0.05)
    seconds = time.monotonic() - started
    return f"exit {process.returncode}, {seconds:.1f} s, at most {most / 1024:.0f} MB of memory"
