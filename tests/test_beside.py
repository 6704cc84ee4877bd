"""What runs beside a worker or a web survives what it did not expect, and says so."""

import threading

import pytest

from landing.storing.background import BackgroundLoop
from tests.waiting import eventually


def test_a_round_that_raises_is_logged_by_the_loops_name_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rounds = []

    def act() -> None:
        rounds.append("a round")
        if len(rounds) == 1:
            raise KeyError("nobody thought of this")

    loop = BackgroundLoop("the exports", 0.01, act)
    loop.start()
    eventually(lambda: len(rounds) > 1)
    loop.end()
    assert loop.join(5)
    [said] = [record for record in caplog.records if record.exc_info]
    assert said.loop == "the exports"
    assert "nobody thought of this" in str(said.exc_info[1])


def test_no_round_begins_after_the_end_and_one_that_is_stuck_is_not_waited_for() -> None:
    begun, stuck = threading.Event(), threading.Event()

    def act() -> None:
        begun.set()
        stuck.wait(30)

    loop = BackgroundLoop("stuck", 0.01, act)
    loop.start()
    assert begun.wait(5)
    loop.end()
    begun.clear()
    assert not loop.join(0.05)
    stuck.set()
    assert loop.join(5)
    assert not begun.is_set()
