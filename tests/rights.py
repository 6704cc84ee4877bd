"""The rights in PostgreSQL that the container stack gives to each process."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connection


@contextmanager
def container_roles(*roles: Any) -> Any:
    """The roles are there, with the rights of docker/postgres/grants.sql."""
    with connection.cursor() as cursor:
        for role in roles:
            cursor.execute(f"DROP ROLE IF EXISTS {role}")
            cursor.execute(f"CREATE ROLE {role}")
            cursor.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
        cursor.execute(Path("docker/postgres/grants.sql").read_text())
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP OWNED BY {', '.join(roles)}")
            cursor.execute(f"DROP ROLE {', '.join(roles)}")


@contextmanager
def rights_of(role: str) -> Any:
    """Talk to PostgreSQL with the rights that the container stack gives to a process, and no more."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {role}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
