"""What it costs that somebody watches /ops/: CPU of the whole stack with and without.

    ADMIN_PASSWORD=… STATE_DIR=.local python -m tools.ops_cost http://127.0.0.1:8000

The stack of `make run` must be idle otherwise. It asks as the page does, every two seconds.
"""

import argparse
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

EVERY = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    with httpx.Client(base_url=options.url, timeout=10, trust_env=False) as operator:
        _log_in(operator)
        watched = _cores(options.seconds, lambda since: _look(operator, since))
        alone = _cores(options.seconds, lambda since: since)
    print(f"with somebody at /ops/: {watched:.2%} of a core, without: {alone:.2%}")  # noqa: T201
    print(f"one watcher costs {watched - alone:.2%} of a core, all servers together")  # noqa: T201


def _log_in(operator: httpx.Client) -> None:
    page = operator.get("/admin/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    login = {
        "csrfmiddlewaretoken": token[1] if token else "",
        "username": "admin",
        "password": os.environ["ADMIN_PASSWORD"],
    }
    operator.post("/admin/login/", data=login)


def _look(operator: httpx.Client, since: int) -> int:
    state = operator.get("/ops/state/", params={"since": since}).raise_for_status().json()
    return int(state["points"][-1]["start"]) - 30


def _cores(seconds: int, look: Callable[[int], int]) -> float:
    """Return the cores that the stack keeps busy while somebody looks every two seconds."""
    since, before, started = 0, _cpu_time(), time.monotonic()
    while time.monotonic() - started < seconds:
        since = look(since)
        time.sleep(EVERY)
    return (_cpu_time() - before) / (time.monotonic() - started)


def _cpu_time() -> float:
    """Return the CPU seconds that the processes of the stack have used so far."""
    owner = f"BREAKWATER_CHILD_OF={Path(os.environ.get('STATE_DIR') or '.local').resolve()}"
    total = 0.0
    for process in psutil.process_iter():
        try:
            if owner in Path(f"/proc/{process.pid}/environ").read_text(errors="replace").split("\0"):
                times = process.cpu_times()
                total += times.user + times.system
        except (OSError, psutil.Error):
            continue
    return total


if __name__ == "__main__":
    main()
