"""How many rows PostgreSQL upserts, 500 a statement and a commit, from two connections: registration and submission."""

import argparse
import random
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg

from tools.bench.peers import env

TABLES = """
DROP TABLE IF EXISTS submission, registration;
CREATE TABLE registration (
    id bigserial PRIMARY KEY,
    phone_number varchar(11) NOT NULL UNIQUE,
    status varchar(9) NOT NULL DEFAULT 'pending',
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL
);
CREATE TABLE submission (
    request_id uuid PRIMARY KEY,
    registration_id bigint NOT NULL REFERENCES registration,
    accepted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON submission (registration_id);
"""
UPSERT = """
WITH batch AS (
    SELECT * FROM unnest(%s::uuid[], %s::varchar[]) AS given(request_id, phone_number)
), registered AS (
    INSERT INTO registration AS known (phone_number, first_seen, last_seen)
    SELECT phone_number, now(), now() FROM batch ORDER BY phone_number
    ON CONFLICT (phone_number) DO UPDATE SET last_seen = excluded.last_seen
    RETURNING id, phone_number
)
INSERT INTO submission (request_id, registration_id)
SELECT request_id, registered.id FROM batch JOIN registered USING (phone_number)
ON CONFLICT (request_id) DO NOTHING
"""
ROWS = 500
CONNECTIONS = 2


def connect() -> psycopg.Connection:
    """Open a connection of which each statement commits."""
    return psycopg.connect(
        host=env.POSTGRES_HOST,
        port=env.POSTGRES_PORT,
        user=env.POSTGRES_USER,
        password=env.POSTGRES_PASSWORD,
        dbname=env.POSTGRES_DB,
        autocommit=True,
    )


def new_id() -> uuid.UUID:
    """Return an id that grows with time, as Breakwater's do."""
    return uuid.UUID(int=time.time_ns() << 64 | random.getrandbits(64))


def upsert(until: float) -> int:
    """Upsert rows until then; return how many."""
    rows = 0
    with connect() as connection:
        while time.perf_counter() < until:
            phones = {f"0{random.randrange(10**10):010}" for _ in range(ROWS)}  # noqa: S311  not secret
            connection.execute(UPSERT, [[new_id() for _ in phones], list(phones)])
            rows += len(phones)
    return rows


def main(seconds: float) -> float:
    """Upsert for some seconds and return the rate of rows."""
    with connect() as connection:
        connection.execute(TABLES)
    started = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        rows = sum(pool.map(upsert, [started + seconds] * CONNECTIONS))
    return rows / (time.perf_counter() - started)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float)
    sys.stdout.write(f"{main(parser.parse_args().seconds):.1f}\n")
