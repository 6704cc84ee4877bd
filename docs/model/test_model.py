"""A 202 means kept, in a model of the whole path in which the power may go between any two steps.

The model is small enough that Hypothesis walks through its orders of events: late confirms, ghost
publishes, redeliveries, crashes of each part. It must hold as designed, and break for each bug below.
"""

import pickle
from collections import Counter
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

ACK_BEFORE_COMMIT = "the worker acknowledges before it commits"
NOT_MANDATORY = "a message without a queue is confirmed and dropped"
LATE_CONFIRM = "a confirm is taken for whatever was published last"
SPOOL_NOT_SYNCED = "the spool commits with synchronous=NORMAL"
PLAIN_INSERT = "the worker inserts without ON CONFLICT"

LOST, TWICE = "accepted and lost", "stored twice"
BUGS = {
    ACK_BEFORE_COMMIT: LOST,
    NOT_MANDATORY: LOST,
    LATE_CONFIRM: LOST,
    SPOOL_NOT_SYNCED: LOST,
    PLAIN_INSERT: TWICE,
}

Ids = tuple[int, ...]

_connections = count()


@dataclass
class Sent:
    """A message on its way, and on which connection, under which delivery tag, it was sent."""

    connection: int
    tag: int
    ids: Ids


@dataclass
class Answer:
    """The broker's word on one message."""

    connection: int
    tag: int
    kept: bool


class Broker:
    """A quorum queue: what was synced survives, and only then is it confirmed."""

    def __init__(self, bug):
        self.bug = bug
        self.has_queue = True
        self.arriving: list[Sent] = []
        self.in_memory: list[Sent] = []
        self.ready: list[Ids] = []
        self.unacked: list[Ids] = []
        self.answers: list[Answer] = []

    def read(self):
        sent = self.arriving.pop(0)
        if self.has_queue:
            self.in_memory.append(sent)
        else:
            is_mandatory = self.bug != NOT_MANDATORY
            self.answers.append(Answer(sent.connection, sent.tag, kept=not is_mandatory))

    def sync(self):
        sent = self.in_memory.pop(0)
        self.ready.append(sent.ids)
        self.answers.append(Answer(sent.connection, sent.tag, kept=True))

    def deliver(self):
        ids = self.ready.pop(0)
        self.unacked.append(ids)
        return ids

    def take_back(self):
        """The consumer's connection is gone: what it held is delivered again."""
        self.ready = self.unacked + self.ready
        self.unacked = []

    def crash(self):
        self.arriving, self.in_memory, self.answers = [], [], []
        self.take_back()

    @property
    def is_empty(self):
        return not (self.in_memory or self.ready or self.unacked)


class Publisher:
    """One connection to the broker with one message in flight."""

    def __init__(self, broker):
        self.broker = broker
        self.sent: Sent | None = None
        self.tag = 0
        self._connect()

    def _connect(self):
        self.connection = next(_connections)

    def send(self, ids):
        self.tag += 1
        self.sent = Sent(self.connection, self.tag, ids)
        self.broker.arriving.append(self.sent)

    def has_answer(self):
        return bool(self.sent) and any(a.connection == self.connection for a in self.broker.answers)

    def hear(self):
        """Return the ids whose fate is known now, and whether they are kept."""
        answer = next(a for a in self.broker.answers if a.connection == self.connection)
        self.broker.answers.remove(answer)
        if answer.tag != self.sent.tag and self.broker.bug != LATE_CONFIRM:
            return (), False
        ids, self.sent = self.sent.ids, None
        return ids, answer.kept

    def give_up(self):
        """Time is over. The bytes may still reach the broker; its confirm must reach nobody."""
        ids, self.sent = self.sent.ids, None
        if self.broker.bug != LATE_CONFIRM:
            self._connect()
        return ids


class Spool:
    """Rows in the kernel's memory and rows on the disk."""

    def __init__(self, bug):
        self.bug = bug
        self.written: list[Ids] = []
        self.synced: list[Ids] = []

    def append(self, ids):
        self.written.append(ids)
        if self.bug != SPOOL_NOT_SYNCED:
            self.checkpoint()

    def checkpoint(self):
        self.synced += self.written
        self.written = []

    @property
    def rows(self):
        return self.synced + self.written

    def delete(self, ids):
        (self.synced if ids in self.synced else self.written).remove(ids)


class Stores:
    """PostgreSQL with its outbox, and MongoDB: a commit is on the disk, and the same done twice is done once."""

    def __init__(self, bug):
        self.bug = bug
        self.rows: Counter[int] = Counter()
        self.parked: set[int] = set()
        self.documents: Counter[int] = Counter()
        self.mongodb_is_up = True

    def store(self, ids):
        if self.bug == PLAIN_INSERT:
            self.rows.update(ids)
        else:
            self.rows |= Counter(set(ids))

    def log(self, ids):
        if self.mongodb_is_up:
            self.documents |= Counter(set(ids))
        else:
            self.parked |= set(ids)

    def redrive(self):
        self.documents |= Counter(self.parked)
        self.parked = set()


class Worker:
    """One message in hand and the steps that are left to do with it."""

    def __init__(self, broker, stores):
        self.broker = broker
        self.stores = stores
        self.ids: Ids | None = None
        self.steps = []

    def take(self):
        self.ids = self.broker.deliver()
        self.steps = ["store", "log", "acknowledge"]
        if self.broker.bug == ACK_BEFORE_COMMIT:
            self.steps = ["acknowledge", "store", "log"]

    def step(self):
        step = self.steps.pop(0)
        if step == "store":
            self.stores.store(self.ids)
        elif step == "log":
            self.stores.log(self.ids)
        elif self.ids in self.broker.unacked:  # or it has been taken back, and this ack is an error
            self.broker.unacked.remove(self.ids)
        if not self.steps:
            self.ids = None

    def repeat(self):
        """A reply was lost: whether it was done is not known, so all is done again."""
        if "store" not in self.steps:
            self.steps = ["store", *[step for step in self.steps if step != "store"]]

    def crash(self):
        self.ids, self.steps = None, []
        self.broker.take_back()


class World:
    """Everything, and who was told what."""

    def __init__(self, bug=None):
        self.broker = Broker(bug)
        self.spool = Spool(bug)
        self.stores = Stores(bug)
        self.worker = Worker(self.broker, self.stores)
        self.start_web()
        self.asked = 0
        self.accepted: set[int] = set()

    def start_web(self):
        self.refused_by_broker: Ids = ()
        self.web = Publisher(self.broker)
        self.drainer = Publisher(self.broker)

    def web_hears(self):
        ids, kept = self.web.hear()
        if kept:
            self.accepted |= set(ids)
        else:
            self.refused_by_broker += ids

    def spool_group(self):
        self.spool.append(self.refused_by_broker)
        self.accepted |= set(self.refused_by_broker)
        self.refused_by_broker = ()

    def drainer_hears(self):
        ids, kept = self.drainer.hear()
        if kept:
            self.spool.delete(ids)

    def cut_power(self):
        self.broker.crash()
        self.spool.written = []
        self.worker.crash()
        self.start_web()

    def come_to_rest(self):
        """Everything is up again and nobody asks for more."""
        self.start_web()
        self.worker.crash()
        self.broker.has_queue = True
        self.stores.mongodb_is_up = True
        while self.broker.arriving:
            self.broker.read()
        while self.broker.in_memory:
            self.broker.sync()
        for ids in self.spool.rows:
            self.broker.ready.append(ids)
        self.spool.written, self.spool.synced = [], []
        while self.broker.ready:
            self.worker.take()
            while self.worker.ids is not None:
                self.worker.step()
        self.stores.redrive()

    def assert_kept(self):
        for store in (self.stores.rows, self.stores.documents):
            lost = self.accepted - set(store)
            assert not lost, f"{LOST}: {lost}"
            assert set(store.values()) <= {1}, TWICE
            assert set(store) <= set(range(self.asked)), "stored and never asked for"
        assert not self.broker.unacked
        assert not self.stores.parked


class Machine(RuleBasedStateMachine):
    """Every single step, in any order."""

    bug = None

    def __init__(self):
        super().__init__()
        self.world = World(self.bug)

    @invariant()
    def a_202_is_kept_though_the_power_goes_now(self):
        future = pickle.loads(pickle.dumps(self.world))
        future.cut_power()
        future.come_to_rest()
        future.assert_kept()

    def teardown(self):
        self.world.come_to_rest()
        self.world.assert_kept()

    # -- visitors and the web

    @precondition(lambda self: not self.world.web.sent)
    @rule(visitors=st.integers(1, 3), repeats=st.booleans())
    def the_web_publishes_what_has_come(self, visitors, repeats):
        first = self.world.asked
        self.world.asked += visitors
        again = [first // 2] if repeats and first else []  # with the same Idempotency-Key
        self.world.web.send((*again, *range(first, first + visitors)))

    @precondition(lambda self: self.world.web.has_answer())
    @rule()
    def the_web_hears_from_the_broker(self):
        self.world.web_hears()

    @precondition(lambda self: self.world.web.sent)
    @rule()
    def the_web_waits_no_longer(self):
        self.world.refused_by_broker += self.world.web.give_up()

    @precondition(lambda self: self.world.refused_by_broker)
    @rule()
    def the_web_spools_the_group(self):
        self.world.spool_group()

    # -- the drainer

    @precondition(lambda self: self.world.spool.rows and not self.world.drainer.sent)
    @rule()
    def the_drainer_publishes_a_row(self):
        self.world.drainer.send(self.world.spool.rows[0])

    @precondition(lambda self: self.world.drainer.has_answer())
    @rule()
    def the_drainer_hears_from_the_broker(self):
        self.world.drainer_hears()

    @precondition(lambda self: self.world.drainer.sent)
    @rule()
    def the_drainer_waits_no_longer(self):
        self.world.drainer.give_up()

    # -- the broker

    @precondition(lambda self: self.world.broker.arriving)
    @rule()
    def the_broker_reads(self):
        self.world.broker.read()

    @precondition(lambda self: self.world.broker.in_memory)
    @rule()
    def the_broker_syncs(self):
        self.world.broker.sync()

    @precondition(lambda self: self.world.broker.is_empty or not self.world.broker.has_queue)
    @rule()
    def the_empty_queue_is_deleted_or_declared(self):
        self.world.broker.has_queue = not self.world.broker.has_queue

    # -- the worker and the stores

    @precondition(lambda self: self.world.broker.ready and self.world.worker.ids is None)
    @rule()
    def the_worker_takes_a_message(self):
        self.world.worker.take()

    @precondition(lambda self: self.world.worker.ids is not None)
    @rule()
    def the_worker_does_the_next_step(self):
        self.world.worker.step()

    @precondition(lambda self: self.world.worker.ids is not None)
    @rule()
    def a_commit_reply_is_lost(self):
        self.world.worker.repeat()

    @precondition(lambda self: self.world.broker.unacked)
    @rule()
    def the_worker_loses_its_connection_and_goes_on(self):
        self.world.broker.take_back()

    @rule()
    def mongodb_goes_or_comes(self):
        self.world.stores.mongodb_is_up = not self.world.stores.mongodb_is_up
        if self.world.stores.mongodb_is_up:
            self.world.stores.redrive()

    # -- what dies; the power is in the invariant, after every step

    @rule(victim=st.sampled_from(["web", "broker", "worker", "all"]))
    def a_process_is_killed(self, victim):
        kill = {
            "web": self.world.start_web,
            "broker": self.world.broker.crash,
            "worker": self.world.worker.crash,
            "all": self.world.cut_power,
        }
        kill[victim]()


CHECK = settings(
    max_examples=300,
    stateful_step_count=50,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def test_a_202_is_kept_whatever_the_order_of_events():
    run_state_machine_as_test(Machine, settings=CHECK)


@pytest.mark.parametrize("bug", BUGS)
def test_the_machine_finds_a_bug(bug):
    faulty = type("Faulty", (Machine,), {"bug": bug})
    search = settings(CHECK, max_examples=2000, phases=[Phase.generate])
    with pytest.raises(AssertionError, match=BUGS[bug]):
        run_state_machine_as_test(faulty, settings=search)
