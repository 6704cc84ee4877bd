"""How long `manage.py reconcile` takes, and how much memory: not a test, run by hand.

python -m tests.measure_reconcile 1000000
"""

import json
import sys
from datetime import UTC, datetime
from typing import Any

from tests.measuring import cost, stores

PER_BATCH = 10_000


def main(count: Any) -> None:
    with stores(["migrate", "-v0"], ["declare_queues"]) as state_dir:
        witness = state_dir / "access.log"
        seed(count, witness)
        for arguments in (["--accepted", str(witness)], ["--since", "1d"]):
            measure([*arguments, "--settle", "1"])


def seed(count: Any, witness: Any) -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.db import connection

    from lib import request_ids
    from logs import utils as logs

    secret = settings.SECRET_KEY.encode()
    with connection.cursor() as cursor, witness.open("w") as log:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(
            "INSERT INTO landing_registration (phone_number, first_seen, last_seen) "
            "SELECT '09' || lpad(n::text, 9, '0'), now(), now() FROM generate_series(0, %s) AS n RETURNING id",
            [count - 1],
        )
        registrations = [one for (one,) in cursor.fetchall()]
        for start in range(0, count, PER_BATCH):
            now = datetime.now(UTC)
            ids = [(request_ids.new(secret), one) for one in registrations[start : start + PER_BATCH]]
            with cursor.copy(
                "COPY landing_submission (request_id, registration_id, accepted_at) FROM STDIN"
            ) as copy:
                for request_id, registration in ids:
                    copy.write_row((request_id, registration, now))
            logs.log_requests(
                [
                    {"_id": request_id, "registration_id": one, "ip_address": "192.0.2.1", "accepted_at": now}
                    for request_id, one in ids
                ]
            )
            for request_id, _ in ids:
                line = {"time": now.isoformat(), "request_id": request_id, "status": "202", "ip": "192.0.2.1"}
                log.write(json.dumps(line) + "\n")
            sys.stderr.write(f"\r{start + PER_BATCH:,} seeded")
        cursor.execute("ANALYZE")
    sys.stderr.write("\n")


def measure(arguments: Any) -> None:
    sys.stdout.write(f"reconcile {' '.join(arguments)}: {cost('reconcile', *arguments)}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
