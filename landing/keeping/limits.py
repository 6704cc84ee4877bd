"""Rate limits: a sliding log of the last accepted registrations of each sender.

A registration that could not be kept gives its place back.

Redis holds the logs for all processes, and one call asks for a whole group. If Redis does not
answer in time, each process goes on by itself with a log of its own: for that while a sender may
get the limit once from each process, which is better than refusing everybody or nobody.
"""

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any

from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from landing.keeping import redis_clients
from lib import metrics
from lib.outage import Outage

log = logging.getLogger(__name__)

# The senders come in one text, since each argument of its own costs the client more than its work
# here. So the keys are not declared: one Redis, or a primary with replicas, but not a cluster.
# Each key is a list of times in ms, newest first, never longer than the limit: its last element
# tells whether the window is full. Redis runs a script as one step, so no two requests can both
# take the last place.
_TAKE = """
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local waits = {}
for sender in string.gmatch(ARGV[3], '%S+') do
  local key = 'limit:' .. sender
  local oldest = redis.call('LINDEX', key, limit - 1)
  if oldest and now - oldest < window then
    waits[#waits + 1] = window - (now - oldest)
  else
    redis.call('LPUSH', key, now)
    redis.call('LTRIM', key, 0, limit - 1)
    redis.call('PEXPIRE', key, window)
    waits[#waits + 1] = 0
  end
end
return waits
"""

# The newest time goes. It may be another request's of the same sender, which comes to the same.
_GIVE_BACK = """
for sender in string.gmatch(ARGV[1], '%S+') do
  redis.call('LTRIM', 'limit:' .. sender, 1, -1)
end
"""

PAUSE_AFTER_FAILURE = 1.0
"""Seconds without asking a Redis that has just failed, so that not every request waits for it."""

MOST_LOCAL_SENDERS = 50_000
"""Senders that the in-process log remembers; the least recent are forgotten first."""


class Limiter:
    """Allows each sender `limit` registrations in any `period` seconds.

    Ours: the `limits` package asks Redis once for each key, and a group of 500 is one call here.
    """

    def __init__(self, *, limit: int, period: int, timeout: float) -> None:
        self._redis = redis_clients.connect_async(timeout)
        self._take = self._redis.register_script(_TAKE)
        self._give_back = self._redis.register_script(_GIVE_BACK)
        self._limit = limit
        self._period = period
        self._local = LocalLog(limit, period)
        self._outage = Outage(PAUSE_AFTER_FAILURE)

    async def take(self, senders: Sequence[str]) -> list[float]:
        """Take one place for each sender; return the seconds each has to wait, 0 where it got it."""
        waits = await self._run(self._take, self._limit, self._period * 1000, _joined(senders))
        if waits is None:
            return self._local.take(senders)
        return [wait / 1000 for wait in waits]

    async def give_back(self, senders: Sequence[str]) -> None:
        """Return the places that these senders took last."""
        self._local.give_back(senders)
        await self._run(self._give_back, _joined(senders))

    async def _run(self, script: AsyncScript, *arguments: str | int) -> Any:
        """Return what a script answers, or None if Redis does not, or has failed a moment ago."""
        if self._outage.is_on:
            return None
        try:
            answer = await script(args=arguments)
        except (RedisError, OSError, TimeoutError, RuntimeError) as error:
            # RuntimeError is what uvloop raises for a connection that is reset under its hands.
            if self._outage.note_failure():
                log.warning("rate limits go on without Redis", extra={"reason": repr(error)})
            return None
        self._outage.note_success()
        return answer

    async def close(self) -> None:
        """Close the connections to Redis."""
        await redis_clients.close(self._redis)


class LocalLog:
    """The same sliding log, in this process alone."""

    def __init__(self, limit: int, period: int) -> None:
        self._limit = limit
        self._period = period
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, senders: Sequence[str]) -> list[float]:
        """Take one place for each sender; return the seconds each has to wait, 0 where it got it."""
        metrics.count("limited_without_redis", len(senders))
        return [self._take(sender) for sender in senders]

    def give_back(self, senders: Sequence[str]) -> None:
        """Return the places that these senders took last, as far as they were taken here."""
        for sender in senders:
            if times := self._times.get(sender):
                times.pop()

    def _take(self, sender: str) -> float:
        now = time.monotonic()
        times = self._times.setdefault(sender, deque(maxlen=self._limit))
        self._times.move_to_end(sender)
        if len(self._times) > MOST_LOCAL_SENDERS:
            self._times.popitem(last=False)
        if len(times) == self._limit and now - times[0] < self._period:
            return self._period - (now - times[0])
        times.append(now)
        return 0.0


def _joined(senders: Sequence[str]) -> str:
    return " ".join(sender or "-" for sender in senders)
