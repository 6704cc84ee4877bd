"""Clients of Redis: a deadline for each call, no retries, and no connection that stays with a demoted server."""

from typing import Any

from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError
from redis.retry import Retry

# After a failover behind one name, an open connection stays with the old primary, which is a replica
# now and refuses every write. A new connection is led to the new primary. redis-py does the same for
# Sentinel alone (SentinelManagedConnection.read_response).


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
    client = Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )
    pool = client.connection_pool
    pool.connection_class = type("Connection", (_LeavesReplica, pool.connection_class), {})
    return client


def connect_async(timeout: float) -> AsyncRedis:
    """Return a client for one event loop. timeout: seconds for each call."""
    client = AsyncRedis.from_url(
        settings.REDIS_URL,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=AsyncRetry(NoBackoff(), 0),
    )
    pool = client.connection_pool
    pool.connection_class = type("Connection", (_LeavesReplicaAsync, pool.connection_class), {})
    return client
