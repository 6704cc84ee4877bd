"""`make bench ARGS=--compose`: the product as it is deployed, through its nginx, beside its web directly."""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tools.bench import h2load, machine, phones, visits
from tools.bench.compose import DIRECT, HTTP, Composed
from tools.bench.h2load import Target
from tools.bench.report import Figure, Row, rows_of
from tools.bench.scenarios import Sample
from tools.bench.stage import ROOT, StageFailed

CONNECTIONS = 64
VISITORS = 200
IDS = 400
"""Registrations whose states are polled in turn."""
REGISTERED_WITHIN = 240.0
WANTED = 0.6
"""Of direct, through nginx: POST, polls, page."""

POST, PAGE, VISITS = "POST", "page, gzip accepted", "visits"
WAITING, STORED = "polls of waiting ids", "polls of stored ids"
COSTS = {"nginx": "cpu_nginx", "web": "cpu_web", "Docker": "cpu_docker", "servers": "cpu_servers"}
GOALS = (POST, WAITING, STORED, PAGE)

RESULTS = Path(__file__).parent / "results" / "compose.json"
PARTIAL = ROOT / ".local" / "bench-compose-partial.json"


def measure(console: Console, *, rounds: int, seconds: float, complete: bool) -> None:
    """Measure, print and write. Raises StageFailed or LoadFailed."""
    folder = ROOT / ".local" / "bench-compose"
    about = machine.here(ROOT)
    console.print("Building images and starting the stack: some minutes, the first time.")
    stack = Composed(folder)
    samples: list[Sample] = []
    try:
        for number in range(rounds):
            for tls in (False, True):
                stack.serve(tls=tls)
                # The second round begins with the other one: nobody always comes first.
                targets = stack.targets()[:: -1 if number % 2 else 1]
                console.print(f"Round {number + 1} of {rounds}: {', '.join(one.name for one in targets)}")
                samples += _round(stack, targets, seconds, console)
    finally:
        stack.close()
    rows = rows_of(samples)
    _show(rows, console)
    _write(
        RESULTS if complete else PARTIAL,
        about,
        samples,
        rows,
        {"rounds": rounds, "seconds": seconds},
        console,
    )


def _round(stack: Composed, targets: list[Target], seconds: float, console: Console) -> Iterator[Sample]:
    direct = next(one for one in targets if one.name == DIRECT)
    stored = _registered(direct)
    for target in targets:
        before = stack.cpu_seconds()
        seen = visits.run(target, visitors=VISITORS, seconds=2 * seconds)
        if not seen.done:
            raise StageFailed(f"{target.name}: no visit came to its end: {seen.why}")
        if seen.failed:
            console.print(f"{target.name}: {seen.failed} visits failed, the last by {seen.why}")
        values = {"rate": seen.done / (2 * seconds), "p50": seen.quantile(50), "p99": seen.quantile(99)}
        values |= {"errors": float(seen.failed), "polls": seen.polls / seen.done}
        yield Sample(VISITS, target.name, values | _cost(stack, before, seen.done))
    _registered(direct)  # all that came before is stored
    with stack.without_workers():
        # The ways of one scenario follow each other closely: they are to be compared.
        for target in targets:
            yield _loaded(stack, POST, target, ["/api/register/"], seconds, 202)
        for target in targets:
            yield _loaded(stack, PAGE, target, ["/fa/"], seconds, 200)
        for target in targets:
            yield _loaded(stack, STORED, target, stored, seconds, 200)
        for target in targets:
            # Asked for while they are young, as most visitors ask.
            yield _loaded(stack, WAITING, target, _accepted(direct), seconds, 200)


def _loaded(
    stack: Composed, scenario: str, target: Target, paths: list[str], seconds: float, wanted: int
) -> Sample:
    body = json.dumps({"phone_number": phones.spelled(phones.take(1))}) if scenario == POST else ""
    before = stack.cpu_seconds()
    load = h2load.run(target, paths, connections=CONNECTIONS, seconds=seconds, wanted=wanted, body=body)
    values = {"rate": load.rate, "p50": load.p50, "p99": load.p99, "errors": float(load.refused)}
    # The warm-up costs too.
    count = round(load.requests * (seconds + h2load.WARM_UP) / seconds)
    return Sample(scenario, target.name, values | _cost(stack, before, count))


def _cost(stack: Composed, before: dict[str, float], count: int) -> dict[str, float]:
    """CPU seconds for a thousand of what was done."""
    after = stack.cpu_seconds()
    return {f"cpu_{name}": (after[name] - spent) / count * 1000 for name, spent in before.items() if after}


def _accepted(direct: Target) -> list[str]:
    """Register, with keys as the page does; return the addresses of the states."""
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: _register(direct), range(IDS)))
    return [f"/api/register/{one['task_id']}/" for one in answers]


def _registered(direct: Target) -> list[str]:
    """The same, when all of them are stored. Raises StageFailed."""
    paths = _accepted(direct)
    until = time.monotonic() + REGISTERED_WITHIN
    for path in paths:
        while _ask(direct, "GET", path)["status"] != "Registered":
            if time.monotonic() > until:
                raise StageFailed(f"not stored within {REGISTERED_WITHIN:.0f} s: {path}")
            time.sleep(0.2)
    return paths


def _register(direct: Target) -> dict[str, Any]:
    number = phones.take(1)
    return _ask(direct, "POST", "/api/register/", {"phone_number": phones.spelled(number)})


def _ask(target: Target, method: str, path: str, content: dict[str, str] | None = None) -> dict[str, Any]:
    host, port = target.address.rsplit(":", 1)
    site = HTTPConnection(host, int(port), timeout=20)
    try:
        headers = {"Host": "localhost", "Content-Type": "application/json"}
        site.request(method, path, json.dumps(content) if content else None, headers)
        found: dict[str, Any] = json.load(site.getresponse())
        return found
    finally:
        site.close()


def _ratio(rows: dict[tuple[str, str], Row], row: Row) -> float:
    direct = rows.get((row.scenario, DIRECT))
    return row.of("rate") / direct.of("rate") if direct and direct.of("rate") else 0.0


def _cheaper(rows: dict[tuple[str, str], Row], row: Row) -> float:
    """The CPU time of direct by that of this way; 0 if it was not seen."""
    direct = rows.get((row.scenario, DIRECT))
    spent = sum(row.of(name) for name in COSTS.values())
    return sum(direct.of(name) for name in COSTS.values()) / spent if direct and spent else 0.0


def _show(rows: dict[tuple[str, str], Row], console: Console) -> None:
    table = Table(
        title="\nAs deployed; medians over the rounds",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", no_wrap=True)
    columns = ("per second", "least–most", "of direct", "by CPU", "p50 ms", "p99 ms", "not wanted")
    for name in (*columns, *COSTS):
        table.add_column(name, justify="right", no_wrap=True)
    shown = ""
    for row in rows.values():
        if row.scenario != shown:
            shown = row.scenario
            table.add_row(f"[bold]{shown}[/]")
        rate = row.figures["rate"]
        table.add_row(
            f"  {row.contender}",
            f"{rate.median:,.0f}",
            f"{rate.least:,.0f}–{rate.most:,.0f}",
            f"{_ratio(rows, row):.2f}",
            f"{_cheaper(rows, row):.2f}",
            f"{row.of('p50'):.1f}",
            f"{row.of('p99'):.1f}",
            f"{row.figures['errors'].most:.0f}",
            *(f"{row.of(name):.3f}" if name in row.figures else "" for name in COSTS.values()),
        )
    console.print(table)
    console.print(
        "of direct: by rate. by CPU: direct's CPU time by this way's, all but the load's, which other work on the machine "
        "disturbs less.\nnginx, web, Docker (log lines, published port), servers: CPU seconds for a thousand.\n"
        "p50 and p99 of visits: from the POST until the visitor was told to be registered."
    )
    for scenario in GOALS:
        if (scenario, HTTP) in rows:
            found = _ratio(rows, rows[scenario, HTTP])
            verdict = "[green]yes[/]" if found >= WANTED else "[red]no[/]"
            console.print(f"{scenario}: through nginx {found:.2f} of direct, wanted {WANTED}: {verdict}")


def _write(
    path: Path,
    about: dict[str, object],
    samples: list[Sample],
    rows: dict[tuple[str, str], Row],
    options: dict[str, object],
    console: Console,
) -> None:
    summary = [
        {
            "scenario": row.scenario,
            "way": row.contender,
            "of_direct": round(_ratio(rows, row), 3),
            "of_direct_by_cpu": round(_cheaper(rows, row), 3),
            "figures": {name: _rounded(figure) for name, figure in row.figures.items()},
        }
        for row in rows.values()
    ]
    each = [{"scenario": one.scenario, "way": one.contender, "values": one.values} for one in samples]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": about, "options": options, "summary": summary, "samples": each}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    console.print(f"\nWritten: {os.path.relpath(path, ROOT)}", soft_wrap=True)


def _rounded(figure: Figure) -> dict[str, float]:
    return {name: float(f"{getattr(figure, name):.5g}") for name in ("median", "least", "most")}
