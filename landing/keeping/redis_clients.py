"""Clients of Redis: a deadline for each call, no retries, and no connection that stays with a demoted server."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import ReadOnlyError, RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from lib.outage import Outage

log = logging.getLogger(__name__)

FAILURES = (RedisError, OSError, TimeoutError, RuntimeError)
"""What a client for an event loop raises. RuntimeError is uvloop's, for a connection that is reset under its hands."""

# After a failover behind one name, an open connection stays with the old primary, which is a replica
# now and refuses every write. A new connection is led to the new primary. With Sentinels redis-py does
# the same by itself (SentinelManagedConnection.read_response).


class _LeavesReplica:
    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]  # of redis.connection.Connection
        except ReadOnlyError:
            self.disconnect()  # type: ignore[attr-defined]
            raise


class _LeavesReplicaAsync:
    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]  # of redis.asyncio's
        except ReadOnlyError:
            await self.disconnect()  # type: ignore[attr-defined]
            raise


def connect(timeout: float) -> Redis:
    """Return a client for threads. timeout: seconds for each call."""
    options = _options(timeout) | {"retry": Retry(NoBackoff(), 0)}
    if settings.REDIS_SENTINELS:
        manager = Sentinel(_sentinels(), sentinel_kwargs=_of_sentinels(options), **options)  # type: ignore[no-untyped-call]
        primary: Redis = manager.master_for(settings.REDIS_MASTER, **_login())  # type: ignore[no-untyped-call]
        return primary
    client = Redis.from_url(settings.REDIS_URL, **options)
    pool = client.connection_pool
    pool.connection_class = type("Connection", (_LeavesReplica, pool.connection_class), {})
    return client


def connect_async(timeout: float, url: str = "") -> AsyncRedis:
    """Return a client for one event loop. timeout: seconds for each call. url: of another Redis than the usual one."""
    options = _options(timeout) | {"retry": AsyncRetry(NoBackoff(), 0)}
    if settings.REDIS_SENTINELS and not url:
        manager = AsyncSentinel(_sentinels(), sentinel_kwargs=_of_sentinels(options), **options)  # type: ignore[no-untyped-call]
        primary: AsyncRedis = manager.master_for(settings.REDIS_MASTER, **_login())
        return primary
    client = AsyncRedis.from_url(url or settings.REDIS_URL, **options)
    pool = client.connection_pool
    pool.connection_class = type("Connection", (_LeavesReplicaAsync, pool.connection_class), {})
    return client


async def ask(act: Callable[[], Awaitable[Any]], outage: Outage, complaint: str) -> Any:
    """Return what Redis answers, or None if it does not, or has failed a moment ago.

    complaint: the line in the log when an outage begins.
    """
    if outage.is_on:
        return None
    try:
        answer = await act()
    except FAILURES as error:
        if outage.note_failure():
            log.warning(complaint, extra={"reason": repr(error)})
        return None
    outage.note_success()
    return answer


def write(client: Redis, fill: Callable[[Pipeline], None], outage: Outage, complaint: str) -> None:
    """Send in one round trip what `fill` puts into a pipeline. A Redis that fails is passed over, for it only caches."""
    if outage.is_on:
        return
    try:
        with client.pipeline(transaction=False) as pipeline:
            fill(pipeline)
            pipeline.execute()
    except (RedisError, OSError) as error:
        if outage.note_failure():
            log.warning(complaint, extra={"reason": repr(error)})
    else:
        outage.note_success()


async def close(client: AsyncRedis) -> None:
    """Close a client's connections, those to the Sentinels too, which redis-py leaves open."""
    await client.aclose()
    if manager := getattr(client.connection_pool, "sentinel_manager", None):
        for sentinel in manager.sentinels:
            await sentinel.aclose()


def _sentinels() -> list[tuple[str, int]]:
    return [(host.name, host.port) for host in settings.REDIS_SENTINELS]


def _options(timeout: float) -> dict[str, Any]:
    return {"socket_timeout": timeout, "socket_connect_timeout": timeout}


def _login() -> dict[str, Any]:
    tls = {"ssl": True, "ssl_cert_reqs": "required", "ssl_ca_certs": settings.REDIS_CA_PATH}
    return {
        "username": settings.REDIS_USER or None,
        "password": settings.REDIS_PASSWORD or None,
        "db": settings.REDIS_DB,
        **(tls if settings.REDIS_CA_PATH else {}),
    }


def _of_sentinels(options: dict[str, Any]) -> dict[str, Any]:
    return options | {"password": settings.REDIS_SENTINEL_PASSWORD or None}
