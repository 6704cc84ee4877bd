"""A short drill with a fixed seed: the faults that tell most, and not one registration lost."""

import json
import subprocess
import sys

import pytest

from systemtests.stack import ROOT

SEED = 5
# The broker and the truth, by death and by silence; a lie of the network; everything.
FAULTS = [
    "kill-rabbitmq",
    "pause-postgres",
    "lost-commit-reply",
    "kill-worker-child",
    "kill-all",
]
GENEROUS = 5.0
"""Seconds: the machine of the tests is busy with the tests. `make drill` judges times."""


@pytest.mark.timeout(400)
def test_a_202_means_kept_under_faults(tmp_path):
    figures = tmp_path / "figures.json"
    only = [argument for fault in FAULTS for argument in ("--only", fault)]
    command = [
        sys.executable,
        "-m",
        "tools.drills",
        "--seed",
        str(SEED),
        "--rate",
        "100",
        "--hold",
        "2",
        *only,
    ]
    done = subprocess.run(
        [*command, "--json", str(figures), "--state-dir", str(tmp_path / "drill")],
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
    assert seen["hangs"] == 0
    assert seen["faults"] == len(FAULTS)
    assert seen["accepted"] > 1500
    assert seen["slowest_unnoticed"] < GENEROUS
    assert seen["share_unnoticed"] > 99
