"""What happens to a registration is counted, once, under the name that the docs give it."""

import asyncio
from typing import Any

import orjson
import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from landing.door import express
from landing.door.registering import PLAIN
from landing.keeping import intake
from landing.keeping.limits import LocalLog
from landing.keeping.proofs import Challenges
from landing.storing import dead_lettering, outbox, registrations
from landing.tasks import save_phones_async
from lib import metrics
from logs import utils as logs
from tests.test_ops import submission

pytestmark = pytest.mark.django_db(transaction=True)

JSON = [(b"host", b"localhost"), (b"content-type", b"application/json")]


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    metrics.take()


def counted(name: str) -> Any:
    return {key: count for key, count in metrics.take().items() if key.partition(":")[0] == name}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"phone_number": "0912"}', "invalid_phone"),
        ("{}", "invalid_phone"),
        ("{", "malformed_json"),
        ("[]", "invalid_body"),
        (f'{{"x": "{"a" * 20_000}"}}', "too_large"),
    ],
)
def test_a_refusal_is_counted_by_its_reason(client: Client, body: str, reason: str) -> None:
    assert client.post("/api/register/", body, content_type="application/json").status_code >= 400
    assert counted("refused") == {f"refused:{reason}": 1}


def test_the_page_without_scripts_is_counted_like_the_api(client: Client) -> None:
    assert client.post("/en/", {"phone_number": "0912"}).status_code == 400
    assert counted("refused") == {"refused:invalid_phone": 1}


def test_an_address_where_nothing_is_refuses_no_registration(client: Client) -> None:
    assert client.get("/nothing/").status_code == 404
    assert client.get("/api/register/").status_code == 405
    assert counted("refused") == {}


def test_both_doors_count_what_they_accept(client: Client, settings: Settings) -> None:
    settings.SPOOL_SHARE = 0  # all of it by RabbitMQ, whose confirms are counted too
    body = {"phone_number": "09123456789"}
    assert client.post("/api/register/", body, content_type="application/json").status_code == 202

    async def by_the_lane() -> Any:
        pending = express.register("192.0.2.1", JSON, orjson.dumps(body), PLAIN)
        await pending.done
        return pending.answer()

    answer = asyncio.run_coroutine_threadsafe(by_the_lane(), intake.current().loop).result()
    assert answer.status == 202
    taken = metrics.take()
    assert taken["accepted:rabbitmq"] == 2
    assert sum(taken.get(field, 0) for field in metrics.buckets("confirm_seconds")[:-1]) == 2


def test_a_batch_is_counted_as_stored_and_logged() -> None:
    save_phones_async([submission().to_wire() for _ in range(3)])
    taken = metrics.take()
    assert taken["stored"] == 3
    assert taken["documents:mongodb"] == 3
    assert sum(taken.get(field, 0) for field in metrics.buckets("store_seconds")[:-1]) == 1


def test_documents_are_counted_as_parked_and_then_as_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = submission()
    registrations.store([stored])
    outbox.park([{"_id": stored.request_id}])
    assert counted("documents") == {"documents:parked": 1}
    assert outbox.redrive() == 1
    assert counted("documents") == {"documents:mongodb": 1}
    assert logs.find(stored.request_id)


def test_a_dead_letter_is_counted_by_the_kind_of_its_reason() -> None:
    dead_lettering.bury(["x"], "malformed: not six texts")
    assert counted("dead_lettered") == {"dead_lettered:malformed": 1}


def test_registrations_that_a_proof_of_work_lets_in_are_counted() -> None:
    challenges = Challenges(2, 60)
    assert [challenges.lets_in("0197a1b2") for _ in range(3)] == [True, True, False]
    assert counted("let_in_by_proof") == {"let_in_by_proof": 2}


def test_limits_without_redis_are_counted() -> None:
    LocalLog(10, 60).take(["203.0.113.1", "203.0.113.2"])
    assert counted("limited_without_redis") == {"limited_without_redis": 2}
