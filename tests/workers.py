"""A real Celery worker on the tests' database."""

import os
import subprocess
import sys
from contextlib import contextmanager

from django.db import connection


@contextmanager
def worker(pool="prefork"):
    """Run a worker in a process of its own, as `make run` does, and end it afterwards."""
    command = [sys.executable, "-m", "celery", "-A", "config.celery", "worker", "-P", pool, "-c", "1"]
    process = subprocess.Popen(
        [*command, "--without-gossip", "--without-mingle"],
        env=os.environ | {"POSTGRES_DB": connection.settings_dict["NAME"]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)
