"""manage.py campaign: shown, set, cancelled and drawn, with what stands in the way of each."""

import json
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from campaigns.models import CampaignRow
from dashboard.desk import doctor
from dashboard.live import counters
from dashboard.proof import in_flight
from landing.models import Registration, StoredSubmission
from landing.storing import registrations
from landing.storing.dead_lettering import bury
from landing.submission import Submission
from lib import spool
from lib.clock import now
from local.servers import Servers
from tests.campaign_files import landing_dir
from tests.rights import container_roles, rights_of
from tests.test_replay import publish

pytestmark = pytest.mark.django_db(transaction=True)

CLOSED = "[campaign]\ncloses = 2026-01-01T00:00:00Z\n"
PHONE = "09120000001"


@pytest.fixture(autouse=True)
def _campaigns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One with places, one without that is over, and one that never ends."""
    monkeypatch.setattr(in_flight, "TOLD_WITHIN", 0.1)  # workers hold nothing here
    monkeypatch.setattr(in_flight, "PATIENCE", 12.0)
    with landing_dir(tmp_path, gala="[campaign]\nplaces = true\nline = 2\n", over=CLOSED, open=""):
        call_command("migrate", verbosity=0)
        yield


def sent(n: int, slug: str) -> Submission:
    time = now() - timedelta(days=400) + timedelta(seconds=n)
    return Submission(f"0912{n:07}", str(uuid4()), "192.0.2.1", "", "", time, slug)


def campaign(*arguments: str) -> Any:
    out = StringIO()
    call_command("campaign", *arguments, "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def fails(*arguments: str) -> CommandError:
    with pytest.raises(CommandError) as failed:
        campaign(*arguments)
    return failed.value


def test_a_list_and_one_campaign_tell_numbers_and_times() -> None:
    registrations.store([sent(n, "gala") for n in range(1, 7)])
    campaign("set", "gala", "--capacity", "3")
    campaign("cancel", "gala", PHONE)
    listed = {one["campaign"]: one for one in campaign("list")["campaigns"]}
    assert set(listed) == {"default", "gala", "over", "open"}
    assert listed["open"]["numbered"] is None
    shown = campaign("show", "gala")
    assert shown == listed["gala"] | {"registered": 6}
    told = {
        name: shown[name] for name in ("capacity", "numbered", "placed", "waiting", "declined", "cancelled")
    }
    assert told == {"capacity": 3, "numbered": 6, "placed": 3, "waiting": 2, "declined": 0, "cancelled": 1}
    assert listed["over"]["closes"] == "2026-01-01T00:00:00+00:00"


def test_a_dry_run_says_what_would_change_and_changes_nothing() -> None:
    registrations.store([sent(n, "gala") for n in range(1, 4)])
    assert campaign("set", "gala", "--capacity", "2", "--dry-run")["placed"] == 2
    assert CampaignRow.objects.get(slug="gala").capacity is None


def test_a_cancelled_place_is_the_next_one_s() -> None:
    registrations.store([sent(n, "gala") for n in range(1, 4)])
    campaign("set", "gala", "--capacity", "2")
    done = campaign("cancel", "gala", "0912 000 0001")
    assert (done["number"], done["placed_before"], done["placed"], done["admitted"]) == (1, 2, 2, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "nowhere"], "campaign list"),
        (["set", "nowhere", "--capacity", "3"], "Known: default, gala, open, over"),
        (["set", "open", "--capacity", "3"], "places = true"),
        (["set", "gala", "--capacity", "-1"], "0 or more"),
        (["cancel", "gala", "123"], "no phone number"),
        (["cancel", "gala", PHONE], "Nobody with this phone number"),
        (["draw", "gala", "--capacity", "1", "--order", "first"], "after the close"),
        (["draw", "open", "--capacity", "1", "--order", "first"], "no `closes`"),
        (["draw", "nowhere", "--capacity", "1", "--order", "first"], "campaign list"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_next_step(arguments: list[str], said: str) -> None:
    error = fails(*arguments)
    assert error.returncode == 1
    assert said in str(error)


def test_a_draw_numbers_all_and_tells_how_to_check_it() -> None:
    registrations.store([sent(n, "over") for n in range(1, 21)])
    done = campaign("draw", "over", "--capacity", "5", "--order", "lottery", "--seed", "x")
    assert (done["participants"], done["placed"], done["seed"]) == (20, 5, "x")
    assert done["seed_sha256"] == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    fifth = StoredSubmission.objects.get(registration__number=5)
    assert done["last_ticket"] == sha256(f"x{fifth.pk}".encode()).hexdigest()
    numbers = Registration.objects.order_by("number").values_list("number", flat=True)
    assert list(numbers) == list(range(1, 21))
    assert "has its numbers already" in str(fails("draw", "over", "--capacity", "5", "--order", "first"))


def examined() -> dict[str, str]:
    return {one.verdict: f"{one.saw} {one.hint}" for one in doctor.examine() if one.part == "campaigns"}


def test_the_doctor_tells_what_a_campaign_with_places_lacks() -> None:
    assert "campaign set gala --capacity" in examined()["warning"]
    gala = CampaignRow.objects.filter(slug="gala")
    gala.update(is_numbered=False)
    assert "gala gives no numbers yet" in examined()["fault"]
    gala.update(is_numbered=True, capacity=5)
    assert examined() == {"ok": "4, 1 with places "}


DRAW = ("draw", "over", "--capacity", "1", "--order", "first")


def test_a_draw_waits_for_what_is_in_the_queue() -> None:
    publish(sent(1, "over").to_wire(), sent(2, "gala").to_wire())
    assert "1 queued" in str(fails(*DRAW))


def test_a_draw_waits_for_what_is_spooled_here(tmp_path: Path, settings: Settings) -> None:
    settings.SPOOL_DIR = str(tmp_path)
    own = spool.create(tmp_path)
    own.append([orjson.dumps(sent(n, slug).to_wire()) for n, slug in enumerate(["over", "gala"])])
    own.close()
    assert "1 spooled." in str(fails(*DRAW))


def test_a_draw_waits_for_what_other_hosts_have_spooled() -> None:
    told = {"of-another-host.spool": (7, 4096, (now() - timedelta(days=500)).timestamp())}
    counters.announce("web far 1", {"role": "web", "at": 0, "spooled": told})
    assert "7 spooled elsewhere" in str(fails(*DRAW))


def test_a_draw_waits_for_dead_letters_of_the_campaign() -> None:
    bury(sent(1, "over").to_wire(), "refused")
    bury(sent(1, "gala").to_wire(), "refused")
    assert "1 dead" in str(fails(*DRAW))


def test_a_server_that_does_not_answer_is_exit_code_2(servers: Servers) -> None:
    servers.redis.pause()
    try:
        assert fails(*DRAW).returncode == 2
    finally:
        servers.redis.resume()
    assert CampaignRow.objects.get(slug="over").is_numbered is False


def test_the_toolbox_and_the_web_have_the_rights_for_it() -> None:
    registrations.store([sent(n, slug) for n in range(1, 4) for slug in ("gala", "over")])
    with container_roles("breakwater_web", "breakwater_worker", "breakwater_toolbox"):
        with rights_of("breakwater_worker"):
            registrations.store([sent(4, "gala")])
        with rights_of("breakwater_toolbox"):
            campaign("list")
            campaign("set", "gala", "--capacity", "2")
            campaign("cancel", "gala", PHONE)
            campaign(*DRAW)
    assert CampaignRow.objects.get(slug="gala").last_number == 4
