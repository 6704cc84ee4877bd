"""Rate limits: exactly so many from each sender, from all processes together, with Redis or without."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from pytest_django.fixtures import Settings
from redis import Redis

from landing.keeping import intake, limits
from landing.keeping.limits import Limiter, LocalLog
from local.servers import Servers, Valkey
from local.state import Ports
from tests.intake_loop import run
from tests.waiting import eventually

SENDER, OTHER_SENDER = "203.0.113.7", "203.0.113.8"


@asynccontextmanager
async def limiters(count: int = 1, limit: int = 10, period: int = 60) -> Any:
    """Yield the limiters of so many processes."""
    made = [Limiter(limit=limit, period=period, timeout=2) for _ in range(count)]
    try:
        yield made
    finally:
        for limiter in made:
            await limiter.close()


async def _waits(senders: tuple[Any, ...], **options: Any) -> Any:
    async with limiters(**options) as [limiter]:
        return await limiter.take(senders)


def waits(*senders: Any, **options: Any) -> Any:
    return asyncio.run(_waits(senders, **options))


def remember(sender: str, *seconds_ago: Any) -> None:
    """Write a sender's log: it registered so many seconds ago, the oldest first."""
    with Redis.from_url(settings.REDIS_URL) as redis:
        for ago in seconds_ago:
            redis.lpush(f"limit:{sender}", int((time.time() - ago) * 1000))


def test_of_200_at_once_exactly_the_limit_gets_through() -> None:
    async def rush() -> Any:
        async with limiters(4) as processes:
            return await asyncio.gather(*(processes[n % 4].take([SENDER]) for n in range(200)))

    assert asyncio.run(rush()).count([0]) == 10


def test_of_200_in_one_group_exactly_the_limit_gets_through() -> None:
    assert waits(*[SENDER] * 200).count(0) == 10


def test_each_sender_has_a_limit_of_its_own() -> None:
    refused, taken = waits(SENDER, SENDER, OTHER_SENDER, limit=1)[1:]
    assert refused > 0
    assert taken == 0


def test_the_window_slides() -> None:
    remember(SENDER, 59, 1)
    remember(OTHER_SENDER, 61, 59)
    refused, taken, full = waits(SENDER, OTHER_SENDER, OTHER_SENDER, limit=2)
    assert 0 < refused <= 1
    assert taken == 0
    assert 0 < full <= 1


def test_a_refused_request_does_not_prolong_the_wait() -> None:
    first = waits(SENDER, SENDER, limit=1)[1]
    assert all(wait <= first for wait in waits(*[SENDER] * 50, limit=1))


def test_a_place_is_free_again_after_the_period() -> None:
    assert waits(SENDER, limit=1, period=1) == [0]
    eventually(lambda: waits(SENDER, limit=1, period=1) == [0])


def test_redis_forgets_a_sender_after_the_period() -> None:
    waits(SENDER, period=60)
    with Redis.from_url(settings.REDIS_URL) as redis:
        assert 0 < redis.pttl(f"limit:{SENDER}") <= 60_000


@pytest.fixture
def second_redis(tmp_path: Path, settings: Settings) -> Iterator[Valkey]:
    """A second Redis; each sender's limit is in one of the two."""
    ports, secrets = Ports.pick(), {"REDIS_PASSWORD": settings.REDIS_PASSWORD}
    (tmp_path / "logs").mkdir()
    (tmp_path / "tmp").mkdir()
    redis = Valkey("redis", tmp_path, ports, secrets)
    redis.start()
    first = settings.REDIS_URL
    settings.REDIS_LIMIT_URLS = [first, first.replace(f":{settings.REDIS_PORT}/", f":{ports.redis}/")]
    yield redis
    redis.kill()


MANY = [f"203.0.113.{n}" for n in range(100)]


def test_over_several_redis_each_sender_has_one_limit_from_all_processes(second_redis: Valkey) -> None:
    async def rush() -> list[float]:
        async with limiters(3, limit=2) as processes:
            groups = [processes[n % 3].take(MANY) for n in range(6)]
            return [wait for waits in await asyncio.gather(*groups) for wait in waits]

    assert asyncio.run(rush()).count(0) == 2 * len(MANY)
    with Redis.from_url(settings.REDIS_LIMIT_URLS[1]) as second:
        assert 20 < second.dbsize() < 80


def test_what_is_refused_gives_its_place_back_in_the_redis_that_has_it(second_redis: Valkey) -> None:
    async def take_and_give_back() -> list[float]:
        async with limiters(limit=1) as [limiter]:
            await limiter.take(MANY)
            await limiter.give_back(MANY)
            return list(await limiter.take(MANY))

    assert asyncio.run(take_and_give_back()) == [0] * len(MANY)


def test_one_redis_that_is_away_leaves_the_limits_of_the_others(second_redis: Valkey) -> None:
    async def rush() -> tuple[list[float], list[float]]:
        async with limiters(2, limit=1) as [one, other]:
            second_redis.kill()
            return await one.take(MANY), await other.take(MANY)

    first, again = asyncio.run(rush())
    assert first == [0] * len(MANY)
    # The senders of the lost one get the limit once from each process, the others once in all.
    assert 20 < again.count(0) < 80


def test_the_log_of_one_process_slides_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: clock.now))
    log = LocalLog(limit=2, period=60)
    assert log.take([SENDER, SENDER, SENDER, OTHER_SENDER]) == [0, 0, 60, 0]
    clock.now += 59
    assert log.take([SENDER]) == [1]
    clock.now += 1
    assert log.take([SENDER, SENDER, SENDER]) == [0, 0, 60]


def test_the_log_of_one_process_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_LOCAL_SENDERS", 3)
    log = LocalLog(limit=1, period=60)
    log.take(["a", "b", "c", "d"])
    assert len(log._times) == 3
    assert log.take(["d"]) != [0]
    assert log.take(["a"]) == [0]


def test_without_redis_each_process_limits_by_itself_says_so_once_and_comes_back(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    async def outage() -> Any:
        async with limiters() as [limiter]:
            servers.redis.stop()
            try:
                alone = [(await limiter.take([SENDER]))[0] for _ in range(30)]
            finally:
                servers.redis.start()
            while limiter.is_alone:
                await asyncio.sleep(0.02)
            together = await limiter.take([SENDER] * 30)
            return alone, together

    alone, together = asyncio.run(outage())
    assert (alone.count(0), together.count(0)) == (10, 10)
    assert [record.message for record in caplog.records] == ["rate limits go on without Redis"]


def test_a_redis_that_hangs_holds_up_one_request_and_not_the_next(servers: Servers) -> None:
    async def outage() -> Any:
        async with limiters() as [limiter]:
            servers.redis.pause()
            try:
                await limiter.take([SENDER])
                started = time.monotonic()
                await asyncio.gather(*(limiter.take([SENDER]) for _ in range(100)))
                return time.monotonic() - started
            finally:
                servers.redis.resume()

    assert asyncio.run(outage()) < 1


@pytest.fixture
def _redis_in_use() -> None:
    """The intake of this process has seen that Redis is there, whatever a test before did to its connections."""

    async def is_in_use(limiter: Limiter) -> bool:
        await limiter.take(["192.0.2.254"])
        return not limiter.is_alone

    limiter = intake.current().limiter
    assert limiter, "a test before has made this process's intake without limits"
    eventually(lambda: run(is_in_use(limiter)))


@pytest.mark.usefixtures("_redis_in_use")
def test_one_ipv6_subscriber_is_one_sender_however_many_addresses_it_has(client: Client) -> None:
    def post(address: Any) -> Any:
        return client.post(
            "/api/register/",
            {"phone_number": "09123456789"},
            content_type="application/json",
            headers={"x-forwarded-for": address},
        )

    codes = [post(f"2001:db8:1:2::{n}").status_code for n in range(1, 11)]
    assert codes == [202] * 10
    refused = post("2001:db8:1:2:ffff::1")
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert post("2001:db8:1:3::1").status_code == 202


def test_a_place_that_is_given_back_is_free_again_with_redis_and_without() -> None:
    async def tries() -> Any:
        async with limiters(limit=1) as [limiter]:
            await limiter.take([SENDER])
            await limiter.give_back([SENDER, OTHER_SENDER])
            return [(await limiter.take([SENDER]))[0] for _ in range(2)]

    free, full = asyncio.run(tries())
    assert free == 0 < full
    log = LocalLog(limit=1, period=60)
    log.take([SENDER])
    log.give_back([SENDER, OTHER_SENDER])
    assert log.take([SENDER]) == [0]
