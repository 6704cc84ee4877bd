"""A room of our own: network and mount namespaces in which nothing that we break is anybody else's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_MARK = "BREAKWATER_DRILL_ROOM"


def enter(arguments: list[str], module: str = "tools.drills") -> None:
    """Start this program again inside new namespaces, if this user and machine allow it."""
    if os.environ.get(_MARK) or os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("ip")):
        return
    into = ["unshare", "--net", "--mount", "--"]
    try:
        run(*into, "true")
    except subprocess.SubprocessError:
        return
    os.environ[_MARK] = "1"
    os.execvp("unshare", [*into, sys.executable, "-m", module, *arguments])  # noqa: S606, S607  ours


def furnish() -> None:
    """Bring up the loopback of a new room."""
    if is_ours():
        run("ip", "link", "set", "lo", "up")


def is_ours() -> bool:
    """Whether we are in a room of our own."""
    return bool(os.environ.get(_MARK))


def no_network() -> str:
    """Why the network cannot be cut here, or nothing."""
    if not is_ours():
        return "needs root, unshare and ip for a network namespace of its own"
    if not shutil.which("nft"):
        return "needs nft: apt-get install nftables"
    return ""


def no_disks() -> str:
    """Why disks of our own cannot be mounted here, or nothing."""
    if not is_ours():
        return "needs root, unshare and ip for a mount namespace of its own"
    if not shutil.which("mkfs.ext4"):
        return "needs mkfs.ext4: apt-get install e2fsprogs"
    return ""


def no_compiler() -> str:
    """Why no library can be compiled here, or nothing."""
    return "" if shutil.which("gcc") else "needs gcc: apt-get install gcc libc6-dev"


def compiled(source: Path, directory: Path) -> str:
    """Compile a library for LD_PRELOAD and return its path."""
    library = directory / f"{source.stem}.so"
    run("gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl")
    return str(library)


def run(*command: str) -> str:
    """Run one command and return what it prints; CalledProcessError if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603  ours
    return done.stdout
