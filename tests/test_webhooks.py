"""Webhooks: told in the transaction that stores, signed, sent until taken. The numbers are those of the design."""

import asyncio
import base64
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import standardwebhooks
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from pytest_django.fixtures import Settings

from campaigns.models import CampaignRow
from courier import addresses, deliveries, payloads, webhooks
from courier.deliveries import Due, Result
from courier.delivering import Caller, Deliverer
from courier.models import Attempt, Delivery, Receiver
from courier.rounds import Database
from courier.webhooks import UnfitWebhooks, Webhook
from dashboard.desk import doctor, persons, trace
from landing.models import Event, Registration, StoredSubmission, Subscription
from landing.storing import erasures, places, registrations
from landing.submission import Submission
from lib import phones
from lib.client_ip import Networks
from lib.clock import now
from systemtests import receiver as receivers
from tests.authority import self_signed
from tests.rights import container_roles, rights_of

pytestmark = pytest.mark.django_db(transaction=True)

SECRET, OLD_SECRET = b"n" * 32, b"o" * 24
PHONE = "09123456789"
FAILED = Result(0.1, 500, "HTTP 500")
TAKEN = Result(0.1, 204, "HTTP 204")


@pytest.fixture(autouse=True)
def _fresh_worker(settings: Settings) -> Iterator[None]:
    """A worker that knows of no webhook yet, and a neighbour that may be called."""
    settings.COURIER_ALLOW = Networks(["127.0.0.1"])
    registrations._subscribed.clear()
    yield
    registrations._subscribed.clear()


@pytest.fixture
def receiver() -> Iterator[receivers.Receiver]:
    with receivers.running() as running:
        yield running


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for `localhost` that is its own authority, and its key."""
    return self_signed(tmp_path)


def webhook(*campaigns: str, url: str = "https://crm.example/hook", name: str = "crm") -> Webhook:
    """A webhook that the workers tell of these campaigns, or of all."""
    made = Webhook(name, url, (SECRET,), campaigns)
    deliveries.subscribe([made])
    return made


def submission(phone: str = PHONE, slug: str = "default", **more: Any) -> Submission:
    return Submission(phone, str(uuid4()), "192.0.2.1", "", "", now(), slug, **more)


def store(count: int, slug: str = "default", **more: Any) -> list[Submission]:
    """So many people register."""
    batch = [submission(f"0912{number:07}", slug, **more) for number in range(count)]
    registrations.store(batch)
    return batch


def take() -> list[Delivery]:
    """The courier takes all events, a second after they were written."""
    Event.objects.update(created_at=now() - timedelta(seconds=1))
    while deliveries.take():
        pass
    return list(Delivery.objects.order_by("pk"))


def claimed(name: str = "crm", holder: str = "a") -> Due:
    due = deliveries.claim(name, holder)
    assert due
    return due


def called(to: Webhook, due: Due) -> Result:
    async def once() -> Result:
        caller = Caller(to)
        try:
            return await caller.call(due.message_id, due.body or b"")
        finally:
            await caller.close()

    return asyncio.run(once())


def later(seconds: float) -> None:
    """So much time goes by for all that waits."""
    gone = timedelta(seconds=seconds)
    for one in Delivery.objects.all():
        Delivery.objects.filter(pk=one.pk).update(next_at=one.next_at - gone)
    for row in Receiver.objects.exclude(wait_until=None):
        Receiver.objects.filter(pk=row.pk).update(wait_until=row.wait_until - gone)


# -- What is told


def test_each_new_submission_is_told_once_and_a_repeat_is_not() -> None:
    webhook()
    batch = store(3)
    registrations.store(batch)
    registrations.store([submission(batch[0].phone_number)])
    told = Event.objects.values_list("request_id", flat=True)
    assert len(told) == 4
    assert {one.request_id for one in batch} < {str(one) for one in told}


def test_a_worker_that_knew_of_no_webhook_tells_from_its_next_batch_on() -> None:
    store(1)
    assert not Event.objects.exists()
    webhook()
    registrations.store([submission()])
    assert Event.objects.count() == 1


def test_a_campaign_that_nobody_hears_of_is_not_told() -> None:
    webhook("summer")
    store(2, "gala")
    registrations.store([submission(slug="gala"), submission(slug="summer")])
    [told] = Event.objects.values_list("request_id", flat=True)
    assert str(StoredSubmission.objects.get(pk=told).registration.campaign) == "summer"


def test_what_is_rolled_back_is_not_told() -> None:
    webhook()
    with transaction.atomic():
        store(1)
        transaction.set_rollback(True)
    assert not Event.objects.exists()


def test_a_rehearsal_is_not_told() -> None:
    webhook()
    registrations.store([submission(f"{phones.SYNTHETIC}{'1' * (11 - len(phones.SYNTHETIC))}")])
    assert StoredSubmission.objects.count() == 1
    assert not Event.objects.exists()


def test_those_who_get_a_place_later_are_told_and_nobody_twice() -> None:
    webhook("summer")
    CampaignRow.objects.create(slug="summer")
    places.begin("summer")
    batch = store(5, "summer")
    Event.objects.all().delete()
    places.set_capacity("summer", 2)
    places.cancel("summer", batch[0].phone_number)
    places.set_capacity("summer", 3, dry_run=True)
    told = [str(one.request_id) for one in Event.objects.filter(kind="placed").order_by("pk")]
    assert told == [batch[0].request_id, batch[1].request_id, batch[2].request_id]


# -- What is sent


def test_a_message_says_all_that_the_document_promises() -> None:
    webhook("summer")
    CampaignRow.objects.create(slug="summer", is_numbered=True, capacity=1, admitted=1)
    details = {"city": "tehran", "consent": "0123456789ab", "source": {"utm_source": "a"}}
    first = submission(slug="summer", details=details)
    registrations.store([first])
    [delivery] = take()
    sent = json.loads(claimed().body or b"")
    assert sent["type"] == "submissions.stored"
    assert datetime.fromisoformat(sent["timestamp"]) == delivery.created_at
    assert sent["data"]["submissions"] == [
        {
            "request_id": first.request_id,
            "campaign": "summer",
            "phone_number": PHONE,
            "first": True,
            "accepted_at": first.accepted_at.isoformat().replace("+00:00", "Z"),
            "fields": {"city": "tehran"},
            "consent": "0123456789ab",
            "source": {"utm_source": "a"},
            "place": {"state": "placed", "number": 1},
            "confirmed": False,
        }
    ]


def test_one_submission_of_a_person_is_the_first_even_if_an_older_one_comes_later() -> None:
    webhook()
    newer = submission()
    registrations.store([newer])
    older = Submission(PHONE, str(uuid4()), "", "", "", now() - timedelta(hours=1))
    registrations.store([older])
    take()
    told = json.loads(claimed().body or b"")["data"]["submissions"]
    assert {one["request_id"]: one["first"] for one in told} == {
        newer.request_id: True,
        older.request_id: False,
    }


def test_messages_hold_at_most_fifty_in_the_order_of_storing() -> None:
    webhook()
    for _ in range(2):
        store(60)
    made = take()
    assert [len(one.request_ids) for one in made] == [50, 50, 20]
    assert len({one for delivery in made for one in delivery.request_ids}) == 120


def test_messages_are_no_larger_than_16_kilobytes() -> None:
    webhook("summer")
    store(30, "summer", details={"name": "ن" * 1_000})
    made = take()
    assert len(made) > 3
    for _ in made:
        due = claimed()
        assert due.body
        assert len(due.body) <= 16_384
        deliveries.settle(due, TAKEN)


def test_a_message_waits_a_second_for_others() -> None:
    webhook()
    store(49)
    assert deliveries.take() == 0
    registrations.store([submission()])
    assert deliveries.take() == 50


def test_each_webhook_gets_its_own_campaigns() -> None:
    both = [
        Webhook("all", "https://a.example", (SECRET,)),
        Webhook("one", "https://b.example", (SECRET,), ("gala",)),
    ]
    deliveries.subscribe(both)
    store(2, "gala")
    store(3, "summer")
    take()
    sizes = {one.webhook: len(one.request_ids) for one in Delivery.objects.all()}
    assert sizes == {"all": 5, "one": 2}


def test_the_standards_own_package_verifies_a_message_with_the_old_and_the_new_secret(receiver: Any) -> None:
    to = Webhook("crm", receiver.url, (SECRET, OLD_SECRET))
    deliveries.subscribe([to])
    store(2)
    take()
    assert called(to, claimed()).is_delivered
    [call] = receiver.calls
    for secret in (SECRET, OLD_SECRET):
        assert (
            len(
                standardwebhooks.Webhook(whsec(secret)).verify(call.body, call.headers)["data"]["submissions"]
            )
            == 2
        )
    stranger = whsec(b"x" * 32)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(stranger).verify(call.body, call.headers)


# -- When it is sent again


def test_a_receiver_that_fails_is_tried_ten_times_in_75_hours_and_the_message_is_kept() -> None:
    webhook()
    store(1)
    take()
    ids, one = set(), Delivery.objects.get()
    for pause in (*deliveries.PAUSES, None):
        due = claimed()
        ids.add(due.message_id)
        before = now()
        deliveries.settle(due, FAILED)
        one.refresh_from_db()
        if pause:
            assert 0.75 * pause <= (one.next_at - before).total_seconds() <= 1.25 * pause + 1
            assert deliveries.claim("crm", "a") is None
            later(1.25 * pause + 1)
    assert (one.state, one.tries, one.reason, len(ids)) == ("failed", 10, "HTTP 500", 1)
    assert [(row.outcome, row.status) for row in Attempt.objects.all()] == [("failed", 500)] * 10
    assert sum(deliveries.PAUSES) == pytest.approx(75 * 3600, rel=0.02)


def test_what_failed_for_good_is_replayed_under_the_same_id() -> None:
    webhook()
    store(1)
    [one] = take()
    Delivery.objects.update(state="failed", tries=10)
    out = StringIO()
    call_command("courier", "replay", "--failed", "--dry-run", stdout=out)
    assert deliveries.claim("crm", "a") is None
    call_command("courier", "replay", "crm", "--failed", stdout=out)
    assert out.getvalue().splitlines() == [
        "crm: 1 messages that had failed would be sent again.",
        "crm: 1 messages that had failed are sent again.",
    ]
    assert claimed().message_id == str(one.message_id)


def test_after_five_failures_a_receiver_is_called_once_a_pause_and_at_once_when_it_is_back() -> None:
    webhook()
    for _ in range(4):
        store(50)
    take()
    for _ in range(4):
        deliveries.settle(claimed(), FAILED)
    assert deliveries.claim("crm", "a") is None  # the next try is 5 s away, and nothing else is due
    later(7)
    deliveries.settle(claimed(), FAILED)
    assert Receiver.objects.get().failures == 5
    assert deliveries.claim("crm", "a") is None
    later(7)
    deliveries.settle(claimed(), TAKEN)
    for _ in range(3):
        deliveries.settle(claimed(), TAKEN)
    assert not Delivery.objects.exclude(state="delivered").exists()


def test_the_pause_of_a_receiver_that_is_down_grows_to_five_minutes() -> None:
    webhook()
    receiver = Receiver.objects.get()
    for failures, least, most in ((4, 3.7, 6.3), (5, 7.5, 12.6), (9, 120, 201), (40, 225, 376)):
        receiver.failures = failures
        deliveries._note_health(receiver, FAILED)
        assert receiver.wait_until
        assert least <= (receiver.wait_until - now()).total_seconds() <= most


def test_a_receiver_is_left_alone_as_long_as_it_asks_for() -> None:
    webhook()
    store(60)
    take()
    deliveries.settle(claimed(), Result(0.1, 429, "HTTP 429", retry_after=3_600))
    later(3_500)
    assert deliveries.claim("crm", "a") is None
    later(200)
    assert deliveries.claim("crm", "a")


def test_what_a_receiver_refuses_three_times_steps_aside_and_the_rest_go_on() -> None:
    webhook()
    store(60)
    poison, _ = take()
    refused = Result(0.1, 422, "HTTP 422")
    deliveries.settle(claimed(), refused)
    deliveries.settle(claimed(), TAKEN)
    for _ in range(2):
        later(86_400)
        deliveries.settle(claimed(), refused)
    poison.refresh_from_db()
    assert (poison.state, poison.tries, poison.reason) == ("failed", 3, "HTTP 422")


def test_a_receiver_that_refuses_all_gets_all_when_it_is_mended() -> None:
    """A wrong address or key answers 404 or 401 to everything: that is no fault of a message."""
    webhook()
    store(1)
    take()
    for _ in range(6):
        later(200_000)
        deliveries.settle(claimed(), Result(0.1, 404, "HTTP 404"))
    later(200_000)
    deliveries.settle(claimed(), TAKEN)
    assert Delivery.objects.get().state == "delivered"


def test_a_receiver_that_is_gone_is_paused_until_a_test_succeeds(
    receiver: Any, settings: Settings, tmp_path: Path
) -> None:
    settings.LANDING_DIR = str(tmp_path)
    write(tmp_path, url=receiver.url)
    [to] = webhooks.load(str(tmp_path)) or []
    deliveries.subscribe([to])
    store(1)
    take()
    receiver.mode = 410
    due = claimed()
    deliveries.settle(due, called(to, due))
    later(200_000)
    assert deliveries.claim("crm", "a") is None
    with pytest.raises(CommandError, match="crm has not taken it: HTTP 410"):
        call_command("courier", "test", "crm")
    receiver.mode = 200
    call_command("courier", "test", "crm", stdout=StringIO())
    assert receiver.taken[-1].told["type"] == "webhook.test"
    assert claimed().message_id == due.message_id


def test_two_couriers_never_call_one_receiver_at_the_same_time() -> None:
    webhook()
    store(120)
    take()
    due = claimed(holder="a")
    assert deliveries.claim("crm", "b") is None
    deliveries.settle(due, TAKEN)
    assert claimed(holder="b").message_id != due.message_id


def test_what_a_killed_courier_was_sending_is_sent_by_another_after_twenty_seconds() -> None:
    webhook()
    store(1)
    take()
    due = claimed(holder="killed")
    Receiver.objects.update(held_until=now() - timedelta(seconds=1))
    assert claimed(holder="other").message_id == due.message_id


def test_a_receiver_of_any_temper_costs_a_result_and_no_error(receiver: Any) -> None:
    to = webhook(url=receiver.url)
    due = Due(1, "crm", "id", b"{}")
    seen = {}
    for mode in (204, 302, 500, "reset"):
        receiver.mode = mode
        receiver.answer_headers = {"Location": receiver.url, "Retry-After": "120"}
        result = called(to, due)
        seen[mode] = (result.is_delivered, result.status, result.retry_after)
    assert seen == {
        204: (True, 204, 120.0),
        302: (False, 302, 120.0),
        500: (False, 500, 120.0),
        "reset": (False, None, None),
    }
    assert len(receiver.calls) == 4  # a redirect is not followed


def test_a_receiver_that_hangs_is_let_go(receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("courier.delivering.TIMEOUT", 0.2)
    receiver.mode = "hang"
    result = called(webhook(url=receiver.url), Due(1, "crm", "id", b"{}"))
    assert (result.status, result.reason) == (None, "TimeoutError")


def test_the_couriers_round_takes_and_delivers(receiver: Any) -> None:
    to = webhook(url=receiver.url)
    batch = store(120)

    async def until_taken() -> None:
        stopping = asyncio.Event()
        round_ = asyncio.create_task(Deliverer([to], "a", stopping).run())
        async with asyncio.timeout(20):
            while sum(len(one.ids) for one in receiver.taken) < 120:
                await asyncio.sleep(0.05)
        stopping.set()
        await round_

    asyncio.run(until_taken())
    assert {one for call in receiver.taken for one in call.ids} == {one.request_id for one in batch}
    assert receiver.most_open == 1


# -- Where it is sent

_DISGUISED = (
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::a00:1]",
    "[64:ff9b:1::a00:1]",
    "[2002:a00:1::]",
    "[fec0::1]",
    "0.0.0.0",
    "2130706433",
    "localhost",
)


@pytest.mark.parametrize("host", _DISGUISED)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_private_address_is_called_however_it_is_written(
    host: str, scheme: str, receiver: Any, settings: Settings
) -> None:
    settings.COURIER_ALLOW = Networks([])
    port = receiver.url.split(":")[2].split("/")[0]
    result = called(webhook(url=f"{scheme}://{host}:{port}/hook"), Due(1, "crm", "id", b"{}"))
    assert result.status is None
    assert "may not be called: see COURIER_ALLOW" in result.reason
    assert receiver.connections == 0


def test_a_name_with_a_public_and_a_private_address_is_not_called(
    receiver: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.COURIER_ALLOW = Networks([])
    asked = resolving(monkeypatch, ["198.51.100.1", "127.0.0.1"], ["127.0.0.1"])
    result = called(webhook(url="https://turning.example/"), Due(1, "crm", "id", b"{}"))
    assert "may not be called" in result.reason
    assert receiver.connections == 0
    assert asked == ["turning.example"]


def test_the_address_that_was_judged_is_the_one_that_is_called(
    receiver: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public at the first look and ours at the second: there is no second look."""
    settings.COURIER_ALLOW = Networks(["127.0.0.2"])
    port = receiver.url.split(":")[2].split("/")[0]
    asked = resolving(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
    result = called(webhook(url=f"http://turning.example:{port}/"), Due(1, "crm", "id", b"{}"))
    assert (result.reason, receiver.connections) == ("ConnectError", 0)
    assert asked == ["turning.example"]


def test_http_goes_to_our_own_network_alone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["93.184.216.34"])
    result = called(webhook(url="http://crm.example/"), Due(1, "crm", "id", b"{}"))
    assert "may not be called" in result.reason


def test_a_receiver_s_certificate_is_that_of_its_name(
    certificate: tuple[Path, Path], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.COURIER_ALLOW = Networks(["127.0.0.1"])
    due = Due(1, "crm", "id", b"{}")
    with receivers.running(certificate=certificate) as running:
        address = running.url.replace("http://127.0.0.1", "https://localhost")
        assert called(webhook(url=address), due).reason == "ConnectError"  # of an authority that nobody knows
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert called(webhook(url=address), due).is_delivered
        resolving(monkeypatch, ["127.0.0.1"])
        other = address.replace("localhost", "crm.example")
        assert called(webhook(url=other), due).reason == "ConnectError"
    assert len(running.calls) == 1


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"])
def test_public_addresses_are_public(address: str) -> None:
    assert addresses.is_public(address)


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names have these addresses, at one look after the other. Returns the names that were looked up."""
    asked: list[str] = []

    def getaddrinfo(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


# -- People who are erased


def test_an_erased_person_leaves_what_waits() -> None:
    webhook()
    gone, stays = store(2)
    take()
    registrations.store([late := submission(gone.phone_number)])
    erasures.erase(gone.phone_number, erasures.mark_of(gone.phone_number, ""), lambda *_: None)
    assert not Event.objects.exists()
    body = claimed().body or b""
    assert [one["request_id"] for one in json.loads(body)["data"]["submissions"]] == [stays.request_id]
    assert late.request_id not in body.decode()


def test_a_message_of_which_all_are_erased_is_not_sent(receiver: Any) -> None:
    webhook(url=receiver.url)
    [gone] = store(1)
    take()
    erasures.erase(gone.phone_number, erasures.mark_of(gone.phone_number, ""), lambda *_: None)
    due = claimed()
    assert due.body is None
    deliveries.end_empty(due)
    assert (Delivery.objects.get().state, deliveries.claim("crm", "a")) == ("empty", None)


# -- The file


def write(directory: Path, text: str = "", **values: str) -> None:
    """A webhooks.toml: this text, or one webhook with these values."""
    usual = {"name": "crm", "url": "https://crm.example/hook", "secret": whsec(SECRET)} | values
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in usual.items() if value)
    (directory / webhooks.FILE).write_text(text or f"[[webhook]]\n{lines}")


def whsec(secret: bytes) -> str:
    return webhooks.PREFIX + base64.b64encode(secret).decode()


def test_a_secret_may_lie_in_a_file_with_the_old_one_below_the_new(tmp_path: Path) -> None:
    (tmp_path / "crm.secret").write_text(f"{whsec(SECRET)}\n{whsec(OLD_SECRET)}\n")
    write(tmp_path, secret="", secret_file="crm.secret")
    [one] = webhooks.load(str(tmp_path)) or []
    assert one == Webhook("crm", "https://crm.example/hook", (SECRET, OLD_SECRET))


def test_without_a_file_there_are_no_webhooks(tmp_path: Path) -> None:
    assert webhooks.load("") is webhooks.load(str(tmp_path)) is None


def test_an_empty_file_ends_all_webhooks(tmp_path: Path) -> None:
    webhook()
    (tmp_path / webhooks.FILE).write_text("# none any more\n")
    listed = webhooks.load(str(tmp_path))
    assert listed == []

    async def start() -> None:
        stopping = asyncio.Event()
        round_ = asyncio.create_task(Deliverer(listed, "a", stopping).run())
        async with asyncio.timeout(20):
            while await Database("this test").do(Subscription.objects.exists):
                await asyncio.sleep(0.05)
        stopping.set()
        await round_

    asyncio.run(start())
    registrations.store([submission()])
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"name": "CRM"}, "name is 'CRM'"),
        ({"name": "../x"}, "Write small letters"),
        ({"url": "crm.example"}, "url is no address"),
        ({"url": "file:///etc/passwd"}, "url is no address"),
        ({"url": "https://crm.example/ x"}, "url is no address"),
        ({"url": "https://crm.example:99999/"}, "url is no address"),
        ({"url": "https://crm..example/"}, "url is no address"),
        ({"url": f"https://{'a' * 64}.example/"}, "url is no address"),
        ({"url": "https:///hook"}, "url is no address"),
        ({"url": "https://crm.example/\u06f1"}, "url is no address"),
        ({"url": "https://a:b@crm.example/"}, "url holds a password"),
        ({"secret": "hunter2"}, "a secret is not whsec_ and 24 to 64 bytes"),
        ({"secret": whsec(b"short")}, "a secret is not whsec_"),
        ({"secret": ""}, "write secret_file"),
        ({"secret_file": "x"}, "write secret_file"),
        ({"secret": "", "secret_file": "missing"}, "secret_file cannot be read"),
        ({"campaigns": "all"}, "campaigns is no list"),
        ({"colour": "red"}, "colour is not known"),
    ],
)
def test_a_file_with_a_fault_is_refused_with_its_place(
    values: dict[str, str], fault: str, tmp_path: Path, settings: Settings
) -> None:
    write(tmp_path, **values)
    settings.LANDING_DIR = str(tmp_path)
    with pytest.raises(CommandError, match=r"webhooks.toml: \[\[webhook\]\] 1: ") as raised:
        call_command("courier")
    assert fault in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "[[webhook]",
        "webhook = 1",
        "[crm]\n",
        "webhook = [1]",
        "\ufeff\x00",
        '[[webhook]]\nname="a"\ncampaigns=[]\n',
    ],
)
def test_a_file_that_is_no_list_of_webhooks_is_refused(text: str, tmp_path: Path) -> None:
    write(tmp_path, text)
    with pytest.raises(UnfitWebhooks, match=r"webhooks\.toml"):
        webhooks.load(str(tmp_path))


def test_two_webhooks_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    file = tmp_path / webhooks.FILE
    file.write_text(file.read_text() * 2)
    with pytest.raises(UnfitWebhooks, match="two webhooks are named crm"):
        webhooks.load(str(tmp_path))


# -- What operators do


def test_a_new_webhook_is_sent_what_was_stored_before_it_and_that_only_once() -> None:
    before = store(60)
    webhook()
    registrations.store([submission("09350000000")])
    take()
    out = StringIO()
    for _ in range(2):
        call_command("courier", "replay", "crm", "--since", "1h", stdout=out)
    assert out.getvalue().splitlines() == [
        "crm: 0 messages are sent again, and 60 submissions that were in none yet.",
        "crm: 0 messages are sent again, and 0 submissions that were in none yet.",
    ]
    listed = [str(one) for delivery in Delivery.objects.all() for one in delivery.request_ids]
    assert len(listed) == len(set(listed)) == 61
    assert {one.request_id for one in before} < set(listed)


def test_what_was_delivered_is_replayed_under_its_id() -> None:
    webhook()
    store(1)
    take()
    due = claimed()
    deliveries.settle(due, TAKEN)
    assert deliveries.replay_since("crm", now() - timedelta(hours=1)) == (1, 0)
    assert claimed().message_id == due.message_id


def test_status_says_what_waits_and_what_has_failed() -> None:
    webhook()
    store(120)
    take()
    deliveries.settle(claimed(), FAILED)
    Delivery.objects.filter(pk=Delivery.objects.order_by("-pk").values("pk")[:1]).update(state="failed")
    out = StringIO()
    call_command("courier", "status", "--json", stdout=out)
    [one] = json.loads(out.getvalue())["webhooks"]
    assert (one["name"], one["waiting"], one["failed"], one["failures"]) == ("crm", 2, 1, 1)
    deliveries.subscribe([])
    call_command("courier", "status", stdout=out)
    assert "in no courier's file" in out.getvalue()


@pytest.mark.parametrize(
    "words", [["replay", "nobody", "--failed"], ["test", "nobody"], ["replay", "--since", "soon"], []]
)
def test_a_wrong_word_is_answered_with_the_next_step(words: list[str], settings: Settings) -> None:
    settings.SENDS_CODES, settings.LANDING_DIR = False, ""
    with pytest.raises(CommandError, match=r"Known: none|It has: none|soon|There is nothing to send"):
        call_command("courier", *words)


def test_what_was_delivered_long_ago_is_deleted_and_what_failed_is_kept() -> None:
    webhook()
    store(120)
    take()
    deliveries.settle(claimed(), TAKEN)
    failed = Delivery.objects.filter(state="waiting").order_by("pk")[:1]
    Delivery.objects.filter(pk__in=failed).update(state="failed")
    Delivery.objects.update(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert (deliveries.purge(), deliveries.purge()) == (1, 0)
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["failed", "waiting"]
    assert not Attempt.objects.exists()


# -- The rights of each process


def test_each_process_has_the_rights_for_its_part_and_no_more() -> None:
    roles = [f"breakwater_{role}" for role in ("worker", "web", "toolbox", "courier")]
    with container_roles(*roles):
        with rights_of("breakwater_courier"):
            webhook()
        with rights_of("breakwater_worker"):
            registrations.store([submission()])
        with rights_of("breakwater_courier"):
            take_as_courier()
            deliveries.settle(claimed(), FAILED)
            deliveries.purge()
        with rights_of("breakwater_toolbox"):
            deliveries.replay_failed("crm")
            deliveries.replay_since("crm", now() - timedelta(hours=1))
            call_command("courier", "status", stdout=StringIO())
        with rights_of("breakwater_courier"), pytest.raises(Exception, match="permission denied"):
            Registration.objects.all().update(status="confirmed")


def take_as_courier() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(1.1)")
    assert deliveries.take() == 1


def test_ids_of_a_message_are_those_of_stored_submissions() -> None:
    webhook()
    [one] = store(1)
    [delivery] = take()
    assert delivery.request_ids == [UUID(one.request_id)]
    assert list(payloads.read(delivery.request_ids)) == delivery.request_ids


# -- What operators see


def test_doctor_names_what_has_failed_and_who_is_down_and_that_no_courier_works() -> None:
    webhook()
    store(120)
    take()
    deliveries.settle(claimed(), FAILED)
    Delivery.objects.filter(pk=Delivery.objects.order_by("-pk").values("pk")[:1]).update(state="failed")
    registrations.store([submission()])
    Event.objects.update(created_at=now() - timedelta(seconds=90))
    said = [one.saw for one in doctor.examine() if one.part == "webhooks"]
    assert said[0].startswith("events have waited for a courier for 9")
    assert said[1:] == [
        "crm: 1 messages have failed for good",
        "crm: 1 calls in a row have failed",
        "crm",
    ]
    deliveries.subscribe([])
    assert "crm: 2 messages wait, and nobody sends" in [one.saw for one in doctor.examine()]


def test_the_trace_of_a_registration_and_what_is_told_of_a_person_name_its_messages() -> None:
    webhook()
    [one] = store(1)
    take()
    deliveries.settle(claimed(), TAKEN)
    [hop] = [hop for hop in trace.of(UUID(one.request_id)).hops if hop.name == "webhook"]
    assert (hop.facts["webhook"], hop.facts["state"]) == ("crm", "delivered")
    told = persons.tell(one.phone_number)["webhooks"]
    assert [(row["webhook"], row["state"]) for row in told] == [("crm", "delivered")]


def test_staff_see_messages_and_calls_and_find_them_by_a_request_id(admin_client: Client) -> None:
    webhook()
    [one] = store(1)
    take()
    due = claimed()
    deliveries.settle(due, FAILED)
    found = admin_client.get("/admin/courier/delivery/", {"q": one.request_id}).content.decode()
    assert due.message_id in found
    assert (
        due.message_id
        not in admin_client.get("/admin/courier/delivery/", {"q": str(uuid4())}).content.decode()
    )
    calls = admin_client.get("/admin/courier/attempt/", {"q": due.message_id}).content.decode()
    assert "HTTP 500" in calls
    assert one.phone_number not in found + calls
