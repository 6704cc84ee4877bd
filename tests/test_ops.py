"""The operator's pages: who may see them, what they say when a server is away, and what the trace makes of any input."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core import signing
from django.test import Client
from pytest_django.fixtures import Settings

from confirmations.line import KEY, Line
from confirmations.models import Lease
from dashboard.desk import trace
from dashboard.live import codes, counters, probes, reporter, snapshot
from landing.keeping import queues
from landing.storing import backlog, dead_lettering, outbox, registrations
from landing.storing.backlog import Backlog
from landing.submission import Submission
from landing.tasks import save_batches_async, save_phones_async
from lib import metrics
from local.servers import Servers
from logs import utils as logs
from tests.campaign_files import landing_dir
from tests.messages import depth
from tests.test_outages import hung, without
from tests.waiting import eventually

pytestmark = pytest.mark.django_db

PAGES = ["/ops/", "/ops/trace/", "/ops/trace/17404890-a740-4620-808f-1205fabef46d/"]
PHONE = "09123456789"
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test is told what another was."""
    monkeypatch.setattr(probes, "FRESH", 0)
    metrics.take()


@pytest.fixture
def operator(client: Client) -> Any:
    """Staff who may look at submissions."""
    user = get_user_model().objects.create_user("operator", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_storedsubmission"))
    client.force_login(user)
    return client


def submission(phone: str = PHONE, ago: int = 0) -> Any:
    return Submission(
        phone, str(uuid4()), "192.0.2.1", "https://campaign.example/", "", NOW - timedelta(seconds=ago)
    )


# -- who may see what


@pytest.mark.parametrize("page", PAGES)
def test_who_is_not_logged_in_is_asked_to(client: Client, page: str) -> None:
    answer = client.get(page)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/?next=/ops/")


@pytest.mark.parametrize("page", PAGES)
def test_who_is_no_staff_is_asked_for_another_login(client: Client, page: str) -> None:
    client.force_login(get_user_model().objects.create_user("visitor"))
    assert client.get(page).status_code == 302


def test_the_figures_are_refused_to_everybody_else(client: Client) -> None:
    assert client.get("/ops/state/").status_code == 403
    client.force_login(get_user_model().objects.create_user("visitor"))
    assert client.get("/ops/state/").status_code == 403


def test_staff_without_the_permission_sees_figures_and_no_visitors(client: Client) -> None:
    client.force_login(get_user_model().objects.create_user("watcher", is_staff=True))
    assert client.get("/ops/").status_code == 200
    assert client.get("/ops/state/").status_code == 200
    for page in PAGES[1:]:
        assert client.get(page).status_code == 403
    assert client.post("/ops/trace/", {"asked": PHONE}).status_code == 403


@pytest.mark.parametrize("path", ["/ops/", "/ops/state/", "/ops/trace/"])
def test_nothing_of_it_is_kept_by_a_cache(operator: Client, path: str) -> None:
    assert "no-store" in operator.get(path)["Cache-Control"]


@pytest.mark.parametrize(("language", "direction"), [("fa", "rtl"), ("en", "ltr"), ("<b>", "rtl")])
def test_the_page_speaks_both_languages(operator: Client, language: str, direction: str) -> None:
    page = operator.get("/ops/", {"lang": language}).content.decode()
    assert f'dir="{direction}"' in page
    assert "<b>" not in page.partition("<main>")[0]


# -- the figures


def test_the_figures_are_those_that_were_counted(operator: Client) -> None:
    metrics.count("accepted:rabbitmq", 7)
    metrics.count("refused:rate_limited", 2)
    metrics.observe("register_seconds", 0.004)
    counters.Adder().flush()
    state = operator.get("/ops/state/").json()
    assert state["counts"]["accepted:rabbitmq"] == 7
    assert state["points"][-1]["accepted"] == 7
    assert state["points"][-1]["refused"] == {"rate_limited": 2}
    assert 0.003 < state["latency"]["p99"] <= 0.005
    assert set(state["dependencies"].values()) == {"ok"}
    assert state["gauges"]["dead_letters"] == 0
    assert len(state["points"]) == 361


@pytest.mark.parametrize("since", ["", "-1", "x", "9" * 400, "٣", "1e9", "0x10", "99999999999"])
def test_any_since_is_answered(operator: Client, since: str) -> None:
    assert operator.get("/ops/state/", {"since": since}).status_code == 200


@pytest.mark.parametrize("away", [without, hung])
def test_without_redis_the_page_says_what_is_not_known_and_shows_the_rest(
    operator: Client, servers: Servers, away: Callable[..., Any]
) -> None:
    with away(servers.redis):
        state = operator.get("/ops/state/").json()
    assert state["counts"] is None
    assert state["points"] is None
    assert state["degraded"] == ["redis", "workers"]
    assert state["dependencies"]["rabbitmq"] == "ok"
    assert state["gauges"]["queue"] == 0
    assert state["gauges"]["spool_rows"] == 0


@pytest.mark.parametrize("name", ["rabbitmq", "mongodb"])
def test_a_server_that_hangs_does_not_hold_up_the_page(operator: Client, servers: Servers, name: str) -> None:
    with hung(getattr(servers, name)):
        state = operator.get("/ops/state/").json()
        assert state["dependencies"].pop(name) != "ok"
        assert set(state["dependencies"].values()) == {"ok"}
        assert name in state["degraded"]
    eventually(lambda: operator.get("/ops/state/").json()["dependencies"][name] == "ok", within=20)


def test_without_postgresql_an_open_page_goes_on_and_nobody_else_gets_in(
    client: Client, operator: Client, servers: Servers
) -> None:
    given = operator.get("/ops/state/").json()["pass"]
    refused = signing.TimestampSigner(salt="other").sign("1")
    with hung(servers.postgres):
        state = operator.get("/ops/state/", headers={"X-Ops-Pass": given}).json()
        assert state["degraded"] == ["postgresql", "workers"]
        for forged in ("", "x", f"{given}x", refused):
            assert operator.get("/ops/state/", headers={"X-Ops-Pass": forged}).status_code == 403
    eventually(lambda: operator.get("/ops/state/").status_code == 200)


def test_a_pass_is_nothing_while_postgresql_knows_better(operator: Client) -> None:
    given = operator.get("/ops/state/").json()["pass"]
    operator.logout()
    assert operator.get("/ops/state/", headers={"X-Ops-Pass": given}).status_code == 403


# -- how long the oldest has waited


@pytest.fixture
def _no_look() -> Any:
    yield
    backlog.note(Backlog())


@pytest.mark.usefixtures("_no_look")
def test_a_look_sees_how_far_the_workers_are_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    counters.mark("stored_up_to", time.time() - 100)
    counters.announce(
        "worker a 1", {"role": "worker", "at": int(time.time()), "stored_up_to": time.time() - 50}
    )
    counters.announce(
        "worker a 2", {"role": "worker", "at": int(time.time()), "stored_up_to": time.time() - 70}
    )
    snapshot.look()
    assert backlog.current().age == 0
    monkeypatch.setattr(snapshot, "_empty_at", 0.0)
    save_phones_async.delay([submission().to_wire()])
    eventually(lambda: depth(queues.live) == 1)
    snapshot.look()
    assert backlog.current().age == pytest.approx(50, abs=10)
    assert time.time() - backlog.current().stored_up_to == pytest.approx(50, abs=10)


def test_a_worker_without_work_does_not_put_back_what_another_has_stored() -> None:
    idle, busy = (
        reporter.Reporter("worker", lambda moment=moment: {"stored_up_to": moment})
        for moment in (100.0, 200.0)
    )
    for worker in (idle, busy, idle):
        worker.report()
    assert counters.marks()["stored_up_to"] == 200


def test_a_worker_that_ends_leaves_word_up_to_when_it_has_stored() -> None:
    worker = reporter.Reporter("worker", lambda: {"stored_up_to": 300.0})
    worker.stop()
    assert counters.marks()["stored_up_to"] == 300
    assert counters.processes() == {}


def test_what_a_worker_holds_is_the_oldest_though_the_queue_is_empty() -> None:
    now = time.time()
    counters.announce("worker a 1", {"role": "worker", "at": now, "in_hand": now - 40})
    counters.announce("worker a 2", {"role": "worker", "at": now - 60, "in_hand": now - 900})
    assert snapshot.now()["gauges"]["oldest"] == pytest.approx(40, abs=10)


def test_the_oldest_of_joined_batches_counts() -> None:
    batches = [[[submission(ago=5).to_wire()], None], [[submission(ago=70).to_wire()], None]]
    reporter.note_start("a task", [batches], save_batches_async)
    try:
        assert reporter.worker_status()["in_hand"] == pytest.approx(NOW.timestamp() - 70, abs=1)
    finally:
        reporter.note_end("a task", "FAILURE", [batches], save_batches_async)


def test_the_queues_head_came_after_the_last_that_was_stored() -> None:
    counters.mark("stored_up_to", time.time() - 100)
    counters.mark("empty_at", time.time() - 30)
    assert snapshot.now()["gauges"]["oldest"] == 0
    from landing.keeping import queues
    from landing.tasks import save_phones_async

    save_phones_async.delay([submission().to_wire()])
    eventually(lambda: depth(queues.live) == 1)
    assert snapshot.now()["gauges"]["oldest"] == pytest.approx(30, abs=10)


def test_spools_of_several_machines_add_up_and_a_shared_one_counts_once(
    tmp_path: Path, settings: Settings
) -> None:
    settings.SPOOL_DIR = str(tmp_path)
    from lib import spool

    file = spool.create(tmp_path)
    file.append([b'["","","","","","2026-01-01T00:00:00+00:00"]'] * 3)
    file.delete(file.oldest(1))
    now = time.time()
    for name in ("web a 1", "web a 2"):
        counters.announce(name, {"role": "web", "at": now, "spooled": probes.spooled()})
    counters.announce("web b 1", {"role": "web", "at": now, "spooled": {"other.spool": [5, 100, now]}})
    figures = snapshot.now()["gauges"]
    file.close()
    assert figures["spool_rows"] == 2 + 5
    assert figures["oldest"] > 86400


# -- codes by SMS


@pytest.fixture
def _codes_on(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    settings.SENDS_CODES, settings.CODE_BUDGET = True, 200
    monkeypatch.setattr(probes._PROBES[probes.COURIER], "_fresh", 0)
    with landing_dir(tmp_path, gala='[campaign]\nconfirm = "sms"\n'):
        yield


def tell_line(**told: Any) -> None:
    line = Line(waiting=12, here=4, rate=10.0, parts=50, at=time.time(), **told)
    counters.redis().set(KEY, line.to_json())


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_codes_on")
def test_the_page_tells_of_codes_where_a_campaign_asks_for_them(operator: Client) -> None:
    Lease.objects.create(holder="host-a:17:0badc0de", until=NOW + timedelta(minutes=5))
    tell_line(held_by="gateway")
    metrics.count("codes_sent:accepted", 3)
    metrics.count("codes_sent:unknown", 1)
    metrics.count("code_tries:confirmed", 3)
    counters.Adder().flush()
    assert 'id="codes"' in operator.get("/ops/").content.decode()
    state = operator.get("/ops/state/").json()
    assert state["codes"] == {
        "waiting": 12,
        "here": 4,
        "rate": 10.0,
        "held_by": "gateway",
        "parts": 50,
        "budget": 200,
        "courier": "host-a 17",
    }
    assert (state["points"][-1]["codes_sent"], state["points"][-1]["codes_typed"]) == (4, 3)


@pytest.mark.usefixtures("_codes_on")
def test_of_codes_the_page_says_what_it_does_not_know(operator: Client, servers: Servers) -> None:
    given = operator.get("/ops/state/").json()
    assert given["codes"]["courier"] == ""
    assert given["codes"]["held_by"] is None
    tell_line()
    with hung(servers.postgres):
        codes = operator.get("/ops/state/", headers={"X-Ops-Pass": given["pass"]}).json()["codes"]
    assert (codes["courier"], codes["waiting"]) == (None, 12)


def test_without_codes_the_page_has_nothing_of_them_and_asks_no_store(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setitem(probes._PROBES, probes.COURIER, probes.Probe(lambda: asked.append("lease") or {}))
    monkeypatch.setattr(codes, "told_line", lambda: asked.append("line"))
    assert 'id="codes"' not in operator.get("/ops/").content.decode()
    assert operator.get("/ops/state/").json()["codes"] is None
    assert not asked


# -- the trace


@pytest.mark.parametrize(
    "asked",
    [
        "",
        " ",
        "'; DROP TABLE landing_submission; --",
        "<script>alert(1)</script>",
        "{{ 7|add:7 }}",
        "%s%n",
        "\x00",
        "0912",
        "١٢",
        "../../etc/passwd",
        "a" * 5000,
        '{"$gt": ""}',
        "\u202e6789",
        "09123456789\n09123456780",
    ],
)
def test_a_hostile_question_finds_nothing_and_breaks_nothing(operator: Client, asked: str) -> None:
    page = operator.post("/ops/trace/", {"asked": asked})
    assert page.status_code == 400
    assert "<script>alert" not in page.content.decode()


def test_a_question_without_the_forms_token_is_refused(operator: Client) -> None:
    operator.handler.enforce_csrf_checks = True
    assert operator.post("/ops/trace/", {"asked": PHONE}).status_code == 403


def test_a_request_id_in_any_spelling_leads_to_its_timeline(operator: Client) -> None:
    stored = submission()
    registrations.store([stored])
    page = operator.post("/ops/trace/?lang=en", {"asked": f" {stored.request_id.upper()} "}, follow=True)
    assert page.redirect_chain[-1][0] == f"/ops/trace/{stored.request_id}/?lang=en"
    assert [hop.name for hop in page.context["trace"].hops] == ["accepted", "stored", "state"]
    shown = page.content.decode()
    assert "0912***6789" in shown
    assert PHONE not in shown


def test_an_id_that_nobody_gave_out_is_not_known(operator: Client) -> None:
    assert "Nothing is known" in operator.get(f"/ops/trace/{uuid4()}/?lang=en").content.decode()


def test_a_referrer_is_text_and_not_markup(operator: Client) -> None:
    stored = submission()
    registrations.store([stored])
    logs.log_request({"_id": stored.request_id, "referrer": "<img src=x onerror=alert(1)>"})
    assert "<img src=x" not in operator.get(f"/ops/trace/{stored.request_id}/").content.decode()


@pytest.mark.parametrize("spelling", [PHONE, "+98 912 345 6789", "۰۹۱۲۳۴۵۶۷۸۹"])
def test_a_phone_lists_its_submissions_and_is_not_shown(operator: Client, spelling: str) -> None:
    older, newer = submission(ago=60), submission()
    registrations.store([older, newer, submission("09351112233")])
    page = operator.post("/ops/trace/?lang=en", {"asked": spelling})
    assert [str(one.pk) for one in page.context["submissions"]] == [newer.request_id, older.request_id]
    shown = page.content.decode()
    assert "0912***6789" in shown
    assert PHONE not in shown
    assert spelling not in shown


def test_a_phone_that_was_sent_very_often_lists_the_newest(operator: Client) -> None:
    registrations.store([submission(ago=n) for n in range(60)])
    page = operator.post("/ops/trace/?lang=en", {"asked": PHONE})
    assert len(page.context["submissions"]) == 50
    assert "there may be more" in page.content.decode()


def test_without_mongodb_the_trace_tells_what_postgresql_knows(operator: Client, servers: Servers) -> None:
    stored = submission()
    registrations.store([stored])
    outbox.park([{"_id": stored.request_id}])
    with without(servers.mongodb):
        page = operator.get(f"/ops/trace/{stored.request_id}/?lang=en")
    assert page.context["trace"].silent == ["MongoDB"]
    assert [hop.name for hop in page.context["trace"].hops] == ["accepted", "stored", "parked", "state"]
    assert "could not be asked" in page.content.decode()


def test_a_dead_letter_is_a_hop_with_its_reason() -> None:
    buried = submission()
    dead_lettering.bury(buried.to_wire(), "refused by PostgreSQL: a test")
    [hop] = [hop for hop in trace.of(UUID(buried.request_id)).hops if hop.name == "dead"]
    assert hop.facts["reason"] == "refused by PostgreSQL: a test"
    assert hop.time is not None


def test_a_broker_that_is_away_is_asked_again_and_found_when_it_is_back(servers: Servers) -> None:
    with without(servers.rabbitmq):
        for _ in range(2):
            assert snapshot.now()["dependencies"]["rabbitmq"] != "ok"
        # Nothing goes on trying behind the page: a thread that did would hold up the process's end.
        eventually(probes._PROBES["rabbitmq"].answer().done)
    eventually(lambda: snapshot.now()["gauges"]["queue"] == 0, within=20)


def test_no_server_is_asked_for_a_stranger_with_a_session_of_nobody(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(snapshot, "now", lambda: asked.append("five servers"))
    client.cookies["sessionid"] = "x" * 32
    assert client.get("/ops/state/").status_code == 403
    assert client.get("/ops/state/", headers={"X-Ops-Pass": "1:x:y"}).status_code == 403
    assert not asked
