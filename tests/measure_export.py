"""How long `manage.py export` takes, and how much memory: not a test, run by hand.

python -m tests.measure_export 1000000
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from local import servers

SEED = """
INSERT INTO landing_registration (phone_number, first_seen, last_seen)
SELECT '09' || lpad(n::text, 9, '0'), now() - n * interval '1 second', now() FROM generate_series(1, %(count)s) AS n;
INSERT INTO landing_submission (request_id, registration_id, accepted_at)
SELECT gen_random_uuid(), id, last_seen FROM landing_registration;
INSERT INTO landing_submission (request_id, registration_id, accepted_at)
SELECT gen_random_uuid(), id, first_seen FROM landing_registration WHERE id %% 10 = 0;
"""


def main(count):
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
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True)
        seed(count)
        for form in ("csv", "xlsx", "jsonl"):
            measure(form, state_dir / f"registrations.{form}")
    finally:
        running.stop()
        shutil.rmtree(state_dir)


def seed(count):
    import django

    django.setup()
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(SEED, {"count": count})
        cursor.execute("VACUUM ANALYZE")
    connection.close()


def measure(form, path):
    started, most = time.monotonic(), 0
    process = subprocess.Popen(
        [sys.executable, "manage.py", "export", f"--format={form}", f"--output={path}"],
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        # Not ru_maxrss: that begins with what this process took when it forked.
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text()):
            most = int(found[1])
        time.sleep(0.05)
    sys.stdout.write(
        f"export {form}: exit {process.returncode}, {time.monotonic() - started:.1f} s, "
        f"at most {most / 1024:.0f} MB of memory, a file of {path.stat().st_size / 1e6:.0f} MB\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
