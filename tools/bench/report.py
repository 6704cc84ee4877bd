"""From samples to one table, a JSON file, and a verdict on the figures to reach."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tools.bench.contenders import BY_NAME, LITERAL, OURS
from tools.bench.scenarios import Sample

ACCEPT = "accept, 64 connections"
STORE = "accept and store"
VISITS = "visits"
LATENCY = "latency at 1,000 requests/s"


@dataclass(frozen=True)
class Figure:
    """One value over all rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> "Figure":
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Row:
    """All rounds of one contender in one scenario."""

    scenario: str
    contender: str
    figures: dict[str, Figure]

    def of(self, name: str) -> float:
        """The median of a value; 0 if it was not measured."""
        return self.figures[name].median if name in self.figures else 0.0


Rows = dict[tuple[str, str], Row]


def rows_of(samples: Iterable[Sample]) -> Rows:
    """Group samples by scenario and contender, in the order in which they should be shown."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.scenario, sample.contender), []).append(sample)
    order = [*BY_NAME]
    keys = sorted(groups, key=lambda key: (_rank(key[0]), order.index(key[1]) if key[1] in order else 99))
    return {key: Row(*key, _figures(groups[key])) for key in keys}


def _figures(samples: list[Sample]) -> dict[str, Figure]:
    names = [name for name in samples[0].values if all(name in sample.values for sample in samples)]
    return {name: Figure.of([sample.values[name] for sample in samples]) for name in names}


def _rank(scenario: str) -> tuple[int, int, str]:
    starts = (
        "accept, 64",
        "accept, 256",
        STORE,
        VISITS,
        "drain",
        "latency at 1,000",
        "latency",
        "burst",
        "accept",
        "limits",
    )
    place = next((n for n, start in enumerate(starts) if scenario.startswith(start)), len(starts))
    if " with " in scenario:  # growth
        place = len(starts)
    return place, len(scenario), scenario


def show(rows: Rows, console: Console) -> None:
    table = Table(
        title="Medians over the rounds", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("", no_wrap=True)
    for name in (
        "per second",
        "least–most",
        "of ours",
        "p50 ms",
        "p99 ms",
        "not taken",
        "CPU own",
        "servers",
        "MB",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    shown = ""
    for row in rows.values():
        if row.scenario != shown:
            shown = row.scenario
            table.add_section()
            table.add_row(f"[bold]{shown}[/]")
        table.add_row(*_cells(row, rows))
    console.print(table)
    console.print(
        "CPU: seconds for 1,000 registrations, of the contender's own processes and of the four servers. "
        "MB: the largest web process."
    )


def _cells(row: Row, rows: Rows) -> list[str]:
    main = "stored" if row.scenario == STORE else "rate"
    figure = row.figures[main]
    ours = rows.get((row.scenario, OURS))
    ratio = figure.median / ours.of(main) if ours and ours.of(main) else 0
    known = BY_NAME.get(row.contender)
    return [
        f"  {known.title if known else row.contender}",
        f"{figure.median:,.0f}",
        f"{figure.least:,.0f}–{figure.most:,.0f}",
        f"{ratio:.2f}" if ratio else "",
        *(_cell(row, "p50", "{:.1f}"), _cell(row, "p99", "{:.1f}")),
        f"{row.figures['errors'].most:.0f}" if "errors" in row.figures else "",
        *(_cell(row, "cpu_own", "{:.3f}"), _cell(row, "cpu_servers", "{:.3f}")),
        _cell(row, "rss_worker", "{:.0f}"),
    ]


def _cell(row: Row, name: str, form: str) -> str:
    return form.format(row.of(name)) if name in row.figures else ""


def show_long_runs(rows: Rows, console: Console) -> None:
    """Print what only the burst and the soak tell."""
    for row in rows.values():
        if row.scenario == "soak":
            memory = row.figures["rss_worker"]
            console.print(f"\n[bold]soak[/]: web worker {memory.least:.1f}–{memory.most:.1f} MB")
        if row.scenario.startswith("crowd"):
            console.print(
                f"\n[bold]{row.scenario}[/] waits, workers stopped: {row.of('polls'):,.0f} polls/s; accepting "
                f"{row.of('rate'):,.0f}/s, alone {row.of('alone'):,.0f}/s; answers to waiting ids with a key "
                f"{row.of('keyed'):,.0f}/s, to young ids without {row.of('young'):,.0f}/s; "
                f"{row.of('queries'):.1f} queries/s to PostgreSQL for each web process; workers started, "
                f"all were told after {row.of('told'):.1f} s; [bold]{row.of('lost'):.0f} lost[/]"
            )
        if not row.scenario.startswith("burst"):
            continue
        console.print(
            f"\n[bold]{row.scenario}[/]: first tenth {row.of('first_tenth'):,.0f}/s, "
            f"last tenth {row.of('last_tenth'):,.0f}/s, drained at {row.of('drain'):,.0f}/s; "
            f"broker {row.of('broker_before'):.0f} → {row.of('broker_full'):.0f} MB; "
            f"of the accepted ids [bold]{row.of('lost'):.0f} lost[/], "
            f"{row.of('unheard'):.0f} stored whose answer wrk did not wait for."
        )


@dataclass(frozen=True)
class Goal:
    """A figure to reach."""

    title: str
    wanted: float
    reached: float | None
    at_most: bool = False

    @property
    def met(self) -> bool:
        assert self.reached is not None
        return self.reached <= self.wanted if self.at_most else self.reached >= self.wanted


def goals(rows: Rows) -> list[Goal]:
    """Compare the medians with the figures to reach."""

    def value(scenario: str, contender: str, name: str = "rate") -> float:
        row = rows.get((scenario, contender))
        return row.of(name) if row else 0.0

    def beside(contender: str, scenario: str = ACCEPT, name: str = "rate") -> float | None:
        other = value(scenario, contender, name)
        return value(scenario, OURS, name) / other if other and value(scenario, OURS, name) else None

    def in_campaign(scenario: str, campaign: str) -> float | None:
        usual = value(f"{scenario}: the default campaign", OURS)
        return measured(value(f"{scenario}: {campaign}", OURS) / usual) if usual else None

    def measured(found: float) -> float | None:
        return found or None

    most = _largest(rows, "drain with ")
    burst = _largest(rows, "burst of ")
    crowd = _largest(rows, "crowd of ")
    drain_empty = value("drain", OURS)
    return [
        Goal("accept, 64 connections, beside the document literally", 10, beside(LITERAL)),
        Goal("… beside FastAPI + asyncpg", 3, beside("fastapi_asyncpg")),
        Goal("… beside FastAPI + aio-pika", 3, beside("fastapi_aiopika")),
        Goal("… beside an empty FastAPI endpoint", 1.5, beside("fastapi_empty")),
        Goal("… beside the bare ASGI limit", 0.45, beside("bare_asgi")),
        Goal("accept and store, beside the document literally", 10, beside(LITERAL, STORE, "stored")),
        Goal("drain, beside the document literally", 8, beside(LITERAL, "drain")),
        Goal("latency at 1,000/s, p50 in ms", 3, measured(value(LATENCY, OURS, "p50")), at_most=True),
        Goal("latency at 1,000/s, p99 in ms", 15, measured(value(LATENCY, OURS, "p99")), at_most=True),
        Goal(
            "accept rate, last tenth of the burst by its first",
            0.95,
            measured(value(burst, OURS, "last_by_first")),
        ),
        Goal(
            f"store rate {most.removeprefix('drain ') or 'with rows'}, beside empty",
            0.90,
            measured(value(most, OURS) / drain_empty if drain_empty else 0),
        ),
        Goal(
            "web worker after the burst, in MB", 130, measured(value(burst, OURS, "rss_worker")), at_most=True
        ),
        Goal("visits, beside FastAPI + asyncpg", 1.5, beside("fastapi_asyncpg", VISITS)),
        Goal("… beside the document literally", 5, beside(LITERAL, VISITS)),
        Goal(
            "accept to a campaign with four fields, beside the default one",
            0.93,
            in_campaign("accept, 64 connections", "fields"),
        ),
        Goal("store rate of a campaign with places, beside one without", 0.6, in_campaign("drain", "places")),
        Goal("accepting beside the crowd, to alone", 0.95, measured(value(crowd, OURS, "beside_by_alone"))),
        Goal(
            "answers to waiting ids with a key, beside young ids without",
            0.9,
            measured(value(crowd, OURS, "keyed_by_young")),
        ),
        Goal(
            "queries to PostgreSQL a second and web process, beside the crowd",
            20,
            value(crowd, OURS, "queries") if crowd else None,
            at_most=True,
        ),
    ]


def _largest(rows: Rows, start: str) -> str:
    found = [scenario for scenario, _ in rows if scenario.startswith(start)]
    return max(found, key=lambda scenario: (len(scenario), scenario), default="")


def show_goals(found: list[Goal], console: Console) -> None:
    """Print the figures to reach that were measured."""
    table = Table(title="\nFigures to reach", title_justify="left", box=SIMPLE_HEAD)
    for name in ("", "wanted", "measured", ""):
        table.add_column(name, justify="left" if not name else "right")
    for goal in found:
        if goal.reached is not None:
            sign = "≤" if goal.at_most else "≥"
            verdict = "[green]yes[/]" if goal.met else "[red]no[/]"
            table.add_row(goal.title, f"{sign} {goal.wanted:g}", f"{goal.reached:.2f}", verdict)
    if table.row_count:
        console.print(table)


def write(path: Path, machine: dict[str, object], samples: list[Sample], options: dict[str, object]) -> None:
    """Write everything as JSON: each sample, and the medians."""
    rows = rows_of(samples)
    content = {
        "machine": machine,
        "options": options,
        "goals": [asdict(goal) for goal in goals(rows)],
        "summary": [
            {
                "scenario": row.scenario,
                "contender": row.contender,
                "figures": {name: _rounded(asdict(figure)) for name, figure in row.figures.items()},
            }
            for row in rows.values()
        ],
        "samples": [
            {"scenario": one.scenario, "contender": one.contender, "values": _rounded(one.values)}
            for one in samples
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _rounded(values: dict[str, float]) -> dict[str, float]:
    rounding: Callable[[float], float] = lambda value: float(f"{value:.5g}")  # noqa: E731
    return {name: rounding(value) for name, value in values.items()}
