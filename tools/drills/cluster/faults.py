"""What can go wrong in a cluster: each fault is done to it under load, and undone."""

import random
import shutil
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from redis import Redis

from local.processes import Child
from tools.drills.cluster.cluster import Cluster
from tools.drills.cluster.servers import MASTER, SENTINEL_PORT
from tools.drills.faults import BROKEN, FROZEN, KEPT, Allowed, Fault
from tools.drills.ground import SiteFailed
from tools.drills.load import CUT

FIRST_ROW_WITHIN = 10.0
"""Seconds after a promotion in which workers must store again."""
CONFIRMS_WITHIN, STORES_WITHIN = 15.0, 30.0
"""Seconds of a partition until the majority confirms, and until workers store."""
REDELIVERED_WITHIN = 75.0
"""Seconds until the messages of a lost worker are another's."""
LATE_ROWS = 200
"""Rows that workers may still store of what they had in hand before a partition."""
LATE_BATCHES = 2
"""Batches that a worker may still store of what it has been about to when it is cut off."""
TOLD_WITHIN = 10.0
"""Seconds in which the log must say that rows wait for a standby."""

MOVED: Allowed = frozenset({CUT})
"""A visitor of a web that ends is cut, and asks again."""


@dataclass(frozen=True)
class Kept:
    """How many groups of registrations each home has kept so far."""

    rabbitmq: int
    spool: int

    @classmethod
    def by(cls, site: Cluster) -> "Kept":
        said = site.log_of(site.webs)
        return cls(said.count('"home": "rabbitmq"'), said.count('"home": "spool"'))

    def note(self, fault: str, site: Cluster) -> None:
        """Note which share of the groups has taken the spool since then."""
        now = Kept.by(site)
        spooled = now.spool - self.spool
        both = max(1, spooled + now.rabbitmq - self.rabbitmq)
        site.notes.append(
            f"{fault}: {spooled} of {both} groups took the spool ({100 * spooled / both:.1f} %)"
        )


class BrokerKilled(Fault[Cluster]):
    """kill -9 of the node that leads the queue, or of one that follows."""

    def __init__(self, *, leader: bool) -> None:
        self._of_leader = leader
        self.name = "kill-broker-leader" if leader else "kill-broker-follower"

    def inject(self, site: Cluster, chance: random.Random) -> None:
        leader = site.leader()
        followers = [node for node in site.nodes if node is not leader]
        self._victim = leader if self._of_leader else chance.choice(followers)
        self._before = Kept.by(site)
        site.kill(self._victim)

    def heal(self, site: Cluster, chance: random.Random) -> None:
        self._before.note(self.name, site)
        site.start(self._victim)


class LeaderAlone(Fault[Cluster]):
    """The node that leads the queue is cut off from every other host, and does not know it."""

    name = "partition-broker-leader"
    holds = 4.0

    def inject(self, site: Cluster, chance: random.Random) -> None:
        self._before = Kept.by(site)
        site.isolate([site.leader().name])
        cut, stored = time.monotonic(), site.stored() or 0
        # What was confirmed in this moment may still be written into the log.
        site.wait(2)
        confirmed = Kept.by(site).rabbitmq
        site.wait_for(
            lambda: Kept.by(site).rabbitmq > confirmed, CONFIRMS_WITHIN, "a confirm by the majority"
        )
        again = time.monotonic() - cut
        site.wait_for(
            lambda: (site.stored() or 0) > stored + LATE_ROWS, STORES_WITHIN, "rows by the majority"
        )
        site.notes.append(
            f"{self.name}: confirms after {again:.1f} s, rows after {time.monotonic() - cut:.1f} s, cut off all the time"
        )

    def heal(self, site: Cluster, chance: random.Random) -> None:
        self._before.note(self.name, site)
        site.bridge.mend()


class WebWithMinority(Fault[Cluster]):
    """A host of a web is left with one node of RabbitMQ, and with no store."""

    name = "partition-web-and-broker"
    holds = 4.0

    def inject(self, site: Cluster, chance: random.Random) -> None:
        leader = site.leader()
        follower = chance.choice([node.name for node in site.nodes if node is not leader])
        site.isolate([chance.choice(site.webs).name, follower])

    def heal(self, site: Cluster, chance: random.Random) -> None:
        site.bridge.mend()


class RollingRestart(Fault[Cluster]):
    """Each process of one tier ends as it is asked to, and starts again, one after the other."""

    holds = 0.0

    def __init__(self, tier: str, client: Allowed = KEPT) -> None:
        self._tier, self.client = tier, client
        self.name = f"restart-{tier}"

    def inject(self, site: Cluster, chance: random.Random) -> None:
        tiers: dict[str, Sequence[Child]] = {
            "brokers": site.nodes,
            "webs": site.webs,
            "workers": site.workers,
            "mongodb": [site.mongodb],
        }
        for child in tiers[self._tier]:
            site.restart(child)
            site.wait_for(site.is_ready, 60, "a cluster that is ready for the next restart")
            site.wait(2)


class TwoBrokersAway(Fault[Cluster]):
    """kill -9 of two of the three nodes: no majority, nothing is confirmed."""

    name = "kill-two-brokers"
    holds = 2.0

    def inject(self, site: Cluster, chance: random.Random) -> None:
        self._victims = chance.sample(site.nodes, 2)
        for node in self._victims:
            site.kill(node)

    def heal(self, site: Cluster, chance: random.Random) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(site.start, self._victims))


class UpgradeWithoutANode(Fault[Cluster]):
    """An upgrade prepares the stores while the node that keeps the announcements is away."""

    name = "upgrade-without-a-node"

    def inject(self, site: Cluster, chance: random.Random) -> None:
        # A classic queue is where it was declared: at the first node that let the command in.
        self._away = site.nodes[0]
        site.kill(self._away)
        site.wait(2)
        for command in ("migrate", "declare_queues"):
            try:
                site.manage(command)
            except SiteFailed as failed:
                site.complaints.append(f"{self.name}: {failed}")

    def heal(self, site: Cluster, chance: random.Random) -> None:
        site.start(self._away)


class PrimaryKilled(Fault[Cluster]):
    """kill -9 of PostgreSQL's primary; its synchronous standby is promoted after two seconds."""

    name = "promote-standby"

    def inject(self, site: Cluster, chance: random.Random) -> None:
        site.kill(site.primary)
        site.wait(2)
        site.fail_over()
        note_first_row(site, self.name, FIRST_ROW_WITHIN)

    def heal(self, site: Cluster, chance: random.Random) -> None:
        site.rejoin()


class SplitBrain(Fault[Cluster]):
    """PostgreSQL's primary is cut off together with one worker, and the standby is promoted: two primaries.

    What that worker has in hand waits for a standby that is not there, so it acknowledges nothing.
    """

    name = "split-brain"
    holds = 2.0

    def inject(self, site: Cluster, chance: random.Random) -> None:
        wait_for_workers(site)
        self._old, worker = site.primary, chance.choice(site.workers)
        before = site.log_of([worker]).count('"event": "stored"')
        site.isolate([self._old.name, worker.name])
        site.wait(2)
        site.promote_standby()
        note_first_row(site, self.name, STORES_WITHIN)
        note_redelivery(site, self.name)
        if (late := site.log_of([worker]).count('"event": "stored"') - before) > LATE_BATCHES:
            site.complaints.append(f"{self.name}: the worker that is cut off has stored {late} batches")

    def heal(self, site: Cluster, chance: random.Random) -> None:
        """Fence the old primary before anybody can reach it."""
        site.kill(self._old)
        site.bridge.mend()
        site.rejoin()


class AsynchronousPrimaryKilled(Fault[Cluster]):
    """The counter-proof: a standby that nobody waits for, and that is behind, is promoted. Rows must be lost."""

    name = "promote-asynchronous-standby"
    usual = False
    loses = True

    def inject(self, site: Cluster, chance: random.Random) -> None:
        """Let the standby fall behind by two seconds, look whether doctor warns, and fail over."""
        site.primary.wait_for_standby(wanted=False)
        told = site.manage("doctor", "--json", statuses=(0, 1))
        if "a fail-over loses the newest rows" not in told:
            site.complaints.append(f"{self.name}: doctor did not warn")
        site.bridge.part([site.primary.name], [site.standby.name])
        site.wait(3)
        site.kill(site.primary)
        site.bridge.mend()
        site.fail_over()

    def heal(self, site: Cluster, chance: random.Random) -> None:
        site.rejoin()


class StandbyAway(Fault[Cluster]):
    """kill -9 of the synchronous standby: rows wait for it, and that is said."""

    name = "kill-standby"
    holds = 2.0

    def inject(self, site: Cluster, chance: random.Random) -> None:
        said = "its synchronous standby may be away"
        before = site.log_of(site.workers).count(said)
        site.kill(site.standby)
        try:
            site.wait_for(
                lambda: site.log_of(site.workers).count(said) > before,
                TOLD_WITHIN,
                "a line in the workers' log",
            )
        except SiteFailed as failed:
            site.complaints.append(f"{self.name}: {failed}")
        if "0 of 1 synchronous standbys are there" not in site.manage("doctor", "--json", statuses=(0, 1)):
            site.complaints.append(f"{self.name}: doctor did not tell that rows wait")

    def heal(self, site: Cluster, chance: random.Random) -> None:
        site.start(site.standby)


class RedisFailOver(Fault[Cluster]):
    """The Sentinels are asked to make the replica of Redis the primary."""

    name = "sentinel-failover"

    def inject(self, site: Cluster, chance: random.Random) -> None:
        with Redis(site.addresses["m"], SENTINEL_PORT, socket_timeout=5) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", MASTER)


class RedisDemoted(Fault[Cluster]):
    """The primary of Redis hangs until it is replaced, and comes back: the Sentinels make a replica of it.

    A demotion that closes no connection is `redis-demoted` of the other catalog.
    """

    name = "sentinel-demotion"
    holds = 2.0

    def inject(self, site: Cluster, chance: random.Random) -> None:
        self._hung = site.child(site.redis_primary())
        self._hung.pause()

    def heal(self, site: Cluster, chance: random.Random) -> None:
        self._hung.resume()


class WebHostLost(Fault[Cluster]):
    """A host of a web is lost while registrations wait in its spool; its disk is mounted on the other."""

    name = "lose-web-host"
    client = FROZEN

    def inject(self, site: Cluster, chance: random.Random) -> None:
        for node in site.nodes:
            site.kill(node)
        site.wait(2)
        self._lost, self._other = chance.sample(site.webs, 2)
        # Frozen, not killed: as of a host without power, nothing says that its connections are over.
        site.down.add(self._lost.name)
        self._lost.pause()
        site.isolate([self._lost.name])

    def heal(self, site: Cluster, chance: random.Random) -> None:
        """Give the other host the disk, as docs/high-availability.md tells, and bring everything back."""
        site.kill(self._lost)
        for file in site.spool_of(self._lost).glob("*"):
            shutil.move(file, site.spool_of(self._other) / file.name)
        with ThreadPoolExecutor(3) as pool:  # a node that was not the last to end waits for the others
            list(pool.map(site.start, site.nodes))
        site.bridge.mend()
        site.start(self._lost)


class WebDiskDestroyed(Fault[Cluster]):
    """With SPOOL_MODE=off a host of a web is destroyed with its disk, while brokers die: nothing was on it."""

    name = "destroy-web-host"
    client = BROKEN

    def inject(self, site: Cluster, chance: random.Random) -> None:
        for web in site.webs:
            web.environment |= {"SPOOL_MODE": "off"}
            site.restart(web)
            site.wait_for(site.is_ready, 60, "a web without a spool")
        two = chance.sample(site.nodes, 2)
        for node in two:
            site.kill(node)
        site.wait(1.5)
        self._lost = chance.choice(site.webs)
        site.kill(self._lost)
        shutil.rmtree(site.spool_of(self._lost), ignore_errors=True)
        for node in two:
            site.start(node)

    def heal(self, site: Cluster, chance: random.Random) -> None:
        for web in site.webs:
            web.environment |= {"SPOOL_MODE": "here"}
            if web is self._lost:
                site.start(web)
            else:
                site.restart(web)
            site.wait_for(site.is_ready, 60, "a web with a spool")


def wait_for_workers(site: Cluster) -> None:
    """Wait until every worker takes messages."""
    site.wait_for(lambda: site.queue().get("consumers") == len(site.workers), 60, "all workers")


def note_first_row(site: Cluster, fault: str, within: float) -> None:
    """Wait until the PostgreSQL that was just promoted has another row."""
    promoted, before = time.monotonic(), site.stored() or 0
    site.wait_for(lambda: (site.stored() or 0) > before, within, "a row in the promoted PostgreSQL")
    site.notes.append(f"{fault}: first row {time.monotonic() - promoted:.1f} s after the promotion")


def note_redelivery(site: Cluster, fault: str) -> None:
    """Wait until RabbitMQ takes back what a lost worker has in hand, which it does with its connection."""
    lost = time.monotonic()
    site.wait_for(
        lambda: site.queue().get("consumers") == len(site.workers) - 1, REDELIVERED_WITHIN, "one worker less"
    )
    site.notes.append(f"{fault}: its messages went to another worker after {time.monotonic() - lost:.0f} s")


class WorkerCutOff(Fault[Cluster]):
    """A host of a worker is cut off with messages in hand, and comes back when they are another's."""

    name = "partition-worker"
    holds = 1.0

    def inject(self, site: Cluster, chance: random.Random) -> None:
        wait_for_workers(site)
        site.isolate([chance.choice(site.workers).name])
        note_redelivery(site, self.name)

    def heal(self, site: Cluster, chance: random.Random) -> None:
        site.bridge.mend()


class WorkerHostLost(Fault[Cluster]):
    """A host of a worker loses its power: its processes are gone, and no connection is closed."""

    name = "lose-worker-host"
    holds = 1.0

    def inject(self, site: Cluster, chance: random.Random) -> None:
        wait_for_workers(site)
        self._lost = chance.choice(site.workers)
        site.isolate([self._lost.name])
        for process in self._lost.family():
            process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        site.kill(self._lost)
        note_redelivery(site, self.name)

    def heal(self, site: Cluster, chance: random.Random) -> None:
        site.bridge.mend()
        site.start(self._lost)


QUICK = ("kill-broker-leader", "promote-standby", "sentinel-failover", "kill-broker-follower")


def catalog() -> list[Fault[Cluster]]:
    """Every fault there is, in the order of docs/high-availability.md."""
    return [
        BrokerKilled(leader=True),
        BrokerKilled(leader=False),
        LeaderAlone(),
        WebWithMinority(),
        TwoBrokersAway(),
        UpgradeWithoutANode(),
        RollingRestart("brokers"),
        RollingRestart("webs", MOVED),
        RollingRestart("workers"),
        RollingRestart("mongodb"),
        PrimaryKilled(),
        SplitBrain(),
        AsynchronousPrimaryKilled(),
        StandbyAway(),
        RedisFailOver(),
        RedisDemoted(),
        WebHostLost(),
        WebDiskDestroyed(),
        WorkerCutOff(),
        WorkerHostLost(),
    ]
