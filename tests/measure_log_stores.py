"""Documents of which each batch comes twice, in each store of the request log: not a test, run by hand.

python -m tests.measure_log_stores 50000

It ends with 1 unless each store has each document once. ELASTIC_URL names a real Elasticsearch in place of the fake.
"""

import os
import sys
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tests import fake_elastic
from tests.measuring import stores

PER_BATCH = 500


def main(count: int) -> int:
    with stores(["migrate", "-v0"]), fake_elastic.running() as (url, _):
        import django

        os.environ.setdefault("ELASTIC_URL", url)
        os.environ["ELASTIC_INDEX"] = f"measure-{uuid4()}"
        django.setup()
        from logs.elastic import ElasticStore
        from logs.postgresql import PostgresStore
        from logs.stores import MongoStore

        return int(not all(measure(make(), count) for make in (MongoStore, PostgresStore, ElasticStore)))


def measure(store: Any, count: int) -> bool:
    """Give a store so many documents, each batch twice; print the figures, and return whether each is there once."""
    given: set[str] = set()
    started = time.monotonic()
    while len(given) < count:
        batch = [
            {"_id": str(uuid4()), "ip_address": "192.0.2.1", "referrer": "", "accepted_at": datetime.now(UTC)}
            for _ in range(min(PER_BATCH, count - len(given)))
        ]
        given.update(one["_id"] for one in batch)
        store.insert(batch)
        store.insert(batch)
    seconds = time.monotonic() - started
    kept = list(store.ids(None, None))
    sys.stdout.write(
        f"{type(store).__name__}: {2 * count:,} given in {seconds:.1f} s, {len(kept):,} kept, "
        f"{len(given.intersection(kept)):,} of the {count:,} distinct\n"
    )
    return len(kept) == count and given == set(kept)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
