"""What numbers cost: the store rate of a campaign with places beside one without, and beginning in mid-campaign.

Not a test, run by hand: python -m tests.measure_places 1000000
"""

import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from lib import request_ids
from tests.measuring import stores

WORKERS, BATCH, BATCHES, ROUNDS = 2, 500, 40, 5
SEED = """
INSERT INTO landing_registration (phone_number, campaign_id, first_seen, last_seen)
SELECT '08' || lpad(n::text, 9, '0'), (SELECT id FROM campaigns_campaign WHERE slug = 'full'), now(), now()
FROM generate_series(1, %(count)s) AS n;
INSERT INTO landing_submission (request_id, registration_id, accepted_at)
SELECT gen_random_uuid(), id, last_seen FROM landing_registration;
"""


def main(count: int) -> None:
    with stores(["migrate", "-v0"]), ProcessPoolExecutor(WORKERS, initializer=_begin) as pool:
        _begin()
        from django.db import connection

        from campaigns.models import CampaignRow
        from landing.storing import places

        for slug in ("plain", "empty", "full"):
            CampaignRow.objects.create(slug=slug)
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute(SEED, {"count": count})
            cursor.execute("VACUUM ANALYZE")
        say(f"{count:,} are numbered in {_seconds(places.begin, 'full'):.1f} s")
        places.begin("empty")
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        connection.close()
        rates: dict[str, list[float]] = {"plain": [], "empty": [], "full": []}
        for number in range(ROUNDS + 1):
            for slug, found in rates.items():
                rate = _rate(pool, slug, number)
                if number:  # the first round warms up
                    found.append(rate)
        medians = {slug: statistics.median(found) for slug, found in rates.items()}
        for slug, rate in medians.items():
            say(f"{slug:6} {rate:8,.0f} registrations/s, {rate / medians['plain']:.2f} of plain")
        say(f"with {count:,} numbered {medians['full'] / medians['empty']:.2f} of with none")


def _begin() -> None:
    import django

    django.setup()


def _rate(pool: ProcessPoolExecutor, slug: str, number: int) -> float:
    starts = [(slug, f"09{number}{worker}") for worker in range(WORKERS)]
    return WORKERS * BATCHES * BATCH / _seconds(lambda: list(pool.map(_store, starts)))


def _store(told: tuple[str, str]) -> None:
    from landing.storing import registrations
    from landing.submission import Submission

    slug, prefix = told
    for batch in range(BATCHES):
        first = batch * BATCH
        registrations.store(
            [
                Submission(f"{prefix}{n:07}", _id(), "192.0.2.1", "", "", datetime.now(UTC), slug)
                for n in range(first, first + BATCH)
            ]
        )


def _id() -> str:
    return str(UUID(request_ids.new(b"")))


def _seconds(act: Any, *arguments: Any) -> float:
    started = time.monotonic()
    act(*arguments)
    return time.monotonic() - started


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
