"""What is mounted or run in containers comes out of git with Linux's line ends, on every system."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout of git")
def test_a_checkout_on_windows_has_no_carriage_returns(tmp_path: Path) -> None:
    clone = [
        "git",
        "clone",
        "-q",
        "--depth",
        "1",
        "-c",
        "core.autocrlf=true",
        f"file://{ROOT}",
        tmp_path / "it",
    ]
    subprocess.run(clone, check=True)
    names = subprocess.run(
        ["git", "ls-files", "docker", "config"],
        cwd=tmp_path / "it",
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "docker/redis/start.sh" in names
    assert [name for name in names if b"\r\n" in (tmp_path / "it" / name).read_bytes()] == []
