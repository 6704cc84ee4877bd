"""What a waiting visitor is told, by whom, and that no store that hangs holds the answer up."""

import time
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings
from redis import Redis
from redis.exceptions import RedisError

from landing.door import status
from landing.keeping import intake, redis_clients
from landing.keeping.limits import Limiter
from landing.storing import backlog, task_states
from landing.storing.backlog import Backlog
from landing.storing.task_states import Known, State
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib import request_ids
from local.servers import Servers
from tests.intake_loop import run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_memory() -> Any:
    """No other test meets a breaker that these have opened, or what they have noted."""
    for outage in (status._redis()._outage, status._postgresql()._off_loop.outage):
        outage.note_success()
    backlog.note(Backlog())  # one that was made long ago counts as a backlog that grows
    yield
    backlog.note(Backlog())


@pytest.fixture
def asked() -> Any:
    """The groups of ids that PostgreSQL was asked for."""
    groups, real = [], status._stored

    def spy(task_ids: Any) -> Any:
        groups.append(list(task_ids))
        return real(task_ids)

    with patch.object(status, "_stored", spy):
        yield groups


def id_made(seconds_ago: int, settings: Settings) -> Any:
    """The id of a registration whose page made its key so many seconds ago."""
    milliseconds = int((time.time() - seconds_ago) * 1000)
    key = f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7{uuid4().hex[:3]}-8{uuid4().hex[:3]}-{uuid4().hex[:12]}"
    return request_ids.from_key(settings.SECRET_KEY.encode(), key, "09123456789")


def no_age(settings: Settings) -> Any:
    return request_ids.from_key(settings.SECRET_KEY.encode(), uuid4().hex, "09123456789")


def behind(seconds: int, stored_seconds_ago: int) -> Any:
    now = time.time()
    return Backlog(waiting_since=now - seconds, stored_up_to=now - stored_seconds_ago)


def ask(*task_ids: Any) -> Any:
    async def crowd() -> Any:
        return [await one for one in [intake.current().loop.create_task(status.ask(i)) for i in task_ids]]

    return run(crowd())


def test_an_id_that_is_newer_than_all_that_is_stored_is_answered_without_any_store(
    settings: Settings, servers: Servers, asked: list[Any]
) -> None:
    backlog.note(behind(30, stored_seconds_ago=30))
    servers.redis.pause()
    try:
        with patch.object(task_states.Reader, "ask", side_effect=AssertionError):
            assert ask(id_made(20, settings)) == [Known(State.WAITING)]
    finally:
        servers.redis.resume()
    assert asked == []


@pytest.mark.parametrize(
    ("waiting", "stored", "seen", "made"),
    [
        pytest.param(30, 10, 0, 20, id="older than what is stored: it may be stored too"),
        pytest.param(5, 5, 0, 3, id="the workers keep up: it may have been stored just now"),
        pytest.param(30, 30, 0, -60, id="a clock that is wrong proves nothing"),
        pytest.param(30, None, 0, 20, id="nobody knows what is stored"),
        pytest.param(60, 60, 30, 20, id="the look is too old"),
    ],
)
def test_of_any_other_id_the_stores_are_asked(
    settings: Settings, waiting: int, stored: int | None, seen: int, made: int
) -> None:
    task_id, now = id_made(made, settings), time.time()
    task_states.write({task_id: Known(State.STORED)})
    backlog.note(Backlog(now - waiting, stored and now - stored, now - seen))
    assert ask(task_id) == [Known(State.STORED)]


def test_postgresql_is_asked_once_for_all_who_ask_together_and_not_again_at_once(
    settings: Settings, asked: list[Any]
) -> None:
    crowd = [no_age(settings) for _ in range(100)]
    assert ask(*crowd) == [Known(State.WAITING)] * 100
    assert ask(*crowd) == [Known(State.WAITING)] * 100
    assert len(asked) <= 2
    assert sum(map(len, asked)) == 100


def test_a_young_id_costs_postgresql_nothing(settings: Settings, asked: list[Any]) -> None:
    assert ask(id_made(2, settings)) == [Known(State.WAITING)]
    assert asked == []


def test_what_redis_has_forgotten_postgresql_knows(settings: Settings) -> None:
    task_id = id_made(3600, settings)
    wire = Submission("09123456789", task_id, "192.0.2.1", "", "", datetime.now(UTC)).to_wire()
    save_phones_async([wire])
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushdb()
    assert ask(task_id, str(uuid4())) == [Known(State.STORED), None]


def test_a_frozen_postgresql_is_waited_for_once_and_then_nobody_waits(
    settings: Settings, servers: Servers, asked: list[Any]
) -> None:
    ask(no_age(settings))  # there is a connection
    servers.postgres.pause()
    try:
        answers = [ask(no_age(settings)) for _ in range(20)]
    finally:
        servers.postgres.resume()
        connection.close()
    assert answers == [[Known(State.WAITING)]] * 20
    assert len(asked) == 2


def test_a_frozen_redis_is_waited_for_once_and_then_nobody_waits(
    settings: Settings, servers: Servers, asked: list[Any]
) -> None:
    servers.redis.pause()
    try:
        with patch.object(status._redis()._redis, "mget", wraps=status._redis()._redis.mget) as mget:
            assert [ask(id_made(2, settings)) for _ in range(20)] == [[Known(State.WAITING)]] * 20
    finally:
        servers.redis.resume()
    assert mget.call_count == 1


def test_who_waits_is_asked_to_come_back_later_the_longer_the_oldest_waits() -> None:
    def waits() -> Any:
        return {backlog.retry_after() for _ in range(200)}

    backlog.note(Backlog())
    assert waits() == {1}
    backlog.note(behind(20, stored_seconds_ago=20))
    assert len(waits()) > 3
    assert all(14 <= seconds <= 20 for seconds in waits())
    backlog.note(behind(7200, stored_seconds_ago=7200))
    assert all(42 <= seconds <= 60 for seconds in waits())


def test_a_look_that_is_old_counts_as_a_backlog_that_grows() -> None:
    backlog.note(Backlog(seen_at=time.time() - 40))
    assert 28 <= backlog.retry_after() <= 41


def test_a_waiting_answer_carries_the_time_to_wait_and_a_last_one_does_not(
    client: Client, settings: Settings
) -> None:
    waiting, stored = id_made(1, settings), id_made(1, settings)
    task_states.write({stored: Known(State.STORED)})
    assert client.get(f"/api/register/{waiting}/")["Retry-After"] == "1"
    assert "Retry-After" not in client.get(f"/api/register/{stored}/")


@pytest.fixture
def replica(settings: Settings) -> Any:
    """The test's Redis, which can be demoted."""
    with Redis.from_url(settings.REDIS_URL) as redis:
        yield redis
        redis.replicaof("NO", "ONE")


def test_a_thread_leaves_a_redis_that_was_demoted(replica: Any) -> None:
    client = redis_clients.connect(timeout=2)
    before = client.client_id()
    replica.replicaof("127.0.0.1", 1)
    with pytest.raises(RedisError):
        client.set("limit:x", 1)
    assert client.client_id() != before
    client.close()


def test_the_limiter_leaves_a_redis_that_was_demoted(replica: Any) -> None:
    limiter = Limiter(limit=10, period=60, timeout=2)

    async def ids() -> Any:
        before = await limiter.shards[0].redis.client_id()
        await limiter.take(["192.0.2.1"])
        replica.replicaof("127.0.0.1", 1)
        assert await limiter.take(["192.0.2.1"]) == [0]  # by this process alone
        return before, await limiter.shards[0].redis.client_id()

    before, after = run(ids())
    assert before != after
    run(limiter.close())
