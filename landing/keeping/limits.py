"""Rate limits: a sliding log of the last accepted registrations of each sender.

A registration that could not be kept gives its place back.

Redis holds the logs for all processes, and one call asks for a whole group. If Redis does not
answer in time, each process goes on by itself with a log of its own: for that while a sender may
get the limit once from each process, which is better than refusing everybody or nobody.
"""

import asyncio
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Coroutine, Sequence
from typing import Any
from zlib import crc32

from django.conf import settings
from redis.asyncio import Redis as AsyncRedis
from redis.commands.core import AsyncScript

from landing.keeping import redis_clients
from landing.keeping.proofs import Challenges
from lib import metrics
from lib.outage import Outage

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

    With several Redis each sender's log is in one of them, chosen by a hash of the sender: all processes choose
    the same. One that is away leaves its share of the senders to each process.

    Ours: the `limits` package asks Redis once for each key, and a group of 500 is one call here.
    """

    def __init__(self, *, limit: int, period: int, timeout: float) -> None:
        urls = settings.REDIS_LIMIT_URLS or [""]
        self.shards = [Shard(redis_clients.connect_async(timeout, url)) for url in urls]
        self._limit = limit
        self._period = period
        self._local = LocalLog(limit, period)
        self.challenges = Challenges(limit, period)

    @property
    def is_alone(self) -> bool:
        """Whether this process decides by itself for some senders, since a Redis has failed a moment ago."""
        return any(shard.outage.is_on for shard in self.shards)

    async def take(self, senders: Sequence[str]) -> list[float]:
        """Take one place for each sender; return the seconds each has to wait, 0 where it got it."""
        waits = [0.0] * len(senders)
        await _together(
            [self._take(shard, senders, places, waits) for shard, places in self._shares(senders)]
        )
        return waits

    async def give_back(self, senders: Sequence[str]) -> None:
        """Return the places that these senders took last."""
        self._local.give_back(senders)
        await _together(
            [
                shard.run(shard.give_back, _joined([senders[place] for place in places]))
                for shard, places in self._shares(senders)
            ]
        )

    async def close(self) -> None:
        """Close the connections to Redis."""
        for shard in self.shards:
            await redis_clients.close(shard.redis)

    async def _take(
        self, shard: "Shard", senders: Sequence[str], places: Sequence[int], waits: list[float]
    ) -> None:
        """Ask one shard for the senders in these places of the group, and write their waits there."""
        share = [senders[place] for place in places]
        told = await shard.run(shard.take, self._limit, self._period * 1000, _joined(share))
        found = self._local.take(share) if told is None else [wait / 1000 for wait in told]
        for place, wait in zip(places, found, strict=True):
            waits[place] = wait

    def _shares(self, senders: Sequence[str]) -> list[tuple["Shard", Sequence[int]]]:
        """Return the shards that are asked, each with the places of its senders in the group."""
        if len(self.shards) == 1:
            return [(self.shards[0], range(len(senders)))]
        places = defaultdict(list)
        for place, sender in enumerate(senders):
            places[crc32(sender.encode()) % len(self.shards)].append(place)
        return [(self.shards[number], found) for number, found in places.items()]


class Shard:
    """One Redis that keeps limits."""

    def __init__(self, redis: AsyncRedis) -> None:
        self.redis = redis
        self.take = redis.register_script(_TAKE)
        self.give_back = redis.register_script(_GIVE_BACK)
        self.outage = Outage(PAUSE_AFTER_FAILURE)

    async def run(self, script: AsyncScript, *arguments: str | int) -> Any:
        """Return what a script answers, or None if Redis does not, or has failed a moment ago."""
        return await redis_clients.ask(
            lambda: script(args=arguments), self.outage, "rate limits go on without Redis"
        )


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


async def _together(acts: Sequence[Coroutine[Any, Any, Any]]) -> None:
    if len(acts) == 1:  # a task of its own would cost each group as much as its registrations
        await acts[0]
    else:
        await asyncio.gather(*acts)
