"""How long `manage.py export` takes, and how much memory: not a test, run by hand.

python -m tests.measure_export 1000000
"""

import subprocess
import sys
from typing import Any

from tests.measuring import cost, stores

SEED = """
INSERT INTO landing_registration (phone_number, first_seen, last_seen)
SELECT '09' || lpad(n::text, 9, '0'), now() - n * interval '1 second', now() FROM generate_series(1, %(count)s) AS n;
INSERT INTO landing_submission (request_id, registration_id, accepted_at)
SELECT gen_random_uuid(), id, last_seen FROM landing_registration;
INSERT INTO landing_submission (request_id, registration_id, accepted_at)
SELECT gen_random_uuid(), id, first_seen FROM landing_registration WHERE id %% 10 = 0;
"""


def main(count: Any) -> None:
    with stores(["migrate", "-v0"]) as state_dir:
        seed(count)
        for form in ("csv", "xlsx", "jsonl"):
            measure(form, state_dir / f"registrations.{form}")


def seed(count: Any) -> None:
    import django

    django.setup()
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(SEED, {"count": count})
        cursor.execute("VACUUM ANALYZE")
    connection.close()


def measure(form: Any, path: Any) -> None:
    said = cost("export", f"--format={form}", f"--output={path}", stderr=subprocess.DEVNULL)
    sys.stdout.write(f"export {form}: {said}, a file of {path.stat().st_size / 1e6:.0f} MB\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
