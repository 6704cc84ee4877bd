"""What can go wrong: each fault is done to a running site, and undone."""

import os
import random
import signal
import threading
import time
from contextlib import ExitStack, suppress
from itertools import combinations
from pathlib import Path
from typing import Generic, TypeVar
from uuid import uuid4

import amqp
import psycopg

from local.servers import Valkey
from tools.drills import room
from tools.drills.ground import QUEUE, Ground, Piped, SiteFailed
from tools.drills.load import CUT, HANGS
from tools.drills.site import Site

JUMPING_CLOCK = Path(__file__).with_name("jumping_clock.c")
JUMPS = (3600, -3600, 86_400, -86_400, -10)
"""Seconds."""

CROWD = 400
"""Visitors who wait before the fault comes."""

MOVED_WITHIN = 15.0
"""Seconds in which the product must have found a Redis that takes writes."""

STORED_WITHIN = 20.0
"""Seconds in which workers must store under an alarm, whatever else is in the queue."""

ERASED = 3
"""People who are erased at a time."""

SENT_WITHIN = 30.0
"""Seconds in which codes must come again: a courier's lease is 10, and a gateway that was down is tried every 5."""

Allowed = frozenset[int | str]
Where = TypeVar("Where", bound=Ground)

KEPT: Allowed = frozenset()
REFUSED: Allowed = frozenset({503})
BROKEN: Allowed = frozenset({503, CUT})
FROZEN: Allowed = frozenset({503, CUT, HANGS})


class Fault(Generic[Where]):
    """One fault.

    name: how it is called on the command line and in the table.
    client: what visitors may see while it lasts beside the answers they want (report.GOOD).
    holds: the share of the usual outage for which it is held; 0 for what is over when it is done.
    usual: whether it is in a run that names no faults.
    bends_time: whether clocks differ meanwhile, so that a code that is typed in time may be judged as late.
    loses: whether it must lose registrations, since what should prevent that is taken away: a counter-proof.
    """

    name = ""
    client: Allowed = KEPT
    holds = 1.0
    usual = True
    bends_time = False
    loses = False

    def missing(self) -> str:
        """Why it cannot be done here, or nothing."""
        return ""

    def inject(self, site: Where, chance: random.Random) -> None:
        raise NotImplementedError

    def heal(self, site: Where, chance: random.Random) -> None:
        """Undo it."""


class Kill(Fault[Site]):
    """kill -9 of a server or of a whole application; started again after the outage."""

    def __init__(self, name: str, client: Allowed = KEPT) -> None:
        self.victim, self.client = name, client
        self.name = f"kill-{name}"

    def inject(self, site: Site, chance: random.Random) -> None:
        site.kill(site.child(self.victim))

    def heal(self, site: Site, chance: random.Random) -> None:
        site.start(site.child(self.victim))


class KillOne(Fault[Site]):
    """kill -9 of one process of an application, which must bring itself back or be brought back."""

    holds = 0.3

    def __init__(self, app: str, *, main: bool, client: Allowed = KEPT) -> None:
        self.app, self.main, self.client = app, main, client
        self.name = f"kill-{app}-{'main' if main else 'child'}"

    def inject(self, site: Site, chance: random.Random) -> None:
        """Freeze it, so that it dies with work in its hands, and kill it."""
        leader, *children = site.child(self.app).family()
        victim = leader if self.main or not children else chance.choice(children)
        os.kill(victim.pid, signal.SIGSTOP)
        time.sleep(0.3)
        os.kill(victim.pid, signal.SIGKILL)


class Pause(Fault[Site]):
    """SIGSTOP and SIGCONT."""

    def __init__(self, name: str, client: Allowed = KEPT) -> None:
        self.victim, self.client = name, client
        self.name = f"pause-{name}"

    def inject(self, site: Site, chance: random.Random) -> None:
        site.child(self.victim).pause()

    def heal(self, site: Site, chance: random.Random) -> None:
        site.child(self.victim).resume()


class PauseChild(Fault[Site]):
    """SIGSTOP and SIGCONT of one of an application's processes."""

    def __init__(self, app: str, client: Allowed = KEPT) -> None:
        self.app, self.client = app, client
        self.name = f"pause-{app}-child"
        self._victim = 0

    def inject(self, site: Site, chance: random.Random) -> None:
        self._victim = chance.choice(site.child(self.app).family()[1:]).pid
        os.kill(self._victim, signal.SIGSTOP)

    def heal(self, site: Site, chance: random.Random) -> None:
        """Thaw it, unless its parent has ended it."""
        with suppress(ProcessLookupError):
            os.kill(self._victim, signal.SIGCONT)


class Slow(Fault[Site]):
    """0.4 s more for every packet in both directions."""

    def __init__(self, server: str) -> None:
        self.server, self.name = server, f"slow-{server}"

    def inject(self, site: Site, chance: random.Random) -> None:
        site.links[self.server].delay = 0.4

    def heal(self, site: Site, chance: random.Random) -> None:
        site.links[self.server].mend()


class Stall(Fault[Site]):
    """Connections stay open and new ones are taken, and no byte comes through."""

    def __init__(self, server: str) -> None:
        self.server, self.name = server, f"stall-{server}"

    def inject(self, site: Site, chance: random.Random) -> None:
        site.links[self.server].stall()

    def heal(self, site: Site, chance: random.Random) -> None:
        """Let go: what was held comes through now, late."""
        site.links[self.server].mend()


class Reset(Fault[Site]):
    """Every connection is reset, and each new one too."""

    def __init__(self, server: str) -> None:
        self.server, self.name = server, f"reset-{server}"

    def inject(self, site: Site, chance: random.Random) -> None:
        site.links[self.server].resets = True
        site.links[self.server].cut()

    def heal(self, site: Site, chance: random.Random) -> None:
        site.links[self.server].mend()


class CourierKilled(KillOne):
    """kill -9 of the courier with work in its hands; the next one sends when its lease is over."""

    def __init__(self) -> None:
        super().__init__("courier", main=True)
        self.name = "kill-courier"

    def heal(self, site: Site, chance: random.Random) -> None:
        require_sms(site, self.name)


class GatewayHangs(Stall):
    """The gateway for SMS takes every call and answers none, for longer than the courier waits."""

    holds = 2.5

    def __init__(self) -> None:
        super().__init__("gateway")

    def heal(self, site: Site, chance: random.Random) -> None:
        """Let go, and look whether codes come again."""
        super().heal(site, chance)
        require_sms(site, self.name)


class GatewayResets(Reset):
    """The gateway for SMS resets every connection: nobody knows whether an SMS went out."""

    def __init__(self) -> None:
        super().__init__("gateway")

    def heal(self, site: Site, chance: random.Random) -> None:
        """Be well again, and look whether codes come again."""
        super().heal(site, chance)
        require_sms(site, self.name)


class ErasePersons(Fault[Site]):
    """Three people ask to be forgotten, while others register."""

    name = "erase-persons"
    holds = 0

    def inject(self, site: Site, chance: random.Random) -> None:
        """Erase some who have just registered. tools/drills/webhooks.py looks in the end whether they stay away."""
        found = site.sql(
            "SELECT phone_number FROM landing_registration WHERE campaign_id = 1 AND status = 'pending' "
            "ORDER BY id DESC LIMIT 50"
        )
        for (phone,) in chance.sample(found, min(ERASED, len(found))):
            # Not of the campaign with places, where a number would be missing.
            site.manage("erase", str(phone), "--campaign", "default", "--yes", "--settle", "0")
            ((at,),) = site.sql("SELECT max(erased_at) FROM landing_erasure")
            site.erased[str(phone)] = at


class CutNetwork(Fault[Site]):
    """The kernel drops or rejects every packet between the product and a server."""

    def __init__(self, server: str, verdict: str) -> None:
        self.server, self.verdict = server, verdict
        self.name = f"{'drop' if verdict == 'drop' else 'reject'}-{server}"

    def missing(self) -> str:
        """It takes a network of our own."""
        return room.no_network()

    def inject(self, site: Site, chance: random.Random) -> None:
        table, port = f"inet drill_{self.server}", site.links[self.server].front
        room.run("nft", f"add table {table}")
        room.run("nft", f"add chain {table} in {{ type filter hook input priority 0 ; }}")
        for side in ("dport", "sport"):
            room.run("nft", f"add rule {table} in tcp {side} {port} {self.verdict}")

    def heal(self, site: Site, chance: random.Random) -> None:
        room.run("nft", f"delete table inet drill_{self.server}")


class Both(Fault[Site]):
    """Two faults at once."""

    def __init__(self, one: Fault[Site], other: Fault[Site]) -> None:
        self._both = (one, other)
        self.name = f"{one.name}+{other.name.partition('-')[2]}"

    def missing(self) -> str:
        return " ".join(filter(None, (fault.missing() for fault in self._both)))

    def inject(self, site: Site, chance: random.Random) -> None:
        for fault in self._both:
            fault.inject(site, chance)

    def heal(self, site: Site, chance: random.Random) -> None:
        """Undo both, whatever becomes of the first."""
        with ExitStack() as undoing:
            for fault in self._both:
                undoing.callback(fault.heal, site, chance)


class WaitingCrowd(Fault[Site]):
    """A fault while hundreds wait: workers are frozen, and each visitor polls an id that no store knows."""

    holds = 2.5

    def __init__(self, fault: Fault[Site]) -> None:
        self._fault = fault
        self.name = f"crowd-{fault.name}"

    def missing(self) -> str:
        return self._fault.missing()

    def inject(self, site: Site, chance: random.Random) -> None:
        """Freeze the workers, let the crowd gather, and do the fault."""
        site.worker.pause()
        enough = site.accepted() + CROWD
        site.wait_for(lambda: site.accepted() >= enough, 60, f"{CROWD} who wait")
        self._fault.inject(site, chance)

    def heal(self, site: Site, chance: random.Random) -> None:
        try:
            self._fault.heal(site, chance)
        finally:
            site.worker.resume()


class LostCommits(Fault[Site]):
    """PostgreSQL commits, and the connection dies before its word arrives."""

    name = "lost-commit-reply"

    def inject(self, site: Site, chance: random.Random) -> None:
        site.links["postgres"].loses_commits = True

    def heal(self, site: Site, chance: random.Random) -> None:
        site.links["postgres"].mend()


class Alarm(Fault[Site]):
    """RabbitMQ blocks publishers for want of memory or disk."""

    def __init__(self, name: str, raised: tuple[str, str], lowered: tuple[str, str]) -> None:
        self.name, self.raised, self.lowered = name, raised, lowered

    def inject(self, site: Site, chance: random.Random) -> None:
        site.servers.rabbitmq.ctl(*self.raised)

    def heal(self, site: Site, chance: random.Random) -> None:
        site.servers.rabbitmq.ctl(*self.lowered)


MEMORY_ALARM = Alarm(
    "memory-alarm", ("set_vm_memory_high_watermark", "0"), ("set_vm_memory_high_watermark", "0.4")
)
DISK_ALARM = Alarm("disk-alarm", ("set_disk_free_limit", "1000GB"), ("set_disk_free_limit", "200MB"))


class AlarmWithPoison(Fault[Site]):
    """RabbitMQ blocks publishers while the queue holds what no retry can save: its neighbours are stored all the same."""

    name = "memory-alarm-poison"

    def inject(self, site: Site, chance: random.Random) -> None:
        """Let a backlog grow with poison at its head and in it, raise the alarm, and let the workers begin."""
        site.down.add("worker")
        site.worker.stop()
        before, accepted = site.stored() or 0, site.accepted()
        for _ in range(4):
            self._publish(site)
            site.wait(0.5)
        MEMORY_ALARM.inject(site, chance)
        # What is in the spool by now must wait; and some have a phone that was there before.
        enough = before + max(1, int(0.7 * (site.accepted() - accepted - site.spooled())))
        site.start(site.worker)
        try:
            site.wait_for(
                lambda: (site.stored() or 0) >= enough, STORED_WITHIN, "the backlog under the alarm"
            )
        except SiteFailed as failed:
            site.complaints.append(f"{self.name}: {failed}")

    def heal(self, site: Site, chance: random.Random) -> None:
        MEMORY_ALARM.heal(site, chance)

    def _publish(self, site: Site) -> None:
        with site.broker() as connection:
            poison = amqp.Message(
                b'[[[["not a phone","x","","","",""]]],{},{}]',
                application_headers={"task": "landing.tasks.save_phones_async", "id": str(uuid4())},
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=2,
            )
            connection.channel().basic_publish(poison, QUEUE, QUEUE)


_FORGET = """{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"%s">>, queue, <<"%s">>)),
rabbit_amqqueue:internal_delete(amqqueue:get_name(Q), <<"drill">>)."""
"""What is left to do when a quorum queue has lost its process and its log."""


class DiskFull(Fault[Site]):
    """No byte is left on RabbitMQ's disk, faster than its alarm can tell. It may cost RabbitMQ 3.10 its queue."""

    name = "broker-disk-full"
    # RabbitMQ's own log may be broken afterwards ("gap_between_snapshot_and_first_index"), and with it
    # what was in the queue: nothing that the product could help, and nothing for every run.
    usual = False

    def missing(self) -> str:
        """It takes a disk of our own."""
        return room.no_disks()

    def inject(self, site: Site, chance: random.Random) -> None:
        site.disks["rabbitmq"].fill()

    def heal(self, site: Site, chance: random.Random) -> None:
        """Make room, and start RabbitMQ again, which may have lost its log writer."""
        site.disks["rabbitmq"].empty()
        site.kill(site.servers.rabbitmq)
        site.start(site.servers.rabbitmq)
        vhost = site.settings["RABBITMQ_VHOST"]
        site.wait(3)
        if "undefined" in site.servers.rabbitmq.ctl("eval", f"whereis('{vhost}_{QUEUE}')."):
            site.servers.rabbitmq.ctl("eval", _FORGET % (vhost, QUEUE))
            site.declare_queues()


class SpoolFull(Fault[Site]):
    """RabbitMQ is frozen and the spool takes a few hundred registrations only."""

    name = "spool-full"
    client = BROKEN  # the web is started anew with a small quota, and again at the end

    def inject(self, site: Site, chance: random.Random) -> None:
        """Make the spool small, then take the broker away."""
        self._restart_web(site, quota="20000")
        site.servers.rabbitmq.pause()

    def heal(self, site: Site, chance: random.Random) -> None:
        site.servers.rabbitmq.resume()
        self._restart_web(site, quota="268435456")

    def _restart_web(self, site: Site, quota: str) -> None:
        site.settings = site.settings | {"SPOOL_QUOTA": quota}
        restart_web(site)


class SpoolDiskFull(Fault[Site]):
    """RabbitMQ is frozen and the spool's disk is full: a 503 is honest, a 202 would be a lie."""

    name = "spool-disk-full"
    client = REFUSED

    def missing(self) -> str:
        """It takes a disk of our own."""
        return room.no_disks()

    def inject(self, site: Site, chance: random.Random) -> None:
        """Fill one, freeze the other."""
        site.disks["spool"].fill()
        site.servers.rabbitmq.pause()

    def heal(self, site: Site, chance: random.Random) -> None:
        site.disks["spool"].empty()
        site.servers.rabbitmq.resume()


class SpoolDiskFails(Fault[Site]):
    """RabbitMQ is frozen and the spool's disk answers each fsync with EIO: what was written is not kept."""

    name = "spool-eio"
    client = REFUSED

    def missing(self) -> str:
        """It takes a C compiler."""
        return room.no_compiler()

    def inject(self, site: Site, chance: random.Random) -> None:
        """Take the broker away and let the disk fail."""
        site.servers.rabbitmq.pause()
        site.disk_flag.write_text("eio")

    def heal(self, site: Site, chance: random.Random) -> None:
        site.disk_flag.unlink(missing_ok=True)
        site.servers.rabbitmq.resume()


class SpoolAlone(Fault[Site]):
    """RabbitMQ is well and the spool's disk is not: nobody must notice, though half of all groups go there first."""

    def __init__(self, wrong: str) -> None:
        self.wrong, self.name = wrong, f"spool-alone-{wrong}"

    def missing(self) -> str:
        """It takes a C compiler."""
        return room.no_compiler()

    def inject(self, site: Site, chance: random.Random) -> None:
        site.disk_flag.write_text(self.wrong)

    def heal(self, site: Site, chance: random.Random) -> None:
        site.disk_flag.unlink(missing_ok=True)


class ClockJumps(Fault[Site]):
    """The wall clock of web and worker jumps an hour, a day, or ten seconds back, three times."""

    name = "clock-jumps"
    bends_time = True
    client = BROKEN  # both are started anew with that clock, and again at the end

    def missing(self) -> str:
        """It takes a C compiler."""
        return room.no_compiler()

    def inject(self, site: Site, chance: random.Random) -> None:
        """Give both the clock, and let it jump."""
        preload(site, JUMPING_CLOCK, JUMPING_CLOCK=str(self._file(site)))
        self._restart(site)
        for seconds in chance.sample(JUMPS, 3):
            self._file(site).write_text(f"{seconds}\n")
            site.wait(2)

    def heal(self, site: Site, chance: random.Random) -> None:
        """Let both have the right time again."""
        self._file(site).unlink(missing_ok=True)
        unload(site)
        self._restart(site)

    def _file(self, site: Site) -> Path:
        return site.state_dir / "clock"

    def _restart(self, site: Site) -> None:
        site.worker.terminate()  # the supervisor starts it again
        restart_web(site)


class QueueFull(Fault[Site]):
    """The queue has reached its limit and refuses more, while nobody works on it."""

    name = "queue-full"

    def inject(self, site: Site, chance: random.Random) -> None:
        """Stop the workers and set a limit by a policy."""
        site.worker.pause()
        limit = (f"^{QUEUE}$", '{"max-length": 20}', "--apply-to", "queues")
        site.servers.rabbitmq.ctl("set_policy", "-p", site.settings["RABBITMQ_VHOST"], "limit", *limit)

    def heal(self, site: Site, chance: random.Random) -> None:
        site.servers.rabbitmq.ctl("clear_policy", "-p", site.settings["RABBITMQ_VHOST"], "limit")
        site.worker.resume()


class QueueDeleted(Fault[Site]):
    """Somebody deletes the queue. It is emptied first: what is in it when it goes, nobody can keep."""

    name = "queue-deleted"

    def inject(self, site: Site, chance: random.Random) -> None:
        """Hold publishers off by an alarm until all is stored, then delete."""
        rabbitmq = site.servers.rabbitmq
        rabbitmq.ctl(*MEMORY_ALARM.raised)
        try:
            site.wait_for(lambda: self._is_empty(site), 40, "an empty queue")
            rabbitmq.ctl("delete_queue", QUEUE, "--vhost", site.settings["RABBITMQ_VHOST"])
        finally:
            rabbitmq.ctl(*MEMORY_ALARM.lowered)

    def heal(self, site: Site, chance: random.Random) -> None:
        site.declare_queues()

    def _is_empty(self, site: Site) -> bool:
        told = site.servers.rabbitmq.ctl(
            "list_queues",
            "-q",
            "--no-table-headers",
            "-p",
            site.settings["RABBITMQ_VHOST"],
            "name",
            "messages",
        )
        return [QUEUE, "0"] in [line.split() for line in told.splitlines()]


class ReadOnly(Fault[Site]):
    """PostgreSQL lets nobody write, as a standby does."""

    name = "read-only"

    def inject(self, site: Site, chance: random.Random) -> None:
        site.sql("ALTER SYSTEM SET default_transaction_read_only = on")
        site.sql("SELECT pg_reload_conf()")

    def heal(self, site: Site, chance: random.Random) -> None:
        site.sql("ALTER SYSTEM RESET default_transaction_read_only")
        site.sql("SELECT pg_reload_conf()")


class Locked(Fault[Site]):
    """Somebody holds a lock on the table that everything goes into."""

    name = "table-locked"

    def __init__(self) -> None:
        self._over = threading.Event()
        self._holder: threading.Thread | None = None

    def inject(self, site: Site, chance: random.Random) -> None:
        self._over.clear()
        self._holder = threading.Thread(target=self._hold, args=[site], daemon=True)
        self._holder.start()

    def heal(self, site: Site, chance: random.Random) -> None:
        self._over.set()
        if self._holder:
            self._holder.join(10)

    def _hold(self, site: Site) -> None:
        login = site.servers.environment()
        with (
            suppress(psycopg.Error),
            psycopg.connect(
                host=login["POSTGRES_HOST"],
                port=login["POSTGRES_PORT"],
                user=login["POSTGRES_USER"],
                password=login["POSTGRES_PASSWORD"],
                dbname=login["POSTGRES_DB"],
            ) as connection,
        ):
            connection.execute("LOCK TABLE landing_submission IN ACCESS EXCLUSIVE MODE")
            self._over.wait(120)
            connection.rollback()


class Redelivery(Fault[Site]):
    """Somebody else takes messages, sends one in twenty a second time, and gives every one back."""

    name = "redelivery"

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thief: threading.Thread | None = None
        self._copied = 0

    def inject(self, site: Site, chance: random.Random) -> None:
        self._over.clear()
        self._thief = threading.Thread(target=self._steal, args=[site], daemon=True)
        self._thief.start()

    def heal(self, site: Site, chance: random.Random) -> None:
        """Stop; what it still holds goes back with its connection."""
        self._over.set()
        if self._thief:
            self._thief.join(10)

    def _steal(self, site: Site) -> None:
        # AttributeError is what py-amqp raises for a connection that broke under its hands.
        with suppress(OSError, amqp.exceptions.AMQPError, AttributeError), site.broker() as connection:
            channel = connection.channel()
            channel.basic_qos(0, 1, False)

            def give_back(message: amqp.Message) -> None:
                self._copied += 1
                if self._copied % 10 == 1:  # and about half of all messages come to us
                    copy = amqp.Message(message.body, **message.properties)
                    channel.basic_publish(copy, QUEUE, QUEUE)
                channel.basic_reject(message.delivery_tag or 0, requeue=True)

            channel.basic_consume(QUEUE, callback=give_back)
            while not self._over.is_set():
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.2)


class StalledLogs(Fault[Site]):
    """Nobody reads what a process writes to its log any more: a log shipper hangs, a terminal was paused."""

    holds = 2.5  # until the pipe is full

    def __init__(self, app: str) -> None:
        self.app, self.name = app, f"stalled-logs-{app}"

    def inject(self, site: Site, chance: random.Random) -> None:
        self._piped(site).is_read.clear()

    def heal(self, site: Site, chance: random.Random) -> None:
        self._piped(site).is_read.set()

    def _piped(self, site: Site) -> Piped:
        return site.web if self.app == "web" else site.worker


class RedisDemoted(Fault[Site]):
    """A failover: new connections lead to another Redis, and the one behind the old ones takes no writes any more."""

    name = "redis-demoted"

    def __init__(self) -> None:
        self._spare: Valkey | None = None

    def inject(self, site: Site, chance: random.Random) -> None:
        """Start another, lead new connections to it, and make ours its replica."""
        self._spare = site.spare_redis()
        self._spare.start()
        port = int(self._spare.environment()["REDIS_PORT"])
        site.links["redis"].back = port
        with site.redis(site.servers.redis) as ours:
            ours.config_set("masterauth", self._spare.environment()["REDIS_PASSWORD"])
            ours.replicaof("127.0.0.1", port)

    def heal(self, site: Site, chance: random.Random) -> None:
        """Look whether limits and states have followed; then fail back."""
        assert self._spare
        try:
            site.wait_for(
                lambda: self._has_all(site), MOVED_WITHIN, "limits and states in the Redis that takes writes"
            )
        except SiteFailed as failed:
            site.complaints.append(f"{self.name}: {failed}")
        with site.redis(site.servers.redis) as ours:
            ours.replicaof("NO", "ONE")
        site.links["redis"].back = int(site.servers.redis.environment()["REDIS_PORT"])
        self._spare.kill()

    def _has_all(self, site: Site) -> bool:
        """Whether the new Redis gets a limit and a state for nearly each that is accepted, from all processes."""
        limits, states, accepted = self._counts(site)
        site.wait(2)
        limits_now, states_now, accepted_now = self._counts(site)
        enough = (accepted_now - accepted) * 0.8
        return enough > 0 and limits_now - limits >= enough and states_now - states >= enough

    def _counts(self, site: Site) -> tuple[int, int, int]:
        assert self._spare
        with site.redis(self._spare) as new:
            limits, states = (sum(1 for _ in new.scan_iter(f"{name}*", 1000)) for name in LIMITS_AND_STATES)
        return limits, states, site.accepted()


class RollingRestart(Fault[Site]):
    """A deployment: the web by HUP, the workers by TERM, or both and every server one after the other."""

    holds = 0.0

    def __init__(self, what: str) -> None:
        self.what, self.name = what, f"restart-{what}"
        self.client = KEPT if what == "worker" else BROKEN

    def inject(self, site: Site, chance: random.Random) -> None:
        if self.what in ("web", "all"):
            os.kill(site.web.pid, signal.SIGHUP)
            site.wait(4)
        if self.what in ("worker", "all"):
            site.worker.terminate()  # the supervisor starts it again
            site.wait(4)
        if self.what == "all":
            for server in chance.sample(site.servers.all, len(site.servers.all)):
                site.down.add(server.name)
                server.stop()
                site.start(server)


class EverythingKilled(Fault[Site]):
    """All processes die at once and come back in any order."""

    name = "kill-all"
    client = BROKEN

    def inject(self, site: Site, chance: random.Random) -> None:
        site.kill_all()

    def heal(self, site: Site, chance: random.Random) -> None:
        site.start_all(_shuffled(site, chance))


class StoresDown(Fault[Site]):
    """Broker, databases, Redis and workers are all away; the web stands alone and keeps accepting."""

    name = "all-but-web"

    def inject(self, site: Site, chance: random.Random) -> None:
        for child in site.children:
            if child.name != "web":
                site.kill(child)

    def heal(self, site: Site, chance: random.Random) -> None:
        site.start_all([name for name in _shuffled(site, chance) if name != "web"])


class PowerCut(Fault[Site]):
    """The machine loses its power: what was not synced is gone. MongoDB's disk is kept, see the runbook."""

    client = BROKEN
    holds = 0.0

    def __init__(self, *, with_spool: bool) -> None:
        self.with_spool = with_spool
        self.name = "power-cut-spooling" if with_spool else "power-cut"

    def missing(self) -> str:
        """It takes disks of our own."""
        return room.no_disks()

    def inject(self, site: Site, chance: random.Random) -> None:
        """Cut; for the spool, while RabbitMQ is away and the spool has something to lose."""
        if self.with_spool:
            site.kill(site.servers.rabbitmq)
            site.wait(chance.uniform(1.0, 2.0))
        site.cut_power()

    def heal(self, site: Site, chance: random.Random) -> None:
        """Start on what is left."""
        site.start_all(_shuffled(site, chance))


def require_sms(site: Site, name: str) -> None:
    """Complain if no SMS comes to anybody any more."""
    before = site.sms_written()
    try:
        site.wait_for(lambda: site.sms_written() > before, SENT_WITHIN, "an SMS")
    except SiteFailed as failed:
        site.complaints.append(f"{name}: {failed}")


def preload(site: Site, source: Path, **settings: str) -> None:
    """Compile a library; the web and the worker are given it, with these settings, when they are started next."""
    libraries = [*filter(None, [site.preloaded]), room.compiled(source, site.state_dir)]
    site.settings = site.settings | settings | {"LD_PRELOAD": ":".join(libraries)}


def unload(site: Site) -> None:
    """Take back what preload has given, for the next start."""
    site.settings = site.settings | {"LD_PRELOAD": site.preloaded}


def restart_web(site: Site) -> None:
    """Stop the web and start it with the site's settings."""
    site.down.add("web")
    site.web.stop()
    site.start(site.web)
    site.wait(2)


def _shuffled(site: Site, chance: random.Random) -> list[str]:
    names = [child.name for child in site.children]
    return chance.sample(names, len(names))


LIMITS_AND_STATES = ("limit:", "celery-task-meta-")
"""How the keys begin under which the product keeps them in Redis."""

SERVERS = ("rabbitmq", "postgres", "mongodb", "redis")


def catalog() -> list[Fault[Site]]:
    """Every fault there is, in the order of the matrix."""
    return [
        KillOne("web", main=False, client=BROKEN),
        KillOne("web", main=True, client=BROKEN),
        KillOne("worker", main=False),
        KillOne("worker", main=True),
        CourierKilled(),
        *(Kill(server) for server in SERVERS),
        PauseChild("web", client=FROZEN),
        PauseChild("worker"),
        Pause("worker"),
        *(Pause(server) for server in SERVERS),
        *(Slow(server) for server in SERVERS),
        *(Stall(server) for server in SERVERS),
        *(Reset(server) for server in SERVERS),
        GatewayHangs(),
        GatewayResets(),
        Stall("receiver"),
        Reset("receiver"),
        ErasePersons(),
        *(CutNetwork(server, "drop") for server in SERVERS),
        *(CutNetwork(server, "reject with tcp reset") for server in ("rabbitmq", "postgres")),
        *(Both(Pause(one), Pause(other)) for one, other in combinations(SERVERS, 2)),
        *(
            Both(CutNetwork(one, "drop"), CutNetwork(other, "drop"))
            for one, other in combinations(SERVERS, 2)
        ),
        WaitingCrowd(Pause("postgres")),
        WaitingCrowd(CutNetwork("postgres", "drop")),
        LostCommits(),
        MEMORY_ALARM,
        DISK_ALARM,
        AlarmWithPoison(),
        DiskFull(),
        SpoolFull(),
        SpoolDiskFull(),
        SpoolDiskFails(),
        *(SpoolAlone(wrong) for wrong in ("full", "slow", "eio", "read-only")),
        StalledLogs("web"),
        StalledLogs("worker"),
        RedisDemoted(),
        ClockJumps(),
        QueueFull(),
        QueueDeleted(),
        ReadOnly(),
        Locked(),
        Redelivery(),
        RollingRestart("web"),
        RollingRestart("worker"),
        RollingRestart("all"),
        EverythingKilled(),
        StoresDown(),
        PowerCut(with_spool=False),
        PowerCut(with_spool=True),
    ]
