"""Totals in Redis: right across processes, through Redis's absence, and through answers that are lost."""

import json
import os
import subprocess
import sys
import time
from typing import Any, Never

import pytest

from dashboard.live import counters
from lib import metrics
from local.servers import Servers
from tests.test_outages import hung, without

PROCESS = """
import django; django.setup()
from dashboard.live import counters
from lib import metrics
for _ in range(50):
    metrics.count("accepted:rabbitmq", 7)
    metrics.observe("register_seconds", 0.004)
    adder = globals().setdefault("adder", counters.Adder())
    adder.flush()
"""


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    metrics.take()


@pytest.fixture
def adder() -> Any:
    return counters.Adder()


def test_what_several_processes_count_at_once_adds_up() -> None:
    processes = [subprocess.Popen([sys.executable, "-c", PROCESS], env=os.environ) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    found = counters.totals()
    assert found["accepted:rabbitmq"] == 3 * 50 * 7
    assert found["register_seconds:0.005"] == 3 * 50
    in_the_last_hour = counters.hour(0).values()
    assert sum(counts.get("accepted:rabbitmq", 0) for counts in in_the_last_hour) == 3 * 50 * 7


def test_what_is_counted_while_redis_is_away_is_added_when_it_is_back(adder: Any, servers: Servers) -> None:
    with without(servers.redis):
        for _ in range(3):
            metrics.count("stored", 2)
            with pytest.raises(counters.Unavailable):
                adder.flush()
    adder.flush()
    assert counters.totals() == {"stored": 6}


def test_an_addition_whose_answer_was_lost_is_not_made_twice(
    adder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = type(counters.redis().pipeline())
    execute = pipeline.execute

    def lose_the_answer(self: Any, *args: Any, **kwargs: Any) -> Never:
        execute(self, *args, **kwargs)
        raise TimeoutError

    metrics.count("stored", 5)
    monkeypatch.setattr(pipeline, "execute", lose_the_answer)
    with pytest.raises(TimeoutError):
        adder.flush()
    monkeypatch.undo()
    adder.flush()
    metrics.count("stored")
    adder.flush()
    assert counters.totals() == {"stored": 6}


def test_a_redis_that_hangs_counts_each_once_when_it_goes_on(adder: Any, servers: Servers) -> None:
    metrics.count("stored", 5)
    with hung(servers.redis):
        for _ in range(2):
            with pytest.raises(counters.Unavailable):
                adder.flush()
    adder.flush()
    assert counters.totals() == {"stored": 5}


def test_counts_stand_in_the_ten_seconds_in_which_they_were_taken(
    adder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = counters.bucket_of(time.time())
    for ago in (30, 10):
        metrics.count("stored")
        monkeypatch.setattr(counters.time, "time", lambda ago=ago: now - ago + 1)
        adder.flush()
    monkeypatch.undo()
    assert {start: counts for start, counts in counters.hour(now - 60).items() if counts} == {
        now - 30: {"stored": 1},
        now - 10: {"stored": 1},
    }


def test_a_long_absence_of_redis_takes_no_more_memory_than_an_hour(
    adder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = counters.bucket_of(time.time())
    monkeypatch.setattr(counters.Adder, "_add", lambda *_: (_ for _ in ()).throw(ConnectionError))
    for step in range(500):
        metrics.count("stored")
        monkeypatch.setattr(counters.time, "time", lambda step=step: now + 10 * step)
        with pytest.raises(ConnectionError):
            adder.flush()
    assert len(adder._waiting) == 360
    monkeypatch.undo()
    adder.flush()
    assert counters.totals() == {"stored": 500}


def test_a_bucket_is_sampled_by_one_process() -> None:
    assert [counters.is_mine(100) for _ in range(3)] == [True, False, False]


def test_what_redis_was_told_of_a_process_is_what_it_said() -> None:
    counters.announce("web a 1", {"role": "web", "at": 5})
    assert counters.processes() == {"web a 1": json.loads('{"role": "web", "at": 5}')}
    counters.forget(["web a 1"])
    assert counters.processes() == {}
