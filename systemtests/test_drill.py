"""A short drill with a fixed seed: the faults that tell most, every kind of visitor, and not one registration lost."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from systemtests.stack import ROOT
from tools.drills import report
from tools.drills.drill import Outcome, Turn
from tools.drills.faults import BROKEN, KEPT, REFUSED, Pause
from tools.drills.load import CUT, HANGS, KINDS

SEED = 5
# The broker and the truth, by death and by silence; a lie of the network; everything.
FAULTS = [
    "kill-rabbitmq",
    "pause-postgres",
    "lost-commit-reply",
    "kill-worker-child",
    "kill-all",
]


@pytest.mark.timeout(400)
def test_a_202_means_kept_under_faults(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    only = [argument for fault in FAULTS for argument in ("--only", fault)]
    # The machine of the tests is busy with the tests: it is the answers that are judged here, not their times.
    command = [sys.executable, "-m", "tools.drills", "--seed", str(SEED), "--no-times"]
    done = subprocess.run(
        [
            *command,
            "--rate",
            "40",
            "--hold",
            "2",
            *only,
            "--json",
            str(figures),
            "--state-dir",
            str(tmp_path / "drill"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert figures.exists(), done.stdout + done.stderr
    seen = json.loads(figures.read_text())
    assert seen["failures"] == [], done.stdout
    assert seen["damage"] == {"lost": 0, "duplicated": 0, "unexpected": 0}
    assert seen["surprises"] == 0
    assert seen["faults"] == len(FAULTS)
    assert seen["accepted"] > 600
    for kind in KINDS:
        assert sum(row["kinds"][kind]["good"] for row in seen["rows"]) > 5, kind


def judged(tmp_path: Path, *answers: Any, client: frozenset[int | str] = KEPT, times: Any = True) -> Any:
    """Judge one fault, from second 10 to 20 (healed at 15), with these answers: (at, took, kind, status)."""
    fault = Pause("postgres")
    fault.client = client
    outcome = Outcome(tmp_path / "answers.jsonl", began=0.0, report={"lost": {"count": 0, "ids": []}})
    outcome.turns = [Turn(fault, began=10.0, healed=15.0, ended=20.0)]
    names = ("at", "took", "kind", "status", "accepted")
    lines = [json.dumps(dict(zip(names, (*answer, ""), strict=True))) for answer in answers]
    outcome.answers.write_text("\n".join(lines))
    return report.judge(outcome, times=times).failures


def test_a_drill_fails_on_each_answer_that_the_readme_does_not_allow(tmp_path: Path) -> None:
    good = [(11, 0.1, kind, next(iter(report.GOOD[kind]))) for kind in KINDS]
    assert judged(tmp_path, *good) == []
    assert judged(tmp_path, (11, 0.1, "json", 503)) == ["pause-postgres: json: 1 × 503"]
    assert judged(tmp_path, (11, 0.1, "wrong number", 202)) == ["pause-postgres: wrong number: 1 × 202"]
    assert judged(tmp_path, (11, 10, "preflight", HANGS), times=False) == [
        "pause-postgres: preflight: 1 × hangs"
    ]
    assert judged(tmp_path, (5, 0.1, "poll", 404)) == ["(between faults): poll: 1 × 404"]


def test_a_fault_explains_what_was_asked_before_it_and_answered_in_it(tmp_path: Path) -> None:
    assert judged(tmp_path, (9, 2, "page", CUT), client=BROKEN) == []
    assert judged(tmp_path, (8, 1, "page", CUT), client=BROKEN) == ["(between faults): page: 1 × cut"]


def test_where_nothing_can_be_kept_only_registrations_are_refused(tmp_path: Path) -> None:
    refused = [(11, 0.1, kind, 503) for kind in ("json", "form", "poll")]
    assert judged(tmp_path, *refused, client=REFUSED) == ["pause-postgres: poll: 1 × 503"]


def test_a_drill_fails_on_slow_answers_where_visitors_should_notice_nothing(tmp_path: Path) -> None:
    slow = (11, 1.5, "poll", 200)
    assert judged(tmp_path, slow) == ["pause-postgres: poll: one took 1.50 s"]
    assert judged(tmp_path, slow, times=False) == judged(tmp_path, slow, client=BROKEN) == []
    late = (16, 1.5, "poll", 200), (16, 1.5, "readyz", 200)
    assert judged(tmp_path, *late) == ["pause-postgres: readyz: one took 1.50 s"]
