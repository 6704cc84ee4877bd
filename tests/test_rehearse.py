"""manage.py rehearse: a real burst over HTTP, reconciled and removed without a trace."""

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import Settings

from dashboard.proof import rehearsal
from landing.models import ParkedLog, Registration, StoredSubmission
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib import phones, request_ids
from logs import utils as logs
from tests.rights import container_roles, rights_of
from tests.waiting import eventually
from tests.workers import worker

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def web(**environment: Any) -> Any:
    """Run a web server in a process of its own; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "config.asgi:application"],
        env=os.environ
        | {"POSTGRES_DB": connection.settings_dict["NAME"], "PORT": str(port), "WEB_CONCURRENCY": "1"}
        | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: is_alive(port), within=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def is_alive(port: int) -> Any:
    """gunicorn listens long before a worker of it answers."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def rehearse(*arguments: Any) -> Any:
    out = StringIO()
    code: CommandError | int = 0
    try:
        call_command("rehearse", *arguments, "--json", stdout=out)
    except CommandError as error:
        code = error
    return code, json.loads(out.getvalue()) if out.getvalue().startswith("{") else out.getvalue()


def stored(phone_number: str, user_agent: str = "") -> Any:
    request_id = request_ids.new(settings.SECRET_KEY.encode())
    one = Submission(phone_number, request_id, "192.0.2.1", "", user_agent, datetime.now(UTC))
    save_phones_async([one.to_wire()])
    return request_id


def test_a_burst_is_accepted_stored_once_and_removed() -> None:
    visitor = stored("09123456789")
    with web() as url, worker():
        code, facts = rehearse("--url", url, "--rate", "200", "--count", "100", "--within", "60")
    assert code == 0, facts
    assert facts["answers"] == {"202": 100}
    assert facts["accepted"] == facts["stored"] == facts["removed"] == 100
    assert facts["lost"] == facts["duplicated"] == facts["pending"] == facts["undocumented"] == 0
    assert 0 < facts["p50 ms"] <= facts["p99 ms"] <= facts["max ms"]
    assert 0 < facts["accepted/s"] < 250
    assert [str(one.pk) for one in StoredSubmission.objects.all()] == [visitor]
    assert Registration.objects.get().phone_number == "09123456789"
    assert list(logs.ids()) == [visitor]


def test_kept_rows_are_marked_and_removed_by_a_later_cleaning() -> None:
    visitor = stored("09123456789")
    with web() as url, worker():
        code, facts = rehearse("--url", url, "--count", "5", "--keep")
        assert code == 0, facts
        assert Registration.objects.count() == 6
        again, _ = rehearse("--url", url, "--count", "5")
    assert "5 registrations begin with 00097" in str(again)
    assert again.returncode == 2
    kept = StoredSubmission.objects.filter(registration__phone_number="00097000003").get()
    assert logs.find(str(kept.pk))["user_agent"] == facts["run"]
    assert "5 synthetic registrations removed" in rehearse("--clean")[1]
    assert [str(one.pk) for one in StoredSubmission.objects.all()] == [visitor]


def test_cleaning_spares_what_bears_no_mark_and_finds_parked_marks() -> None:
    real = stored("00097000001", "A browser")
    marked = stored("00097000002", "breakwater-rehearsal/x")
    parked = stored("00097000003", "breakwater-rehearsal/x")
    from landing.storing import outbox

    outbox.park([logs.find(parked)])
    logs.delete([parked])
    code, _ = rehearse("--clean")
    assert "1 beginning with 00097 bear no rehearsal's mark" in str(code)
    assert [str(one.pk) for one in StoredSubmission.objects.all()] == [real]
    assert logs.find(marked) is None
    assert ParkedLog.objects.count() == 0


def test_the_rate_limit_ends_it_early_and_is_explained() -> None:
    with web(TRUSTED_PROXIES="") as url, worker():
        code, facts = rehearse("--url", url, "--rate", "100", "--count", "500", "--within", "60")
    assert "RATE_LIMIT=off" in str(code)
    assert code.returncode == 2
    assert facts["answers"]["202"] == facts["removed"] == 10
    assert facts["sent"] < 500


def test_without_a_worker_nothing_is_called_stored_and_nothing_lost() -> None:
    with web() as url:
        code, facts = rehearse("--url", url, "--count", "3", "--within", "1")
    assert code.returncode == 1
    assert (facts["stored"], facts["pending"], facts["lost"]) == (0, 3, 0)


def test_a_lost_and_a_doubled_one_are_found() -> None:
    accepted = [stored("00097000001"), stored("00097000001"), request_ids.new(b"x")]
    report = rehearsal.arrival(accepted, within=0).report
    assert report.lost.ids == accepted[2:]
    assert report.duplicated.count == 1
    assert rehearsal.arrival(accepted[:1], within=0).report.recovered.ids == accepted[1:2]


def test_a_dry_run_shows_the_first_request_and_sends_nothing() -> None:
    shown = rehearse("--dry-run", "--url", "http://127.0.0.1:9", "--rate", "50")[1]
    assert "1000 requests in 20.0 s" in shown
    assert "POST /api/register/ HTTP/1.1" in shown
    assert "00097000999" in shown


def test_a_web_that_is_not_there_is_said() -> None:
    for url in ("http://127.0.0.1:9", "127.0.0.1"):
        code, _ = rehearse("--url", url)
        assert code.returncode == 2
        assert "--url" in str(code)


def test_requests_name_the_site_where_the_url_names_a_machine(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = [".campaign.test", "localhost"]
    named = (
        "http://www.campaign.test",
        "http://user@localhost:8000",
        "https://elsewhere.test",
        "http://web:8000",
    )
    hosts = [rehearsal.plan(url, 1, 1, "x").host for url in named]
    assert hosts == ["www.campaign.test", "localhost:8000", "elsewhere.test", "campaign.test"]


def test_no_iranian_number_is_synthetic_and_every_synthetic_one_is_taken() -> None:
    plan = rehearsal.plan("http://x", 1, rehearsal.MOST, "x")
    for number in (0, 7, rehearsal.MOST - 1):
        assert phones.normalise(plan.phone(number)) == plan.phone(number)
        assert plan.phone(number).startswith("00097")


def test_the_toolbox_may_remove_what_it_has_sent() -> None:
    request_id = request_ids.new(settings.SECRET_KEY.encode())
    time = datetime.now(UTC)
    sent = Submission(f"{rehearsal.PREFIX}123456", request_id, "192.0.2.1", "", "", time)
    save_phones_async([sent.to_wire()])
    roles = container_roles("breakwater_worker", "breakwater_web", "breakwater_toolbox")
    with roles, rights_of("breakwater_toolbox"):
        assert rehearsal.clean({request_id}) == 1
    assert not Registration.objects.exists()
