"""manage.py merge: the registrations of a cell come to this installation once, with their request logs."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from landing.keeping import queues
from landing.models import ParkedLog, Registration, StoredSubmission
from landing.submission import Submission
from landing.tasks import save_phones_async
from logs import utils as logs
from logs.stores import MongoStore
from tests.messages import ready

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 3, 21, 12, tzinfo=UTC)
ONE, OTHER = "09123456789", "09351112233"


def wire(phone_number: str, accepted_at: datetime = NOON) -> Any:
    return Submission(phone_number, str(uuid4()), "192.0.2.1", "", "A browser", accepted_at).to_wire()


@pytest.fixture
def cell() -> Iterator[list[str]]:
    """Another installation with two registrations, one of which has its request log parked: its addresses."""
    save_phones_async([wire(ONE), [*wire(OTHER), "nowruz", {"city": "tehran"}]])
    parked, documented = StoredSubmission.objects.order_by("pk")
    ParkedLog.objects.create(pk=parked.pk, document={"_id": str(parked.pk), "ip_address": "192.0.2.9"})
    mongodb = f"mongodb://{settings.MONGODB_USER}:{settings.MONGODB_PASSWORD}@localhost:{settings.MONGODB_PORT}/cell?authSource=admin"
    MongoStore(mongodb).insert(
        [{"_id": str(documented.pk), "ip_address": "192.0.2.8", "user_agent": "Safari"}]
    )
    name = connection.settings_dict["NAME"]
    with psycopg.connect(**at("postgres"), autocommit=True) as server:
        connection.close()
        server.execute(f'CREATE DATABASE cell TEMPLATE "{name}"')
        Registration.objects.all().delete()
        ParkedLog.objects.all().delete()
        logs.delete([str(parked.pk), str(documented.pk)])
        yield [f"--from={psycopg.conninfo.make_conninfo(**at('cell'))}", f"--documents={mongodb}"]
        server.execute("DROP DATABASE cell WITH (FORCE)")


def at(database: str) -> dict[str, Any]:
    known = connection.settings_dict
    login = {"user": known["USER"], "password": known["PASSWORD"]}
    return {"host": known["HOST"], "port": known["PORT"], "dbname": database, **login}


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("merge", *arguments, "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def store_what_was_sent() -> None:
    for batch in ready(queues.live):
        save_phones_async(*batch)


def test_a_cells_registrations_are_stored_here_once(cell: list[str]) -> None:
    earlier = wire(ONE, NOON - timedelta(hours=1))
    save_phones_async([earlier])
    for _ in range(2):
        assert run(*cell) == {"submissions": 2, "sent": True}
        store_what_was_sent()
    of_campaign = StoredSubmission.objects.get(registration__campaign__slug="nowruz")
    assert of_campaign.details == {"city": "tehran"}
    first_seen = dict(Registration.objects.values_list("phone_number", "first_seen"))
    assert first_seen == {ONE: NOON - timedelta(hours=1), OTHER: NOON}
    assert StoredSubmission.objects.count() == 3


def test_its_request_logs_come_along_those_that_were_parked_too(cell: list[str]) -> None:
    run(*cell)
    store_what_was_sent()
    parked, documented = (str(one.pk) for one in StoredSubmission.objects.order_by("pk"))
    found = {one["_id"]: one for one in logs.find_many([parked, documented])}
    assert found[parked]["ip_address"] == "192.0.2.9"
    assert (found[documented]["ip_address"], found[documented]["user_agent"]) == ("192.0.2.8", "Safari")
    ours = set(Registration.objects.values_list("pk", flat=True))
    assert {one["registration_id"] for one in found.values()} == ours


def test_a_dry_run_sends_nothing(cell: list[str]) -> None:
    assert run(*cell, "--dry-run") == {"submissions": 2, "sent": False}
    assert ready(queues.live) == []


def test_an_interrupted_merge_goes_on_after_the_last_id(cell: list[str]) -> None:
    first, last = sorted(raw[1] for (batch,) in sent_by(cell) for raw in batch)
    assert [raw[1] for (batch,) in sent_by([*cell, "--after", first]) for raw in batch] == [last]


def sent_by(arguments: list[str]) -> Any:
    run(*arguments)
    return ready(queues.live)


def test_addresses_may_stand_in_a_file(cell: list[str], tmp_path: Path) -> None:
    file = tmp_path / "cell-3"
    file.write_text("\n".join(cell))
    assert run(f"@{file}")["submissions"] == 2


def test_a_cell_that_is_away_is_told() -> None:
    with pytest.raises(CommandError, match="Begin again"):
        run("--from=postgresql://nobody@localhost:1/breakwater")
