"""A real Celery worker on the tests' database."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import Any

from django.db import connection


@contextmanager
def worker() -> Any:
    """Run a worker in a process of its own, as `make run` does, and end it; a failed test shows its log."""
    command = [sys.executable, "-m", "celery", "-A", "config.celery", "worker", "-P", "prefork", "-c", "1"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--without-gossip", "--without-mingle"],
            env=os.environ | {"POSTGRES_DB": connection.settings_dict["NAME"]},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        except BaseException:
            log.seek(0)
            sys.stdout.write(log.read().decode())
            raise
        finally:
            process.terminate()
            process.wait(30)
