"""`python -m tools.drills`: faults under load, then the count; --help tells the options."""

import argparse
import contextlib
import fcntl
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from local.servers import ServerFailed
from tools.drills import drill, report, room
from tools.drills.cluster import faults as cluster_faults
from tools.drills.cluster.cluster import Cluster
from tools.drills.drill import Options
from tools.drills.faults import Fault, PowerCut, catalog
from tools.drills.ground import ROOT, SiteFailed
from tools.drills.site import Site

STATE_DIR = ROOT / ".local" / "drills"
QUICK = (
    "kill-rabbitmq",
    "kill-worker-child",
    "kill-courier",
    "pause-postgres",
    "lost-commit-reply",
    "memory-alarm",
    "kill-all",
)


def main() -> int:
    """Drill, print, and fail if a promise was broken."""
    given = _parser().parse_args()
    room.enter(sys.argv[1:])
    room.furnish()
    if given.cluster and not room.is_ours():
        sys.stderr.write(f"A cluster cannot be made here: {room.no_network()}\n")
        return 1
    faults = {fault.name: fault for fault in _catalog(given.cluster)}
    if given.list:
        _list(list(faults.values()))
        return 0
    seed = given.seed if given.seed is not None else secrets.randbelow(1_000_000)
    console = Console()
    console.width = max(console.width, 150)  # narrower, the table would lose its figures
    console.print(f"seed {seed}", highlight=False)
    plan = _plan(given, faults, seed)
    if not plan:
        sys.stderr.write("None of these faults can be done here; --list tells why.\n")
        return 1
    options = Options(
        seed, given.rate, given.hold or (3.0 if given.quick else 5.0), given.minutes, not given.no_times
    )
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        verdict = _drill(Cluster if given.cluster else Site, plan, options, _state_dir(given))
    except (SiteFailed, ServerFailed, subprocess.SubprocessError, OSError) as failed:
        sys.stderr.write(f"\n{failed}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        return 130
    report.show(verdict, console)
    if given.json:
        given.json.write_text((verdict.to_json_of_faults() if given.cluster else verdict.to_json()) + "\n")
    for failure in verdict.failures:
        console.print(f"FAILED: {failure} (seed {seed})", highlight=False, markup=False, soft_wrap=True)
    return 1 if verdict.failures else 0


def _catalog(of_cluster: bool) -> list[Fault[Any]]:
    return [*cluster_faults.catalog()] if of_cluster else [*catalog()]


def _state_dir(given: argparse.Namespace) -> Path:
    usual = STATE_DIR.with_name("cluster") if given.cluster else STATE_DIR
    return given.state_dir or usual


def _drill(
    make: Callable[[Path], Site | Cluster], plan: list[Fault[Any]], options: Options, state_dir: Path
) -> report.Verdict:
    progress = Progress(len(plan))
    with _alone(state_dir):
        progress.say(0, "starting")
        site = make(state_dir)
        try:
            site.open()
            outcome = drill.run(site, plan, options, progress.say)
        finally:
            progress.end()
            site.close()
    return report.judge(outcome, times=options.times)


@contextlib.contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """Two drills in one directory would be each other's worst fault."""
    state_dir.parent.mkdir(parents=True, exist_ok=True)
    with state_dir.with_name(f"{state_dir.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SiteFailed(f"A drill is running in {state_dir}; choose another: --state-dir DIR") from None
        yield


class Progress:
    """A line that is rewritten on a terminal, a line for each fault elsewhere."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._began = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def say(self, done: int, what: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        line = f"[{min(done + 1, self._steps)}/{self._steps}] {minutes}:{seconds:02}  {what}"
        sys.stderr.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")


def _plan(given: argparse.Namespace, faults: dict[str, Fault[Any]], seed: int) -> list[Fault[Any]]:
    """Choose faults by the seed: each once before any comes twice."""
    if given.power_cuts:
        cuts = [fault for fault in faults.values() if isinstance(fault, PowerCut) and not fault.missing()]
        return [cuts[n % len(cuts)] for n in range(given.power_cuts)] if cuts else []
    usual = tuple(name for name, fault in faults.items() if fault.usual)
    names = given.only or ((cluster_faults.QUICK if given.cluster else QUICK) if given.quick else usual)
    if unknown := [name for name in names if name not in faults]:
        raise SystemExit(
            f"No such fault here: {', '.join(unknown)}. --list names them, with --cluster those of a cluster."
        )
    chosen = [faults[name] for name in names]
    for fault in chosen:
        if why := fault.missing():
            sys.stderr.write(f"left out: {fault.name}: {why}\n")
    chosen = [fault for fault in chosen if not fault.missing()]
    chance = random.Random(seed)  # noqa: S311  not secret
    wanted = given.faults or (100_000 if given.minutes else len(chosen))
    plan: list[Fault[Any]] = []
    while chosen and len(plan) < wanted:
        plan += chance.sample(chosen, len(chosen))
    return plan[:wanted]


def _list(faults: list[Fault[Any]]) -> None:
    for fault in faults:
        says = " ".join((type(fault).__doc__ or "").split())
        why = fault.missing() or ("" if fault.usual else "by --only alone")
        sys.stdout.write(f"{fault.name:24} {says}{f'  [{why}]' if why else ''}\n")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.drills",
        description="Break Breakwater in every way we know while visitors come, and count what was kept. "
        "Every fault once: about twenty minutes.",
        epilog="exit codes: 0 every promise was kept, 1 one was not (or nothing can be said). "
        f"State and logs: {os.path.relpath(STATE_DIR, ROOT)}",
    )
    parser.add_argument("--seed", type=int, help="which faults, in which order, when (default: any)")
    parser.add_argument("--faults", type=int, metavar="N", help="how many (default: each once)")
    parser.add_argument("--minutes", type=float, metavar="M", help="no new fault after so many minutes")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="only this fault (repeat for more)",
    )
    parser.add_argument(
        "--cluster",
        action="store_true",
        help="many machines in network namespaces: three brokers, two databases, two Redis, two webs, two workers",
    )
    parser.add_argument("--hold", type=float, metavar="SECONDS", help="how long a fault lasts, about (5)")
    parser.add_argument("--rate", type=float, default=100.0, help="visits a second (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="seven short faults: about two minutes")
    parser.add_argument(
        "--no-times", action="store_true", help="judge no answer for being slow: the machine is busy"
    )
    parser.add_argument("--power-cuts", type=int, metavar="N", help="only power cuts, so many")
    parser.add_argument(
        "--list", action="store_true", help="name the faults and say what cannot be done here"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--state-dir", type=Path, metavar="DIR", help="its own place (.local/drills, .local/cluster)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
