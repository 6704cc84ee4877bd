"""Web processes fit the container, whatever the host; and settings that are read without Django are explained too."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib import container

ROOT = Path(__file__).parent.parent
MB = 1 << 20


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write the limits of a container on a host of 16 cores."""
    monkeypatch.setattr(container, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)

    def write(**files: Any) -> Any:
        for name, text in files.items():
            (tmp_path / name.replace("_", ".")).write_text(f"{text}\n")
        return container.processes(each=128 * MB)

    return write


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 16),
        ({"cpu_max": "max 100000", "memory_max": "max"}, 16),
        ({"cpu_max": "200000 100000", "memory_max": "max"}, 2),
        ({"cpu_max": "150000 100000"}, 2),
        ({"cpu_max": "10000 100000"}, 1),
        ({"memory_max": 768 * MB}, 6),
        ({"cpu_max": "400000 100000", "memory_max": 256 * MB}, 2),
        ({"memory_max": 64 * MB}, 1),
        ({"cpu_max": "nonsense", "memory_max": "-1"}, 16),
    ],
)
def test_as_many_processes_as_the_container_has_cores_and_memory_for(
    limits: Callable[..., Any], files: dict[str, Any], expected: int
) -> None:
    assert limits(**files) == expected


def web(**environment: Any) -> Any:
    """Let gunicorn read its settings and say what it has read."""
    command = [sys.executable, "-m", "gunicorn", "--print-config", "-c", "config/gunicorn.conf.py", "x:y"]
    kept = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        command, env=kept | environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_port_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("4711\n")
    said = web(PORT_FILE=str(tmp_path / "port"), WEB_CONCURRENCY="3")
    assert "127.0.0.1:4711" in said.stdout, said.stderr
    assert re.search(r"workers +=\ 3\b", said.stdout)


@pytest.mark.parametrize(
    ("name", "value"), [("WEB_CONCURRENCY", "0"), ("PORT", "-1"), ("PORT_FILE", "/none")]
)
def test_a_wrong_number_is_explained(name: str, value: str) -> None:
    said = web(**{name: value})
    assert said.returncode != 0
    assert name in said.stderr
    assert "Traceback" not in said.stderr


def test_every_package_of_the_product_comes_into_the_image() -> None:
    allowed = set(re.findall(r"^!(\w+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    layers = re.search(
        r"\[importlinter:contract:rooms\].*?layers =\n(.*?)\n\n",
        (ROOT / ".importlinter").read_text(),
        re.DOTALL,
    )
    assert layers is not None
    assert set(layers[1].split()) <= allowed
