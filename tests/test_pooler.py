"""POSTGRES_POOLER=on: a real PgBouncer, which gives a connection to each transaction, stands in between."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from landing.models import StoredSubmission
from local.state import Ports, is_free
from tests.waiting import eventually

PGBOUNCER = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not Path(PGBOUNCER).exists(), reason="no pgbouncer here: local/install_packages.sh pgbouncer"
    ),
]


@pytest.fixture
def pooled() -> Iterator[dict[str, str]]:
    """The settings that lead through PgBouncer, which refuses start-up options as it comes."""
    server, port = connection.settings_dict, Ports.pick().postgres
    account = "nobody" if os.geteuid() == 0 else None  # it does not run as root
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        (folder / "users.txt").write_text(f'"{server["USER"]}" "{server["PASSWORD"]}"\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={server['HOST']} port={server['PORT']}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\npool_mode = transaction\n"
            f"auth_type = plain\nauth_file = {folder / 'users.txt'}\nunix_socket_dir =\n"
        )
        with subprocess.Popen(
            [PGBOUNCER, folder / "pgbouncer.ini"], stderr=subprocess.DEVNULL, user=account
        ) as bouncer:
            eventually(lambda: not is_free(port))
            yield {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(port), "POSTGRES_DB": server["NAME"]}
            bouncer.terminate()


def manage(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


STORE = """
from django.conf import settings
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib import request_ids
from lib.clock import now
ids = [request_ids.new(settings.SECRET_KEY.encode()) for _ in range(300)]
save_phones_async([Submission(f"0912{n:07}", one, "", "", "", now()).to_wire() for n, one in enumerate(ids)])
"""


def test_rows_are_stored_proven_and_exported_through_a_pooler(pooled: dict[str, str]) -> None:
    pooled = pooled | {"POSTGRES_POOLER": "on"}
    for command in (
        ["migrate"],
        ["shell", "-c", STORE],
        ["reconcile", "--since", "1h", "--settle", "0"],
        ["export", "--format", "csv", "--output", "-"],
    ):
        done = manage(*command, **pooled)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert StoredSubmission.objects.count() == 300


def test_without_the_setting_a_pooler_refuses_our_connections(pooled: dict[str, str]) -> None:
    refused: Any = manage("migrate", **pooled, POSTGRES_POOLER="off")
    assert refused.returncode != 0
    assert "unsupported startup parameter" in refused.stderr
