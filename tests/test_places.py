"""Numbers and places: each person has one number, exactly `capacity` have a place, and everybody knows their position."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from threading import Barrier, Thread
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from pytest_django.fixtures import Settings
from redis import Redis

from campaigns.line import Line
from campaigns.models import CampaignRow, NoSuchCampaign
from dashboard.live import exposition, snapshot
from landing.door import status
from landing.models import Registration, StoredSubmission
from landing.page import branding
from landing.storing import lines, places, registrations
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib import phones
from lib.clock import now
from tests.campaign_files import landing_dir
from tests.messages import kept
from tests.rights import container_roles, rights_of
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

START = now()
WITH_PLACES = "[campaign]\nplaces = true\n"


@pytest.fixture(autouse=True)
def _no_lines() -> Iterator[None]:
    lines.note({})
    yield
    lines.note({})


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Any]:
    """A campaign with places, and one without."""
    with landing_dir(tmp_path, gala=WITH_PLACES, summer="") as write:
        call_command("migrate", verbosity=0)
        yield write


def sent(n: int, slug: str = "gala", request_id: str = "") -> Submission:
    time = START + timedelta(milliseconds=n)
    return Submission(f"0912{n:07}", request_id or str(uuid4()), "192.0.2.1", "", "", time, slug)


def numbers(slug: str = "gala") -> dict[str, Any]:
    return dict(Registration.objects.filter(campaign__slug=slug).values_list("phone_number", "number"))


def line(slug: str = "gala") -> Line:
    return CampaignRow.objects.get(slug=slug).line


def store_together(batches: Sequence[Sequence[Submission]], workers: int = 4) -> None:
    def store(batch: Sequence[Submission]) -> None:
        try:
            registrations.store(batch)
        finally:
            connection.close()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(store, batches))


def in_batches(submissions: Sequence[Submission], size: int = 100) -> list[Sequence[Submission]]:
    return [submissions[start : start + size] for start in range(0, len(submissions), size)]


# -- the line itself, with the values of its design


def test_the_values_of_the_line_s_design() -> None:
    line = Line(last_number=5000).with_capacity(1000)
    assert (line.admitted, line.placed, line.waiting) == (1000, 1000, 4000)
    assert [line.position_of(n) for n in range(1001, 5001)] == list(range(1, 4001))
    for number in [*range(5, 105, 10), 1020, 1030, 1040]:
        line = line.without(number)
    assert (line.admitted, line.placed, line.waiting) == (1010, 1000, 3987)
    assert [line.position_of(n) for n in (1011, 1060, 5000)] == [1, 47, 3987]
    raised = line.with_capacity(1200)
    assert (raised.admitted, raised.placed, raised.position_of(1214)) == (1213, 1200, 1)
    lowered = raised.with_capacity(900)
    assert lowered.placed == 1200
    left = lowered.without(1)
    assert (left.placed, left.admitted) == (1199, 1213)


def test_free_places_wait_for_those_who_come() -> None:
    line = Line(last_number=3).with_capacity(10).without(2)
    assert (line.admitted, line.placed, line.waiting) == (11, 2, 0)
    assert line.state_of(2) == "cancelled"


def test_beyond_the_line_people_are_declined() -> None:
    line = Line(last_number=20, longest=5).with_capacity(10)
    assert [line.state_of(n) for n in (10, 11, 15, 16, 20)] == [
        "placed",
        "waiting",
        "waiting",
        "declined",
        "declined",
    ]
    assert (line.waiting, line.declined, line.is_full) == (5, 5, True)
    assert line.without(3).state_of(16) == "waiting"


@pytest.mark.parametrize("known", [Line(last_number=9, longest=0), Line(last_number=9).with_capacity(3)])
def test_a_line_without_capacity_or_without_an_end_is_never_full(known: Line) -> None:
    assert not known.is_full


def test_a_line_of_nobody_is_full_with_the_last_place() -> None:
    assert not Line(last_number=9, longest=0).with_capacity(10).is_full
    assert Line(last_number=10, longest=0).with_capacity(10).is_full


def test_as_many_are_placed_as_there_are_places_whatever_is_done() -> None:
    chance = random.Random(7)
    for _ in range(300):
        line = Line(last_number=chance.randrange(40)).with_capacity(chance.randrange(20))
        for _ in range(chance.randrange(20)):
            if line.last_number and chance.random() < 0.7:
                line = line.without(chance.randrange(line.last_number) + 1)
            else:
                line = line.with_capacity(line.capacity + chance.randrange(5))
        states = [line.state_of(n) for n in range(1, line.last_number + 1)]
        alive = len(states) - states.count("cancelled")
        assert states.count("placed") == line.placed == min(line.capacity or 0, alive)
        waiting = [n for n, state in enumerate(states, 1) if state == "waiting"]
        assert [line.position_of(n) for n in waiting] == list(range(1, line.waiting + 1))


# -- numbers


def test_numbers_have_no_gap_and_no_redelivery_changes_one(write: Any) -> None:
    crowd = [sent(n) for n in range(1000)]
    store_together(in_batches(crowd))
    first = numbers()
    assert sorted(first.values()) == list(range(1, 1001))
    again = crowd * 2
    random.Random(1).shuffle(again)
    store_together(in_batches(again))
    assert numbers() == first
    assert line().last_number == 1000


def test_within_a_batch_the_earlier_is_the_lower_number(write: Any) -> None:
    crowd = [sent(n) for n in range(50)]
    registrations.store(crowd[::-1])
    assert numbers() == {one.phone_number: n for n, one in enumerate(crowd, 1)}


def test_a_person_who_comes_again_keeps_the_number(write: Any) -> None:
    registrations.store([sent(1), sent(2)])
    stored = registrations.store([sent(2), sent(3), sent(3)])
    assert sorted(number or 0 for _, number in stored.values()) == [2, 3, 3]
    assert line().last_number == 3


def test_a_campaign_without_places_gives_no_number(write: Any) -> None:
    registrations.store([sent(1, "summer"), sent(1, "gala"), sent(1, "default")])
    assert (numbers("summer"), numbers("default")) == ({"09120000001": None}, {"09120000001": None})
    assert numbers("gala") == {"09120000001": 1}


def test_a_batch_that_is_refused_costs_no_number(write: Any) -> None:
    too_long = Submission("0912345678901234567890", str(uuid4()), "", "", "", START, "gala")
    with pytest.raises(Exception, match="too long"):
        registrations.store([sent(1), too_long])
    registrations.store([sent(1)])
    assert numbers() == {"09120000001": 1}


def test_a_rehearsal_takes_no_place(write: Any) -> None:
    synthetic = Submission(f"{phones.SYNTHETIC}000000", str(uuid4()), "", "", "", START, "gala")
    assert registrations.store([synthetic])[synthetic.request_id].number is None
    places.begin("gala")
    assert line().last_number == 0


def test_places_that_begin_in_mid_campaign_number_everybody(write: Any) -> None:
    registrations.store([sent(n, "summer") for n in (3, 1, 2)])
    assert places.begin("summer") == 3
    registrations.store([sent(0, "summer")])
    assert numbers("summer") == {"09120000001": 1, "09120000002": 2, "09120000003": 3, "09120000000": 4}


def test_places_that_begin_under_load_leave_nobody_without_a_number(write: Any) -> None:
    crowd = [sent(n, "summer") for n in range(4000)]
    loading = Thread(target=store_together, args=[in_batches(crowd, 20)])
    loading.start()
    eventually(lambda: Registration.objects.count() > 500, within=30)
    places.begin("summer")
    loading.join()
    assert sorted(numbers("summer").values()) == list(range(1, 4001))


def test_who_stores_while_places_begin_is_numbered_after_it(write: Any) -> None:
    """The one interleaving that matters: a batch is in its statement, and the next has not begun."""
    registrations.store([sent(1, "summer")])
    begun, stored = Barrier(2, timeout=20), Barrier(2, timeout=20)

    def hold() -> None:
        with transaction.atomic():
            registrations.store([sent(2, "summer")])
            begun.wait()
            stored.wait()
        connection.close()

    holding = Thread(target=hold)
    holding.start()
    begun.wait()
    beginning = ThreadPoolExecutor(2)
    begins = beginning.submit(_closing, places.begin, "summer")
    stores = beginning.submit(_closing, registrations.store, [sent(3, "summer")])
    stored.wait()
    holding.join()
    begins.result(20)
    stores.result(20)
    assert sorted(numbers("summer").values()) == [1, 2, 3]


def test_batches_of_other_campaigns_too_have_no_number_twice_while_places_begin(write: Any) -> None:
    """Each holds the row of a campaign with places already, and waits for the table; neither the row of the third."""
    CampaignRow.objects.create(slug="early")
    places.begin("early")
    registrations.store([sent(1, "gala"), sent(1, "early")])  # known to give numbers
    begun, waiting = Barrier(2, timeout=20), Barrier(2, timeout=20)

    def begin() -> None:
        with transaction.atomic():
            places.begin("summer")
            begun.wait()
            waiting.wait()
        connection.close()

    with ThreadPoolExecutor(3) as pool:
        beginning = pool.submit(begin)
        begun.wait()
        batches = ([sent(2, "gala"), sent(2, "summer")], [sent(3, "early"), sent(3, "summer")])
        storing = [pool.submit(_closing, registrations.store, batch) for batch in batches]
        eventually(lambda: _waits_for_a_lock() == 2, within=2.5)
        waiting.wait()
        for one in (beginning, *storing):
            one.result(20)
    assert sorted(numbers("summer").values()) == [1, 2]


def _waits_for_a_lock() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return int(cursor.fetchone()[0])


def _closing(act: Any, *arguments: Any) -> Any:
    try:
        return act(*arguments)
    finally:
        connection.close()


# -- places


def test_places_go_to_the_first_and_a_cancelled_one_to_the_next(write: Any) -> None:
    registrations.store([sent(n) for n in range(1, 6)])
    places.set_capacity("gala", 2)
    change = places.cancel("gala", "09120000001")
    assert (change.number, change.before.placed, change.after.placed) == (1, 2, 2)
    assert [line().state_of(n) for n in range(1, 6)] == [
        "cancelled",
        "placed",
        "placed",
        "waiting",
        "waiting",
    ]
    assert places.cancel("gala", "09120000001").after == change.after


def test_a_dry_run_changes_nothing(write: Any) -> None:
    registrations.store([sent(n) for n in range(1, 4)])
    assert places.set_capacity("gala", 2, dry_run=True).after.placed == 2
    assert line().capacity is None
    places.set_capacity("gala", 1)
    assert places.cancel("gala", "09120000001", dry_run=True).after.admitted == 2
    assert line().cancelled == ()


def test_cancelling_and_raising_at_once_leaves_exactly_as_many_as_there_are_places(write: Any) -> None:
    registrations.store([sent(n) for n in range(1000)])
    places.set_capacity("gala", 100)

    def cancel(n: int) -> None:
        _closing(places.cancel, "gala", f"0912{n:07}")

    def raise_to(capacity: int) -> None:
        _closing(places.set_capacity, "gala", capacity)

    loading = Thread(target=store_together, args=[in_batches([sent(n) for n in range(1000, 3000)], 50)])
    loading.start()
    with ThreadPoolExecutor(8) as pool:
        acts = [pool.submit(cancel, n) for n in range(0, 300, 3)]
        acts += [pool.submit(raise_to, capacity) for capacity in range(110, 400, 10)]
    loading.join()
    for act in acts:
        act.result()
    places.set_capacity("gala", 500)
    assert (line().placed, line().last_number, len(line().cancelled)) == (500, 3000, 100)
    assert sorted(numbers().values()) == list(range(1, 3001))


@pytest.mark.parametrize("slug", ["summer", "nowhere"])
def test_without_numbers_or_a_campaign_there_is_nothing_to_set_or_to_cancel(write: Any, slug: str) -> None:
    for act in (lambda: places.set_capacity(slug, 3), lambda: places.cancel(slug, "09120000001")):
        with pytest.raises((places.NotPossible, NoSuchCampaign)):
            act()


# -- draws


def test_a_draw_by_time_places_the_first(write: Any) -> None:
    crowd = [sent(n, "summer") for n in range(300)]
    shuffled = random.Random(3).sample(crowd, 300)
    for batch in in_batches(shuffled, 7):
        registrations.store(batch)
    places.draw("summer", 50, "first")
    placed = {phone for phone, number in numbers("summer").items() if number and number <= 50}
    assert placed == {one.phone_number for one in crowd[:50]}
    with pytest.raises(places.NotPossible):
        places.draw("summer", 50, "first")


def test_a_lottery_can_be_checked_by_anybody(write: Any) -> None:
    crowd = [sent(n, "summer") for n in range(300)]
    registrations.store(crowd)
    registrations.store([sent(n, "summer") for n in range(300, 310)] + [crowd[0]])
    again = Submission(crowd[0].phone_number, str(uuid4()), "", "", "", START + timedelta(hours=1), "summer")
    registrations.store([again])
    places.draw("summer", 50, "lottery", "x")
    first = {
        one.registration.phone_number: str(one.pk)
        for one in StoredSubmission.objects.select_related("registration").order_by("-accepted_at", "-pk")
    }
    by_ticket = sorted(first, key=lambda phone: sha256(f"x{first[phone]}".encode()).hexdigest())
    assert numbers("summer") == {phone: n for n, phone in enumerate(by_ticket, 1)}
    assert line("summer").placed == 50


# -- what visitors are told


def told(client: Client, task_id: str) -> Any:
    return client.get(f"/api/register/{task_id}/").json()


def register(client: Client, n: int, slug: str = "gala") -> Any:
    body = f'{{"phone_number": "0912{n:07}"}}'
    return client.post(f"/api/register/{slug}/", body, content_type="application/json")


def test_a_visitor_is_told_the_place_and_after_flushall_too(
    write: Any, client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [register(client, n).json()["task_id"] for n in range(1, 5)]
    save_phones_async(kept())
    places.set_capacity("gala", 2)
    places.cancel("gala", "09120000001")
    lines.note(lines.read())

    def all_told() -> Any:
        return [told(client, task_id)["place"] for task_id in ids]

    first = all_told()
    assert first == [
        {"state": "cancelled", "number": 1},
        {"state": "placed", "number": 2},
        {"state": "placed", "number": 3},
        {"state": "waiting", "number": 4, "position": 1},
    ]
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushall()
    monkeypatch.setattr(status, "YOUNG", 0)  # the ids of the last seconds are not looked up in PostgreSQL
    assert all_told() == first


def test_without_a_capacity_and_before_the_announcement_nobody_is_told(write: Any, client: Client) -> None:
    task_id = register(client, 1).json()["task_id"]
    save_phones_async(kept())
    lines.note(lines.read())
    assert told(client, task_id) == {"task_id": task_id, "status": "Registered"}
    places.set_capacity("gala", 2)
    announces = now() + timedelta(hours=1)
    write("gala", f"{WITH_PLACES}announces = {announces.isoformat()}\n")
    call_command("migrate", verbosity=0)
    lines.note(lines.read())
    assert "place" not in told(client, task_id)
    CampaignRow.objects.update(announces=now())
    lines.note(lines.read())
    assert told(client, task_id)["place"]["state"] == "placed"


def test_after_a_draw_those_who_registered_before_are_told(write: Any, client: Client) -> None:
    task_id = register(client, 1, "summer").json()["task_id"]
    save_phones_async(kept())
    places.draw("summer", 1, "first")
    lines.note(lines.read())
    assert told(client, task_id)["place"] == {"state": "placed", "number": 1}


def test_a_full_line_refuses_and_says_so_on_the_page(write: Any, client: Client) -> None:
    write("gala", f"{WITH_PLACES}line = 1\n")
    call_command("migrate", verbosity=0)
    registrations.store([sent(n) for n in range(1, 4)])
    places.set_capacity("gala", 2)
    lines.note(lines.read())
    answer = register(client, 9)
    assert (answer.status_code, answer.json()["code"]) == (403, "campaign_full")
    assert "All places are taken" in client.get("/c/gala/en/").content.decode()
    assert client.post("/c/gala/en/", {"phone_number": "09120000009"}).status_code == 403
    assert kept() == []


def test_a_campaign_that_is_over_and_full_is_over_for_the_page_as_for_the_api(
    write: Any, client: Client
) -> None:
    write("gala", f"{WITH_PLACES}line = 0\ncloses = {now().isoformat()}\n")
    lines.note({"gala": Line(longest=0).with_capacity(0)})
    assert register(client, 9).json()["code"] == "campaign_closed"
    assert "Registration is over" in client.get("/c/gala/en/").content.decode()


@pytest.mark.parametrize("language", ["fa", "en"])
def test_a_page_without_javascript_tells_the_position(write: Any, client: Client, language: str) -> None:
    ids = [register(client, n).json()["task_id"] for n in range(1, 4)]
    save_phones_async(kept())
    places.set_capacity("gala", 1)
    lines.note(lines.read())
    page = client.get(f"/c/gala/{language}/registration/{ids[2]}/").content.decode()
    assert {"fa": "نفر ۲ در صف", "en": "number 2 in line"}[language] in page
    assert 'http-equiv="refresh" content="30"' in page
    assert (
        'http-equiv="refresh"'
        not in client.get(f"/c/gala/{language}/registration/{ids[0]}/").content.decode()
    )


@pytest.mark.parametrize(
    "table", ["places = 3", "places = 'yes'", "line = -1", "line = true", "line = '5'", "announces = 'soon'"]
)
def test_a_wrong_value_in_the_file_is_named_with_its_line(write: Any, table: str) -> None:
    write("gala", f"[campaign]\n{table}\n")
    [fault] = branding.check()
    assert ", line 2: [campaign]" in str(fault.msg)


# -- what staff see and do


def person(*permissions: str) -> Any:
    staff = get_user_model().objects.create_user("sara", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return staff


def audited() -> list[tuple[str, str]]:
    return list(LogEntry.objects.order_by("pk").values_list("change_message", "object_repr"))


def test_staff_set_a_capacity_and_it_is_audited(write: Any, client: Client) -> None:
    registrations.store([sent(n) for n in range(1, 4)])
    pk = CampaignRow.objects.get(slug="gala").pk
    client.force_login(person("view_campaignrow", "change_campaignrow"))
    with (
        container_roles("breakwater_web", "breakwater_worker", "breakwater_toolbox"),
        rights_of("breakwater_web"),
    ):
        answer = client.post(
            f"/admin/campaigns/campaignrow/{pk}/change/",
            {"capacity": "2"},
            follow=True,
            headers={"Accept-Language": "en"},
        )
    assert "2 have a place now; before 0 had one." in answer.content.decode()
    assert line().placed == 2
    assert audited() == [("set a capacity", "gala: 2")]


@pytest.mark.parametrize("capacity", ["", "-1", "many", "1e9"])
def test_a_capacity_that_is_none_is_refused(write: Any, admin_client: Client, capacity: str) -> None:
    pk = CampaignRow.objects.get(slug="gala").pk
    admin_client.post(f"/admin/campaigns/campaignrow/{pk}/change/", {"capacity": capacity})
    assert line().capacity is None


def test_who_may_only_look_changes_nothing(write: Any, client: Client) -> None:
    registrations.store([sent(1)])
    pk = CampaignRow.objects.get(slug="gala").pk
    client.force_login(person("view_campaignrow", "view_registration"))
    assert client.post(f"/admin/campaigns/campaignrow/{pk}/change/", {"capacity": "2"}).status_code == 403
    one = Registration.objects.get().pk
    assert client.post(f"/admin/landing/registration/{one}/cancel/", {"sure": "yes"}).status_code == 403
    assert (line().capacity, line().cancelled) == (None, ())


def test_a_campaign_without_numbers_has_nothing_to_set(write: Any, admin_client: Client) -> None:
    pk = CampaignRow.objects.get(slug="summer").pk
    assert (
        'name="capacity"'
        not in admin_client.get(f"/admin/campaigns/campaignrow/{pk}/change/").content.decode()
    )


def test_staff_cancel_a_place_after_a_question_and_it_is_audited(write: Any, client: Client) -> None:
    registrations.store([sent(n) for n in range(1, 4)])
    places.set_capacity("gala", 2)
    first = Registration.objects.get(number=1).pk
    client.force_login(person("view_registration", "cancel_place"))
    page = f"/admin/landing/registration/{first}"
    assert "1: placed" in client.get(f"{page}/change/", headers={"Accept-Language": "en"}).content.decode()
    assert b"number 1" in client.post(f"{page}/cancel/", headers={"Accept-Language": "en"}).content
    assert line().cancelled == ()
    with (
        container_roles("breakwater_web", "breakwater_worker", "breakwater_toolbox"),
        rights_of("breakwater_web"),
    ):
        client.post(f"{page}/cancel/", {"sure": "yes"})
    assert line().cancelled == (1,)
    assert audited() == [("cancelled a place", "gala: number 1")]


def test_an_export_of_a_campaign_tells_numbers_and_places(write: Any, tmp_path: Path) -> None:
    registrations.store([sent(n) for n in range(1, 4)])
    places.set_capacity("gala", 2)
    places.cancel("gala", "09120000001")
    call_command("export", "--format", "jsonl", "--campaign", "gala", "--output", str(tmp_path / "all"))
    rows = [orjson.loads(row) for row in (tmp_path / "all").read_bytes().splitlines()]
    assert [(row["number"], row["place"]) for row in rows] == [(1, "cancelled"), (2, "placed"), (3, "placed")]


def test_the_live_page_and_the_metrics_tell_the_places(write: Any) -> None:
    registrations.store([sent(n) for n in range(1, 4)])
    places.set_capacity("gala", 2)
    lines.note(lines.read())
    told = {one["campaign"]: one for one in snapshot.now()["campaigns"]}
    assert set(told) == {"default", "gala", "summer"}
    assert (told["gala"]["numbered"], told["gala"]["placed"], told["gala"]["waiting"]) == (3, 2, 1)
    assert 'breakwater_campaign_waiting{campaign="gala"} 1.0' in exposition.text().decode()
