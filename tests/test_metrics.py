"""Counting: no increment is lost, a fork begins at nothing, and a quantile is where it should be."""

import os
import threading
from typing import Any

import pytest

from lib import metrics


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    metrics.take()


def test_what_was_counted_is_taken_once() -> None:
    metrics.count("accepted:spool", 3)
    metrics.count("accepted:spool")
    assert metrics.take() == {"accepted:spool": 4}
    assert metrics.take() == {}


def test_threads_that_count_at_once_lose_nothing() -> None:
    def count() -> None:
        for _ in range(20_000):
            metrics.count("stored")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.take() == {"stored": 80_000}


def test_a_forked_child_does_not_tell_its_parents_counts_again() -> None:
    metrics.count("stored")
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, repr(metrics.take()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"{}"
    assert metrics.take() == {"stored": 1}
    os.close(reader)
    os.close(writer)


def test_only_a_call_that_returns_is_timed() -> None:
    @metrics.timed("store_seconds")
    def store(fails: Any) -> str:
        if fails:
            raise BrokenPipeError
        return "stored"

    assert store(fails=False) == "stored"
    with pytest.raises(BrokenPipeError):
        store(fails=True)
    taken = metrics.take()
    assert sum(taken.get(field, 0) for field in metrics.buckets("store_seconds")[:-1]) == 1


@pytest.mark.parametrize(("share", "seconds"), [(0.5, 0.005), (0.99, 1.0), (0.25, 0.004)])
def test_a_quantile_lies_in_the_bucket_that_holds_it(share: float, seconds: float) -> None:
    for taken in [0.004] * 50 + [0.9] * 50:
        metrics.observe("register_seconds", taken)
    assert metrics.quantile(metrics.take(), "register_seconds", share) == pytest.approx(seconds, abs=0.02)


def test_without_observations_there_is_no_quantile() -> None:
    assert metrics.quantile({}, "register_seconds", 0.99) is None


def test_what_is_beyond_all_bounds_is_in_the_last_bucket() -> None:
    metrics.observe("register_seconds", 3600)
    assert metrics.quantile(metrics.take(), "register_seconds", 0.5) == metrics.BOUNDS[-1]
