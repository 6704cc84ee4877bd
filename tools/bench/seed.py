"""Millions of registrations, made inside PostgreSQL."""

from typing import Any

import psycopg

from tools.bench import phones

_CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid IN ('landing_registration'::regclass, 'landing_submission'::regclass) AND contype = ANY(%s)
"""
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename IN ('landing_registration', 'landing_submission')
AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)
"""
_REGISTRATIONS = """
INSERT INTO landing_registration (phone_number, first_seen, last_seen)
SELECT '0' || lpad(((%s + place) * %s %% %s)::text, 10, '0'), moment, moment
FROM generate_series(1, %s::bigint) AS place, LATERAL (
    SELECT now() - interval '1 day' + place * interval '10 ms' AS moment
) AS times
"""
_SUBMISSIONS = """
INSERT INTO landing_submission (request_id, registration_id, accepted_at, stored_at)
SELECT uuidv7(first_seen - now()), id, first_seen, first_seen
FROM landing_registration
"""
"""Ids as they are made from the page's keys: version 7, with the time of the key."""


def add_registrations(connection: "psycopg.Connection[tuple[Any, ...]]", count: int) -> None:
    """Add so many registrations, each with one submission, and leave the tables as autovacuum would."""
    foreign = connection.execute(_CONSTRAINTS, [["f"]]).fetchall()
    keys = connection.execute(_CONSTRAINTS, [["p", "u"]]).fetchall()
    indexes = connection.execute(_INDEXES).fetchall()
    execute = connection.execute
    # Row by row the indexes would cost ten times as much.
    for table, name, _ in [*foreign, *keys]:
        execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
    for name, _ in indexes:
        execute(f"DROP INDEX {name}".encode())
    execute("SET maintenance_work_mem = '512MB'")
    execute(_REGISTRATIONS, [phones.SEEDED_FROM, phones.STEP, phones.ALL, count])
    execute(_SUBMISSIONS)
    for table, name, definition in keys:
        execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}".encode())
    for _, definition in indexes:
        execute(definition.encode())
    for table, name, definition in foreign:
        execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}".encode())
    execute("VACUUM (ANALYZE) landing_registration, landing_submission")
    execute("CHECKPOINT")
