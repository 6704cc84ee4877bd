"""One-time codes: asked for, sent once, judged by when they were typed. The numbers are those of the design."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery.exceptions import Reject
from django.conf import settings as current
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection
from django.test import Client
from pytest_django.fixtures import Settings
from redis import Redis

from confirmations import (
    answers,
    asks,
    claims,
    codes,
    forgetting,
    messages,
    secret,
    states,
    switches,
    tries,
    wire,
)
from confirmations.asks import Asked
from confirmations.claims import Outcome
from confirmations.line import Line
from confirmations.models import Ask, Budget, Challenge, Switch, Try
from confirmations.tasks import confirm_async
from confirmations.tries import Typed
from courier import sending
from dashboard.desk import doctor, export, trace
from dashboard.live import codes as live_codes
from dashboard.live import counters, exposition
from dashboard.proof import retention
from landing.door import status
from landing.keeping import queues
from landing.models import Registration
from landing.page import branding
from landing.storing import registrations
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib import request_ids
from lib.clock import now
from tests.campaign_files import landing_dir
from tests.messages import kept, ready
from tests.rights import container_roles, rights_of

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "k" * 32
PHONE = "09123456789"
SENT = Outcome("accepted", "file", "1")


@pytest.fixture(autouse=True)
def _codes_on(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """A campaign that asks for a proof, and one that does not."""
    settings.SENDS_CODES, settings.CODE_GATEWAY, settings.CODE_KEY = True, ["file"], KEY
    settings.HAS_CODE_KEY = True
    with landing_dir(tmp_path, gala='[campaign]\nconfirm = "sms"\n', summer=""):
        call_command("migrate", verbosity=0)
        yield


class Ticket:
    """A visitor's registration, and what the visitor does with it."""

    def __init__(self, phone: str = PHONE, slug: str = "gala", group: str = "192.0.2.1") -> None:
        self.id = request_ids.new(b"any")
        self.phone, self.group = phone, group
        registrations.store([Submission(phone, self.id, group, "", "", now(), slug)])

    def ask(self, at: datetime | None = None) -> "Ticket":
        asks.note([Asked(self.id, at or now(), "fa", "campaign.example", self.group)])
        return self

    def type(self, code: str, at: datetime | None = None) -> str:
        return tries.judge(Typed(self.id, at or now(), str(uuid4()), code))

    @property
    def state(self) -> str:
        known = states.of([self.id])
        return known[self.id].told(None)["status"] if known else "unasked"

    @property
    def code(self) -> str:
        """What is in the SMS."""
        challenge = Challenge.objects.filter(registration__submissions=self.id).latest("pk")
        return codes.of(KEY.encode(), bytes(challenge.nonce), self.phone)

    @property
    def wrong(self) -> str:
        return f"{(int(self.code) + 1) % 1_000_000:06}"

    @property
    def is_confirmed(self) -> bool:
        return Registration.objects.get(submissions=self.id).status == Registration.Status.CONFIRMED


def send(outcome: Outcome = SENT, most: int = 100) -> Any:
    """Do what the courier does in one round; return the errands."""
    claimed = claims.claim("one", most)
    for errand in claimed.errands:
        claims.settle(errand, outcome)
    return claimed.errands


def age(ticket: Ticket, seconds: float) -> None:
    """Let everything of a ticket have happened so long ago."""
    by = timedelta(seconds=seconds)
    for ask in Ask.objects.filter(request_id=ticket.id):
        for name in ("asked_at", "here_at", "claimed_at", "settled_at"):
            if moment := getattr(ask, name):
                setattr(ask, name, moment - by)
        ask.save()
        for challenge in Challenge.objects.filter(pk=ask.challenge_id):
            for name in ("opened_at", "sent_at", "first_sent_at", "expires_at"):
                if moment := getattr(challenge, name):
                    setattr(challenge, name, moment - by)
            challenge.save()


# -- The code


@pytest.mark.parametrize(
    ("nonce", "phone", "code"),
    [
        (bytes(16), "09123456789", "032681"),
        (bytes(16), "09350000000", "369512"),
        (bytes(range(16)), "09123456789", "896506"),
        (bytes(15) + b"\x1c", "09123456789", "007494"),
    ],
)
def test_a_code_follows_from_key_nonce_and_phone(nonce: bytes, phone: str, code: str) -> None:
    assert codes.of(bytes(range(32)), nonce, phone) == code


@pytest.mark.parametrize("typed", ["۰۳۲۶۸۱", "٠٣٢٦٨١", "０３２６８１", "032 681", "032-681", "\u200f032681"])
def test_a_code_is_read_as_people_type_it(typed: str) -> None:
    assert codes.read(typed) == "032681"


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        (None, "required"),
        (32681, "not_text"),
        (" ", "blank"),
        ("03268", "too_short"),
        ("0326811", "too_long"),
        ("03268a", "bad_characters"),
        ("0" * 65, "too_long"),
    ],
)
def test_what_is_no_code_is_refused_with_its_reason(typed: object, reason: str) -> None:
    with pytest.raises(codes.InvalidCode) as refused:
        codes.read(typed)
    assert refused.value.reason == reason


@pytest.mark.parametrize(("language", "longest"), [("fa", 70), ("en", 160)])
def test_an_sms_ends_with_the_line_that_browsers_read_and_is_one_part(language: str, longest: int) -> None:
    text = messages.text(language, "campaign.example.com", "032681")
    assert text.endswith("\n@campaign.example.com #032681")
    assert len(text) <= longest
    assert messages.parts(text) == 1
    assert messages.parts("ک" * 71) == messages.parts("k" * 161) == 2


# -- From the question to the verdict


def test_who_types_the_code_is_confirmed() -> None:
    ticket = Ticket().ask()
    assert ticket.state == "waiting"
    [errand] = send()
    assert (errand.phone_number, errand.code) == (PHONE, ticket.code)
    assert ticket.state == "sent"
    assert ticket.type(ticket.wrong) == "wrong"
    assert ticket.type(ticket.code) == "confirmed"
    assert ticket.is_confirmed
    assert ticket.state == "confirmed"
    registration = Registration.objects.get()
    assert str(registration.confirmed_by) == ticket.id
    assert registration.confirmed_at is not None


def test_of_twenty_wrong_codes_at_once_ten_are_judged_and_the_right_one_comes_too_late() -> None:
    tickets = [Ticket().ask() for _ in range(4)]
    assert [len(send()), len(send())] == [1, 0]
    right, wrong = tickets[0].code, tickets[0].wrong

    def guess(number: int) -> str:
        try:
            return tickets[number % 4].type(wrong)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(guess, range(20)))
    assert sorted(verdicts) == ["locked"] * 10 + ["wrong"] * 10
    assert tickets[0].type(right) == "locked"
    challenge = Challenge.objects.get()
    assert (challenge.tries, challenge.closed_as) == (10, "locked")
    assert Try.objects.count() == 10
    assert not tickets[0].is_confirmed


def test_the_tenth_try_may_be_right() -> None:
    ticket = Ticket().ask()
    send()
    for _ in range(9):
        ticket.type(ticket.wrong)
    assert ticket.type(ticket.code) == "confirmed"


def test_the_right_code_from_two_pages_at_once_confirms_one() -> None:
    tickets = [Ticket().ask(), Ticket().ask()]
    assert [len(send()), len(send())] == [1, 0]

    def type_it(ticket: Ticket) -> str:
        try:
            return ticket.type(tickets[0].code)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(type_it, tickets)) == ["confirmed", "wrong"]


def test_a_try_that_is_delivered_three_times_counts_once() -> None:
    ticket = Ticket().ask()
    send()
    right = Typed(ticket.id, now(), str(uuid4()), ticket.code)
    assert {tries.judge(right) for _ in range(3)} == {"confirmed"}
    assert Try.objects.count() == Challenge.objects.get().tries == 1


def test_a_code_is_judged_by_when_it_was_typed() -> None:
    ticket = Ticket().ask()
    send()
    sent_at = Challenge.objects.get().sent_at
    assert sent_at is not None
    assert ticket.type(ticket.code, sent_at + timedelta(seconds=606)) == "late"
    assert ticket.type(ticket.code, sent_at + timedelta(seconds=599)) == "confirmed"


def test_a_code_is_valid_from_when_it_was_sent_not_from_when_it_was_asked_for() -> None:
    ticket = Ticket()
    ticket.ask(now() - timedelta(minutes=20))
    ticket.ask()  # still here
    send()
    assert states.of([ticket.id])[ticket.id].told(None)["expires_in"] in (599, 600)


def test_a_code_may_be_typed_before_the_gateway_has_answered() -> None:
    ticket = Ticket().ask()
    [errand] = claims.claim("one", 1).errands
    assert ticket.type(errand.code) == "confirmed"
    claims.settle(errand, SENT)
    assert ticket.state == "confirmed"


# -- One SMS, and no more


def test_a_question_that_comes_again_and_again_is_one_sms() -> None:
    ticket = Ticket()
    at = now()
    for seconds in (0, 0, 2, 4, 6, 8):
        ticket.ask(at + timedelta(seconds=seconds))
    assert len(send()) == 1
    ticket.ask(at)  # delivered late
    assert len(send()) == 0
    assert Ask.objects.count() == 1


def test_between_two_codes_there_are_60_seconds_then_120_and_all_are_one_code() -> None:
    ticket = Ticket()
    sent: list[list[str]] = []
    for since_last in (0, 59, 2, 119, 2):
        if sent:
            age(ticket, since_last)
        ticket.ask()
        sent.append([errand.code for errand in send()])
    assert [len(one) for one in sent] == [1, 0, 1, 0, 1]
    assert {code for one in sent for code in one} == {ticket.code}


def test_after_half_an_hour_there_is_another_code_and_the_old_one_is_wrong() -> None:
    ticket = Ticket().ask()
    send()
    old = ticket.code
    age(ticket, 1801)
    ticket.ask()
    [errand] = send()
    assert errand.code != old
    assert ticket.type(old) == "wrong"
    assert ticket.type(errand.code) == "confirmed"


def test_an_sms_whose_fate_is_unknown_counts_as_sent_and_is_not_repeated() -> None:
    ticket = Ticket().ask()
    [errand] = send(Outcome("unknown", "kavenegar", reason="ReadTimeout"))
    assert not send()
    assert Ask.objects.get().state == Ask.State.UNKNOWN
    assert Budget.objects.get().parts == 1
    assert ticket.state == "sent"
    assert ticket.type(errand.code) == "confirmed"


def test_what_a_dead_courier_had_in_hand_is_unknown_and_a_later_question_gets_the_same_code() -> None:
    ticket = Ticket().ask()
    [errand] = claims.claim("dead", 1).errands
    Ask.objects.update(claimed_at=now() - timedelta(seconds=61))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE confirmations_lease SET until = now() - interval '1 second'")
    assert not claims.claim("alive", 1).errands
    assert Ask.objects.get().state == Ask.State.UNKNOWN
    age(ticket, 61)
    ticket.ask()
    [again] = claims.claim("alive", 1).errands
    assert again.code == errand.code


def test_what_was_surely_not_sent_waits_at_its_place_and_is_not_paid() -> None:
    first, second = Ticket("09120000001").ask(), Ticket("09120000002").ask()
    send(Outcome("not_sent", reason="ConnectError"), most=1)
    assert first.state == "waiting"
    assert Budget.objects.get().parts == 0
    assert [one.request_id for one in send()] == [first.id, second.id]


def test_a_refused_resend_leaves_the_code_that_is_out_valid() -> None:
    ticket = Ticket().ask()
    send()
    age(ticket, 61)
    ticket.ask()
    send(Outcome("refused", reason="blocked"))
    assert ticket.state == "undelivered"
    assert ticket.type(ticket.code) == "confirmed"


def test_a_landline_gets_no_sms() -> None:
    ticket = Ticket("02112345678").ask()
    assert not send()
    assert ticket.state == "impossible"


def test_who_has_left_costs_no_sms_and_comes_back_at_the_old_place() -> None:
    gone, here = Ticket("09120000001"), Ticket("09120000002")
    gone.ask(now() - timedelta(seconds=31))
    here.ask()
    assert [one.request_id for one in send()] == [here.id]
    gone.ask()
    assert [one.request_id for one in send()] == [gone.id]
    assert Ask.objects.get(request_id=gone.id).pk < Ask.objects.get(request_id=here.id).pk


def test_of_two_couriers_one_works() -> None:
    Ticket().ask()
    assert claims.claim("one", 0).is_ours
    assert not claims.claim("two", 1).is_ours
    assert len(claims.claim("one", 1).errands) == 1


# -- Caps, budget and switch


def test_a_number_gets_three_codes_an_hour_and_is_told_the_same_as_any_other() -> None:
    states_told = []
    for n in range(4):
        ticket = Ticket(group=f"192.0.2.{n}").ask()
        send()
        states_told.append(ticket.state)
        for one in Ask.objects.all():
            age_by = timedelta(minutes=10)
            Ask.objects.filter(pk=one.pk).update(claimed_at=one.claimed_at and one.claimed_at - age_by)
        Challenge.objects.update(sent_at=now() - timedelta(minutes=10))
    assert states_told == ["sent", "sent", "sent", "later"]
    [last] = states.of(
        str(one) for one in Ask.objects.filter(state="dropped").values_list("request_id", flat=True)
    ).values()
    assert last.told(None)["why"] == "limit"


def test_an_address_group_gets_thirty_and_three_more_for_each_that_is_typed() -> None:
    tickets = [Ticket(f"09{n:02}0000001").ask() for n in range(31)]
    assert len(send()) == 30
    for ticket in tickets[:10]:
        ticket.type(ticket.code)
    more = [Ticket(f"09{n:02}0000002").ask() for n in range(40)]
    assert len(send()) == 30
    assert [ticket.state for ticket in more].count("later") == 10
    elsewhere = Ticket("09990000003", group="198.51.100.1").ask()
    send()
    assert elsewhere.state == "sent"


def test_a_prefix_whose_codes_hardly_anybody_types_is_held() -> None:
    tickets = [Ticket(f"0912345{n:04}", group=f"10.0.0.{n}").ask() for n in range(20)]
    assert len(send()) == 20
    tickets[0].type(tickets[0].code)
    Ask.objects.update(claimed_at=now() - timedelta(minutes=3))
    held, other = Ticket("09123459999").ask(), Ticket("09350000000").ask()
    assert [one.phone_number for one in send()] == ["09350000000"]
    assert (held.state, other.state) == ("later", "sent")
    assert Switch.objects.get().reason == "1 of 20 codes to 0912345 were typed"


def test_the_budget_of_a_day_is_never_exceeded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CODE_BUDGET = 11
    monkeypatch.setattr(messages, "parts", lambda _: 2)
    for n in range(20):
        Ticket(f"09{n:02}0000001", group=f"10.0.0.{n}").ask()

    def take(holder: int) -> int:
        try:
            with connection.cursor() as cursor:  # two at once, as after a split
                cursor.execute("UPDATE confirmations_lease SET until = now() - interval '1 second'")
            return len(claims.claim(str(holder), 4).errands)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(take, range(8))) == 5
    assert Budget.objects.get().parts == 10
    assert claims.claim("7", 4).held_by in ("budget", "")


def test_switched_off_nothing_is_sent_and_the_line_goes_on_in_order_afterwards() -> None:
    tickets = [Ticket(f"09{n:02}0000001").ask() for n in range(3)]
    switches.turn(is_off=True, reason="the gateway's bill", by="sara")
    assert claims.claim("one", 9).held_by == "off"
    switches.turn(is_off=False, reason="paid", by="sara")
    assert [one.request_id for one in send()] == [ticket.id for ticket in tickets]


def test_a_campaign_without_confirm_sends_nothing() -> None:
    ticket = Ticket(slug="summer").ask()
    assert not send()
    assert ticket.state == "later"


# -- The door


def accept(slug: str = "gala", phone: str = PHONE) -> str:
    path = f"/api/register/{slug}/"
    accepted = Client().post(path, {"phone_number": phone}, content_type="application/json")
    assert accepted.status_code == 202, accepted.content
    save_phones_async(kept())
    return str(accepted.json()["task_id"])


def work() -> None:
    """Do what the worker does with what is in its queue of codes."""
    for (batch,) in ready(queues.confirmations):
        confirm_async(batch)


def ask(task_id: str, **headers: str) -> Any:
    return Client().post(f"/api/register/{task_id}/code/", headers=headers)


def confirm(task_id: str, code: Any, **headers: str) -> Any:
    path = f"/api/register/{task_id}/confirm/"
    return Client().post(path, json.dumps({"code": code}), "application/json", headers=headers)


def confirmation(task_id: str) -> Any:
    return Client().get(f"/api/register/{task_id}/").json().get("confirmation")


def test_a_visitor_asks_for_a_code_and_types_it_in_persian_digits() -> None:
    task_id = accept()
    assert confirmation(task_id) == {"status": "unasked", "wait": 0}
    answer = ask(task_id)
    assert answer.status_code == 202, answer.content
    assert answer.json()["confirmation"]["status"] == "waiting"
    work()
    assert confirmation(task_id)["status"] == "waiting"
    [errand] = send()
    states.tell([task_id])
    told = confirmation(task_id)
    assert (told["status"], told["digits"], told["tries_left"]) == ("sent", 6, 10)
    persian = errand.code.translate({48 + n: 0x06F0 + n for n in range(10)})
    checking = confirm(task_id, persian)
    assert checking.status_code == 202
    try_id = checking.json()["confirmation"]["try"]
    assert confirmation(task_id) == {"status": "checking", "try": try_id}
    work()
    assert confirmation(task_id) == {"status": "confirmed"}


def test_a_wrong_code_is_told_with_its_try() -> None:
    task_id = accept()
    ask(task_id)
    work()
    [errand] = send()
    wrong = f"{(int(errand.code) + 1) % 1_000_000:06}"
    try_id = confirm(task_id, wrong).json()["confirmation"]["try"]
    work()
    told = confirmation(task_id)
    assert (told["status"], told["tries_left"], told["last_try"]) == (
        "sent",
        9,
        {"id": try_id, "result": "wrong"},
    )


def test_the_same_press_of_the_button_is_one_try() -> None:
    task_id = accept()
    ask(task_id)
    work()
    send()
    tried = {
        confirm(task_id, "123456", **{"Idempotency-Key": "one"}).json()["confirmation"]["try"]
        for _ in range(2)
    }
    work()
    assert len(tried) == Try.objects.count() == 1


def test_what_is_no_code_costs_no_try() -> None:
    task_id = accept()
    answer = confirm(task_id, "12345", **{"Accept-Language": "fa"})
    assert answer.status_code == 400
    problem = answer.json()
    assert (problem["code"], problem["errors"][0]["code"]) == ("invalid_code", "too_short")
    assert "شش رقم" in problem["detail"]
    assert ready(queues.confirmations) == []


def test_the_sixth_code_in_ten_minutes_is_refused_with_a_time() -> None:
    task_id = accept()
    answers = [confirm(task_id, "123456") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [202] * 5 + [429]
    assert answers[5].json()["code"] == "too_many_tries"
    assert 590 <= int(answers[5].headers["Retry-After"]) <= 600


def test_an_address_cannot_ask_for_codes_without_end(settings: Settings) -> None:
    task_id = accept()
    limit = settings.RATE_LIMIT.count
    answers = [ask(task_id) for _ in range(limit + 1)]
    assert [answer.status_code for answer in answers] == [202] * limit + [429]
    assert answers[-1].json()["code"] == "too_many_codes"


@pytest.mark.parametrize("slug", ["gala", "summer"])
def test_an_id_that_is_not_ours_or_of_a_campaign_without_codes_is_not_found(slug: str) -> None:
    task_id = str(uuid4()) if slug == "gala" else accept("summer")
    for answer in (ask(task_id), confirm(task_id, "123456")):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert confirmation(task_id) is None


def test_a_broker_that_is_away_promises_nothing(servers: Any) -> None:
    task_id = accept()
    servers.rabbitmq.pause()
    try:
        answer = ask(task_id)
    finally:
        servers.rabbitmq.resume()
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


def test_states_come_from_postgresql_when_redis_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (answers, status):  # as of an id that is ten minutes old
        monkeypatch.setattr(module, "YOUNG", 0)
    task_id = accept()
    ask(task_id)
    work()
    send()
    Redis.from_url(current.REDIS_URL).flushdb()
    assert confirmation(task_id)["status"] == "sent"


# -- On the queue


@pytest.mark.parametrize(
    "raw",
    [
        "nonsense",
        ["ask"],
        ["ask", "no uuid", "2026-01-01T00:00:00+00:00", "fa", "x", "y"],
        ["ask", str(uuid4()), "2026-01-01T00:00:00", "fa", "x", "y"],
        ["ask", str(uuid4()), "2026-01-01T00:00:00+00:00", "xx", "x", "y"],
        ["ask", str(uuid4()), "2026-01-01T00:00:00+00:00", "fa", "x" * 300, "y"],
        ["ask", str(uuid4()), "2026-01-01T00:00:00+00:00", "fa", "\0", "y"],
        ["try", str(uuid4()), "9999-99-99", str(uuid4()), "123456"],
        ["try", str(uuid4()), "2026-01-01T00:00:00+00:00", str(uuid4()), "12"],
        ["try", str(uuid4()), "2026-01-01T00:00:00+00:00", 7, "123456"],
    ],
)
def test_hostile_items_are_named_and_hold_up_nobody(raw: Any) -> None:
    ticket = Ticket()
    with pytest.raises(Reject):
        confirm_async([raw, wire.write(Asked(ticket.id, now(), "fa", "x.example", "g"))])
    assert ticket.state == "waiting"


def test_the_code_is_in_no_table_and_no_redis() -> None:
    task_id = accept()
    ask(task_id)
    work()
    [errand] = send()
    states.tell([task_id])
    confirm(task_id, errand.code)
    work()
    with connection.cursor() as cursor:
        for table in ("ask", "challenge", "try", "budget", "switch"):
            cursor.execute(f"SELECT t::text FROM confirmations_{table} AS t")
            assert errand.code not in str([row[0].replace(PHONE, "") for row in cursor.fetchall()])
    redis = Redis.from_url(current.REDIS_URL)
    values = [redis.get(key) for key in redis.scan_iter("code*")] + [redis.get("codes:line")]
    assert errand.code.encode() not in b"".join(filter(None, values))


def test_the_key_must_be_there_and_long(settings: Settings) -> None:
    settings.CODE_KEY, settings.HAS_CODE_KEY = "short", False
    with pytest.raises(ImproperlyConfigured, match="CODE_KEY"):
        secret.key()


def test_a_campaign_names_confirm_only_as_sms(tmp_path: Path) -> None:
    with landing_dir(tmp_path / "other", gala='[campaign]\nconfirm = "email"\n'):
        [fault] = [str(one) for one in branding.check()]
    assert "confirm" in fault
    assert "sms" in fault


# -- After 30 days

MONTH = 30 * 86_400


def purge() -> Any:
    out = StringIO()
    call_command("purge", "--yes", "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())["codes"]


def rows() -> tuple[int, int, int]:
    return Ask.objects.count(), Challenge.objects.count(), Try.objects.count()


def test_what_is_kept_of_codes_is_deleted_after_30_days_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    old = [Ticket(f"0912000000{n}").ask() for n in range(5)]
    send()
    old[0].type(old[0].wrong)
    for ticket in old:
        age(ticket, MONTH + 3600)
    fresh = Ticket().ask()
    [errand] = send()
    assert rows() == (6, 6, 1)
    assert forgetting.due() == 10
    assert purge() == 10
    assert rows() == (1, 1, 0)
    assert fresh.type(errand.code) == "confirmed"
    assert purge() == 0


def test_who_is_confirmed_and_what_a_day_has_cost_stay_after_the_purge() -> None:
    ticket = Ticket().ask()
    send()
    ticket.type(ticket.code)
    age(ticket, MONTH + 3600)
    purge()
    assert rows() == (0, 0, 0)
    assert ticket.is_confirmed
    assert ticket.state == "confirmed"
    assert Ticket().state == "unasked"
    assert Budget.objects.get().parts == 1


def test_what_still_decides_is_not_purged_however_long_ago_it_began() -> None:
    ticket = Ticket().ask()
    send()
    age(ticket, MONTH - 3600)
    ticket.ask()  # the same number comes back today: its old challenge is closed, a new one is open
    [errand] = send()
    Ask.objects.filter(n=2).update(asked_at=now() - timedelta(days=40))
    Challenge.objects.filter(closed_at=None).update(opened_at=now() - timedelta(days=40))
    assert purge() == 0
    assert ticket.type(errand.code) == "confirmed"


def test_a_question_that_names_an_old_challenge_keeps_it() -> None:
    ticket = Ticket().ask()
    claims.claim("dead", 1)
    age(ticket, MONTH + 3600)
    Ask.objects.update(settled_at=now(), state=Ask.State.UNKNOWN)  # a courier came back today
    assert purge() == 0
    assert rows() == (1, 1, 0)
    assert ticket.state == "expired"


def test_a_purge_asks_first_and_the_doctor_says_when_nobody_runs_it() -> None:
    ticket = Ticket().ask()
    claims.claim("one", 1)
    age(ticket, MONTH + 3600)
    with pytest.raises(CommandError, match="codes: 2 rows"):
        call_command("purge")
    assert "kept too long" not in str(about_codes())
    age(ticket, 2 * 86_400)
    assert ("warning", "2 rows are kept too long") in about_codes()


# -- The rights of each process


ROLES = ("breakwater_worker", "breakwater_web", "breakwater_toolbox", "breakwater_courier")


def test_each_process_may_do_what_it_does_and_no_more() -> None:
    ticket = Ticket()
    with container_roles(*ROLES):
        with rights_of("breakwater_worker"):
            ticket.ask()
        with rights_of("breakwater_courier"):
            [errand] = send()
        with rights_of("breakwater_web"):
            assert ticket.state == "sent"
            with pytest.raises(ProgrammingError, match="permission denied"):
                Challenge.objects.values_list("nonce").first()
        with rights_of("breakwater_worker"):
            assert ticket.type(errand.code) == "confirmed"
            with pytest.raises(ProgrammingError, match="permission denied"):
                Budget.objects.create(day=now().date())
        with rights_of("breakwater_courier"), pytest.raises(ProgrammingError, match="permission denied"):
            Registration.objects.update(status="pending")
        with rights_of("breakwater_toolbox"):
            switches.turn(is_off=True, reason="a drill", by="toolbox")
        age(ticket, MONTH + 3600)
        with rights_of("breakwater_toolbox"):
            assert purge() == 2
        with rights_of("breakwater_web"):
            assert ticket.state == "confirmed"
    assert ticket.is_confirmed


# -- What operators see and do


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("codes", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_an_operator_sees_the_line_and_switches_codes_off_and_on() -> None:
    ticket = Ticket().ask()
    send()
    ticket.type(ticket.code)
    told = run("status")
    assert (told["is_on"], told["courier"], told["parts_today"], told["share_typed"]) == (True, "one", 1, 1.0)
    assert run("off", "--reason", "a bill")["is_on"] is False
    assert run("status")["switched"]["reason"] == "a bill"
    assert run("on")["is_on"] is True
    assert run("report", "--day", str(now().astimezone(current.DISPLAY_TIME_ZONE).date()))["typed"] == 1
    with pytest.raises(CommandError, match="is no day"):
        run("report", "--day", "yesterday-ish")


def test_a_test_sms_says_what_would_be_sent_and_then_sends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    assert run("test", PHONE, "--dry-run")["outcome"] == "not sent (--dry-run)"
    assert not (tmp_path / "sms.log").exists()
    assert run("test", PHONE, "--language", "en")["outcome"] == "accepted"
    assert json.loads((tmp_path / "sms.log").read_text())["code"] == "123456"
    with pytest.raises(CommandError, match="no phone number"):
        run("test", "12")


def staff(*permissions: str) -> Client:
    user = get_user_model().objects.create_user(f"u{len(permissions)}", password="p", is_staff=True)
    for name in permissions:
        app, codename = name.split(".")
        user.user_permissions.add(Permission.objects.get(codename=codename, content_type__app_label=app))
    client = Client()
    client.force_login(user)
    return client


def test_staff_see_questions_without_numbers_and_switch_codes_with_a_reason() -> None:
    Ticket().ask()
    send()
    may = staff("confirmations.view_ask", "confirmations.switch_codes")
    page = may.get("/admin/confirmations/ask/", headers={"Accept-Language": "en"}).content.decode()
    assert "0912***6789" in page
    assert PHONE not in page
    assert "Switch codes off" in page
    may.post("/admin/confirmations/ask/switch/", {"off": "yes", "reason": ""})
    assert not switches.is_off()
    may.post("/admin/confirmations/ask/switch/", {"off": "yes", "reason": "a bill"})
    assert switches.is_off()
    assert LogEntry.objects.get().object_repr == "a bill"
    only_sees = staff("confirmations.view_ask")
    assert only_sees.post("/admin/confirmations/ask/switch/", {"on": "1", "reason": "x"}).status_code == 403
    assert switches.is_off()


def test_trace_tells_each_hop_of_a_code() -> None:
    ticket = Ticket().ask()
    send()
    ticket.type(ticket.wrong)
    ticket.type(ticket.code)
    hops = [
        (hop.name, hop.facts.get("outcome") or hop.facts.get("verdict"))
        for hop in trace.of(UUID(ticket.id)).hops
    ]
    assert [hop for hop in hops if hop[0] in ("asked", "code", "typed")] == [
        ("asked", None),
        ("code", "sent"),
        ("typed", "wrong"),
        ("typed", "confirmed"),
    ]


def test_an_export_of_the_campaign_tells_when_each_was_confirmed() -> None:
    ticket = Ticket().ask()
    Ticket("09350000000")
    send()
    ticket.type(ticket.code)
    file = BytesIO()
    export.write(export.asked(export.Question("jsonl", campaign="gala")), file, lambda _: None)
    rows = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [bool(row["confirmed_at"]) for row in rows] == [True, False]


def about_codes() -> list[tuple[str, str]]:
    return [(one.verdict, one.saw) for one in doctor.examine() if one.part == "codes"]


def test_the_doctor_finds_what_keeps_codes_from_people(settings: Settings) -> None:
    assert ("fault", "no courier works: nobody gets a code") in about_codes()
    claims.claim("one", 0)
    assert about_codes() == [("ok", "file, 0 parts today")]
    counters.announce("worker a", {"role": "worker", "at": 0, "code_key": "aa"})
    counters.announce("courier b", {"role": "courier", "at": 0, "code_key": "bb"})
    [(verdict, saw), _] = about_codes()
    assert verdict == "fault"
    assert "CODE_KEY differs in" in saw
    settings.SENDS_CODES = False
    assert about_codes() == [("fault", "gala asks for codes, and CODE_GATEWAY is off")]


def test_metrics_tell_of_the_line() -> None:
    told = Line(first=1, last=10, waiting=10, here=4, rate=2, parts=7, held_by="budget", at=time.time())
    Redis.from_url(current.REDIS_URL).set("codes:line", told.to_json())
    text = exposition.text().decode()
    for line in ("breakwater_codes_waiting 10", "breakwater_code_parts_today 7", "breakwater_codes_held 1"):
        assert f"\n{line}.0\n" in text


# -- The line


async def rounds(courier: Any, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await courier.run()


def test_the_line_says_that_codes_are_off_though_nobody_is_here() -> None:
    switches.turn(is_off=True, reason="a bill", by="sara")
    courier = sending.Courier([], 10.0, "one", asyncio.Event())
    courier._line_due = (
        time.monotonic() + 1
    )  # the claim that meets the switch is not the one before the telling
    with pytest.raises(TimeoutError):
        asyncio.run(rounds(courier, 2))
    told = live_codes.told_line()
    assert told is not None
    assert told.held_by == "off"


def test_the_wait_that_is_told_follows_from_who_is_here() -> None:
    line = Line(first=101, last=200, waiting=100, here=20, called=120, rate=2.0, share=0.5)
    assert (line.before(101), line.before(151)) == (0, 50)
    assert line.wait(111) == 5  # ten before it, two a second
    assert line.wait(200) == (20 + 80 * 0.5) / 2
    assert [line.calls(place) for place in (120, 121)] == [True, False]


def test_people_are_called_before_those_who_are_here_run_out() -> None:
    line = Line(first=1, last=1000, waiting=1000, here=0, rate=10.0, share=1.0)
    assert line.next_called() == 40  # a fifth of 20 seconds' worth
    assert Line(first=1, last=1000, waiting=1000, here=300, called=40, rate=10.0).next_called() == 40
    assert Line(first=1, last=5, waiting=5, here=0, rate=10.0).next_called() == 5
    assert Line().next_called() == 0


def test_the_page_without_javascript_says_when_nothing_could_be_kept(servers: Any) -> None:
    task_id = accept()
    path = f"/c/gala/fa/registration/{task_id}/confirm/"
    assert Client().post(path, {"code": "12"}).headers["Location"].endswith("?wrong=too_short")
    assert Client().post(path).headers["Location"] == f"/c/gala/fa/registration/{task_id}/?asked"
    servers.rabbitmq.pause()
    try:
        answer = Client().post(path, {"code": "123456"})
    finally:
        servers.rabbitmq.resume()
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_the_page_without_javascript_waits_for_a_question_that_no_worker_has_read() -> None:
    task_id = accept()
    page = f"/c/gala/en/registration/{task_id}/"
    assert "refresh" not in Client().get(page).text
    asked = Client().post(f"{page}confirm/", follow=True).text
    assert '<meta http-equiv="refresh" content="3; url=confirm/">' in asked
    assert 'id="ask-code"' not in asked
