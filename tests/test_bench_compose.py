"""make bench ARGS=--compose: what it says without Docker, and of visitors that nobody answers."""

import os
import subprocess
import sys
from pathlib import Path

from tools.bench import visits
from tools.bench.h2load import Target


def test_without_a_docker_engine_it_says_what_it_needs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.bench", "--compose"],
        env=os.environ | {"DOCKER_HOST": f"unix://{tmp_path}/nobody-listens"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 1
    assert "needs a running Docker engine" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_visit_that_nobody_answers_is_a_failed_one() -> None:
    target = Target("nobody", "http://localhost", "127.0.0.1:1", http2=False)
    seen = visits.run(target, visitors=1, seconds=0.5)
    assert seen.done == 0
    assert seen.failed > 0
