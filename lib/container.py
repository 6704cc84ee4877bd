"""What this machine, or the container that we are in, gives to us; read where Django's settings are not yet."""

import math
import os
import re
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Where a container sees its own limits (cgroup v2)."""


def processes(each: int) -> int:
    """Return how many processes fit: one for each core, as far as CPU and memory (bytes for each) are allowed."""
    most = min(_cores(), _memory() // each)
    return max(1, int(most))


def number(name: str, default: int) -> int:
    """Return a whole number above zero from the environment, or from the file that NAME_FILE names.

    Raises SystemExit, with a word for the operator, if it is something else.
    """
    path = os.environ.get(f"{name}_FILE")
    try:
        value = Path(path).read_text().strip() if path else os.environ.get(name, "")
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{name}_FILE={path!r} cannot be read: {error}") from error
    if not value:
        return default
    if not re.fullmatch(r"[0-9]{1,6}", value) or int(value) == 0:
        raise SystemExit(f"{name}={value!r} is not a whole number above zero (docs/configuration.md).")
    return int(value)


def _cores() -> float:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read("cpu.max").partition(" ")
    return (
        min(cores, math.ceil(int(quota) / int(period))) if quota.isdecimal() and period.isdecimal() else cores
    )


def _memory() -> float:
    limit = _read("memory.max")
    return int(limit) if limit.isdecimal() else math.inf


def _read(name: str) -> str:
    try:
        return (CGROUP / name).read_text().strip()
    except OSError:  # no container, no limit, or an older kernel
        return ""
