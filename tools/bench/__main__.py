"""`python -m tools.bench`: measure Breakwater beside others on this machine; --help tells the options."""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from local.servers import ServerFailed
from tools.bench import chart, machine, report, through
from tools.bench.compose import NoDocker, require_docker
from tools.bench.contenders import BY_NAME
from tools.bench.plan import SCENARIOS, USUAL, Options, steps
from tools.bench.progress import Progress
from tools.bench.scenarios import Sample
from tools.bench.stage import ROOT, Stage, StageFailed
from tools.bench.wrk import LoadFailed

STATE_DIR = ROOT / ".local" / "bench"
LATEST = Path(__file__).parent / "results" / "latest.json"
PARTIAL = ROOT / ".local" / "bench-partial.json"
DRAWING = ROOT / "docs" / "bench.svg"
NEEDED = ("fastapi", "asyncpg", "aio_pika", "uvloop", "httptools", "uvicorn_worker", "h2")
FAILURES = (StageFailed, ServerFailed, LoadFailed, subprocess.SubprocessError, OSError)


class CannotRun(Exception):
    """Something is missing; the message tells the next step."""


def main() -> int:
    """Measure, print, write; exit status 1 if something failed."""
    options = _options()
    console = Console()
    # Narrower, the table would lose its figures; a terminal wraps its lines instead.
    console.width = max(console.width, 140)
    try:
        if options.compose:
            require_docker()
            _require_tool("h2load", "nghttp2-client")
            complete = options == Options(compose=True)
            through.measure(console, rounds=options.rounds, seconds=options.seconds, complete=complete)
            return 0
        _require_tools()
        samples, about, failed = _measure(options, console)
    except (CannotRun, NoDocker, StageFailed, LoadFailed, ServerFailed) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; nothing was written.\n")
        return 130
    rows = report.rows_of(samples)
    report.show(rows, console)
    report.show_long_runs(rows, console)
    report.show_goals(report.goals(rows), console)
    _write(options, samples, about, complete=options.complete and not failed, console=console)
    return 1 if failed else 0


def _measure(options: Options, console: Console) -> tuple[list[Sample], dict[str, object], bool]:
    samples: list[Sample] = []
    failed = False
    stage = Stage(STATE_DIR)
    try:
        about = machine.describe(stage)
        console.print(
            f"{about['cores']} × {about['cpu']}, {about['filesystem']}, load {about['load_before']}"
        )
        todo = steps(options)
        progress = Progress(todo)
        for index, step in enumerate(todo):
            progress.begin(index)
            try:
                samples += step.run(stage)
            except FAILURES as error:
                failed = True
                progress.end()
                sys.stderr.write(f"{step.title} failed: {error}\n")
        progress.end()
    finally:
        stage.close()
    return samples, about, failed


def _write(
    options: Options, samples: list[Sample], about: dict[str, object], *, complete: bool, console: Console
) -> None:
    chosen = {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in asdict(options).items()
    }
    path = LATEST if complete else PARTIAL
    report.write(path, about, samples, chosen)
    written = [path]
    if complete:
        chart.draw(DRAWING, report.rows_of(samples), about)
        written.append(DRAWING)
    console.print("\nWritten: " + ", ".join(os.path.relpath(one, ROOT) for one in written), soft_wrap=True)


def _options() -> Options:
    usual = Options()
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description="Measure Breakwater beside other ways to build it, on this machine, in about twenty minutes.",
        epilog="Only a complete run writes tools/bench/results/latest.json and docs/bench.svg. "
        "What each contender is, and how to read the table: tools/bench/README.md.",
    )
    parser.add_argument("--rounds", type=int, default=usual.rounds, help="repeats, in turn (%(default)s)")
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="of each load (%(default)s)")
    parser.add_argument(
        "--only",
        action="append",
        choices=sorted(BY_NAME),
        metavar="NAME",
        help=f"only this contender (repeat for more): {', '.join(BY_NAME)}",
    )
    parser.add_argument(
        "--scenario",
        action="append",
        choices=SCENARIOS,
        help="only this (repeat for more); soak is not in the usual run",
    )
    parser.add_argument(
        "--burst", type=int, default=usual.burst, help="registrations in the burst (%(default)s)"
    )
    parser.add_argument("--minutes", type=float, default=usual.soak_minutes, help="of the soak (%(default)s)")
    parser.add_argument(
        "--compose",
        action="store_true",
        help="instead of all this: the containers of docker-compose.yml, through nginx by HTTP/1.1 and by TLS with "
        "HTTP/2, beside their web directly (POST, page, polls, visits); needs a Docker engine; takes --rounds, "
        "--seconds and --quick; about ten minutes and a build; writes tools/bench/results/compose.json",
    )
    parser.add_argument("--quick", action="store_true", help="one short round: does everything work?")
    given = parser.parse_args()
    quick = given.quick
    return Options(
        rounds=1 if quick else given.rounds,
        seconds=min(given.seconds, 1.5) if quick else given.seconds,
        burst=min(given.burst, 30_000) if quick else given.burst,
        crowd=2_000 if quick else usual.crowd,
        rows=(100_000,) if quick else usual.rows,
        soak_minutes=given.minutes,
        only=frozenset(given.only or ()),
        scenarios=frozenset(given.scenario or USUAL),
        compose=given.compose,
    )


def _require_tools() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise CannotRun(f'Missing here: {", ".join(missing)}; install with: pip install -e ".[local,bench]"')
    _require_tool("wrk", "wrk")


def _require_tool(program: str, package: str) -> None:
    if shutil.which(program):
        return
    install = ROOT / "local" / "install_packages.sh"
    installed = subprocess.run([install, package], check=False)  # noqa: S603  our own command
    if installed.returncode or not shutil.which(program):
        raise CannotRun(
            f"The load comes from {program}, which is missing here; install it (package {package})."
        )


if __name__ == "__main__":
    sys.exit(main())
