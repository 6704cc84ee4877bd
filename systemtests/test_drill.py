"""A short drill with a fixed seed: the faults that tell most, every kind of visitor, and not one registration lost."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from systemtests.stack import ROOT
from tools.drills import codes, report
from tools.drills.drill import Outcome, Turn
from tools.drills.faults import BROKEN, KEPT, REFUSED, Pause
from tools.drills.ground import Ground
from tools.drills.load import CUT, HANGS, KINDS

SEED = 5
# The broker and the truth, by death and by silence; a lie of the network; everything.
FAULTS = [
    "kill-rabbitmq",
    "pause-postgres",
    "lost-commit-reply",
    "kill-worker-child",
    "kill-courier",
    "erase-persons",
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
    [codes] = [note for note in seen["notes"] if note.startswith("codes:")]
    assert " 0 not confirmed" in codes
    for kind in KINDS:
        assert sum(row["kinds"][kind]["good"] for row in seen["rows"]) > 5, kind


SMS = [{"question": str(n), "phone": f"0912000000{n}", "code": f"00000{n}"} for n in range(3)]
TYPED = [{"at": 10.0 + n, "task_id": f"task {n}", "phone": f"0912000000{n}"} for n in range(3)]


class Counted(Ground):
    """A drill that is over: these phones are confirmed, so many parts of SMS are paid."""

    def __init__(self, directory: Path, confirmed: int = 3, parts: int = 3) -> None:
        super().__init__(directory, 1)
        self.confirmed, self.parts, self.settings = confirmed, parts, {"CODE_BUDGET": "5"}

    def sql(self, statement: str) -> Any:
        if "budget" in statement:
            return [(self.parts, self.parts)]
        return [(one["phone"],) for one in TYPED[: self.confirmed]]

    def complaints_about(self, sms: Any = SMS, typed: Any = TYPED, bent: Any = ()) -> list[str]:
        for name, lines in (("sms", sms), ("typed", typed)):
            (self.state_dir / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        codes.count(self, bent)
        return self.complaints


def test_a_drill_counts_codes_that_confirm_and_are_paid(tmp_path: Path) -> None:
    assert Counted(tmp_path).complaints_about() == []


def test_a_drill_fails_when_a_right_code_confirms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "JUDGED_WITHIN", 0)
    [told] = Counted(tmp_path, confirmed=2).complaints_about()
    assert told == "codes: 1 were typed in time and confirmed nobody: ['task 2']"
    # A wrong clock of the web explains it.
    assert Counted(tmp_path, confirmed=2).complaints_about(bent=[(11.5, 13)]) == []


@pytest.mark.parametrize(
    ("sms", "parts", "told"),
    [
        ([*SMS, SMS[0]], 4, "codes: 1 questions were sent twice, such as ['0']"),
        (
            [*SMS, SMS[0] | {"question": "9", "code": "999999"}],
            4,
            "codes: 1 numbers have got two different ones",
        ),
        (SMS, 2, "codes: 3 SMS came, and only 2 parts are counted"),
        (SMS, 6, "codes: 6 parts on one day, and the budget is 5"),
    ],
)
def test_a_drill_fails_on_sms_that_should_not_have_been_sent(
    tmp_path: Path, sms: Any, parts: int, told: str
) -> None:
    assert Counted(tmp_path, parts=parts).complaints_about(sms) == [told]


def test_a_drill_in_which_nobody_typed_a_code_proves_nothing_of_codes(tmp_path: Path) -> None:
    assert "nobody has typed one" in Counted(tmp_path).complaints_about(typed=[])[0]


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


def test_codes_are_refused_while_a_fault_lasts_and_never_between_faults(tmp_path: Path) -> None:
    assert judged(tmp_path, (11, 0.1, "ask code", 503), (12, 0.1, "type code", 503)) == []
    assert judged(tmp_path, (5, 0.1, "type code", 503)) == ["(between faults): type code: 1 × 503"]


def test_a_drill_fails_on_slow_answers_where_visitors_should_notice_nothing(tmp_path: Path) -> None:
    slow = (11, 1.5, "poll", 200)
    assert judged(tmp_path, slow) == ["pause-postgres: poll: one took 1.50 s"]
    assert judged(tmp_path, slow, times=False) == judged(tmp_path, slow, client=BROKEN) == []
    code = [(11, seconds, "type code", 202) for seconds in (1.5, 3.5)]
    assert judged(tmp_path, *code) == ["pause-postgres: type code: one took 3.50 s"]
    late = (16, 1.5, "poll", 200), (16, 1.5, "readyz", 200)
    assert judged(tmp_path, *late) == ["pause-postgres: readyz: one took 1.50 s"]
