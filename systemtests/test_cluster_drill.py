"""Several machines of everything, in network namespaces: faults of a cluster, and not one registration lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from systemtests.stack import ROOT
from tools.drills import report
from tools.drills.cluster.faults import QUICK, AsynchronousPrimaryKilled
from tools.drills.drill import Outcome, Turn


def namespaces_can_be_made() -> bool:
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "ip"))):
        return False
    command = ["unshare", "--net", "--mount", "--", "ip", "link", "add", "one", "type", "bridge"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.timeout(400)
@pytest.mark.skipif(not namespaces_can_be_made(), reason="needs root, unshare and ip for network namespaces")
def test_a_202_means_kept_while_machines_of_a_cluster_are_lost(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    # The machine of the tests is busy with the tests: it is the answers that are judged here, not their times.
    command = [sys.executable, "-m", "tools.drills", "--cluster", "--quick", "--seed", "7", "--no-times"]
    command += [
        "--rate",
        "30",
        "--hold",
        "2",
        "--json",
        str(figures),
        "--state-dir",
        str(tmp_path / "cluster"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=380, check=False)
    assert figures.exists(), done.stdout + done.stderr
    seen = json.loads(figures.read_text())
    assert seen["failures"] == [], done.stdout
    faults = {one["fault"]: one for one in seen["faults"] if one["times"]}
    assert set(faults) == set(QUICK)
    assert sum(one["accepted"] for one in faults.values()) > 300
    for one in faults.values():
        assert (one["lost"], one["duplicated"], one["not_allowed"]) == (0, 0, 0)


def test_the_counter_proof_fails_if_nothing_was_lost(tmp_path: Path) -> None:
    outcome = Outcome(tmp_path / "answers.jsonl", began=0.0, report={"lost": {"count": 0, "ids": []}})
    outcome.turns = [Turn(AsynchronousPrimaryKilled(), began=10.0, healed=15.0, ended=20.0)]
    outcome.answers.touch()
    assert report.judge(outcome, times=False).failures == [
        "nothing was lost, so this drill could not have seen a loss"
    ]
    outcome.report = {"lost": {"count": 7, "ids": []}}
    assert report.judge(outcome, times=False).failures == []
