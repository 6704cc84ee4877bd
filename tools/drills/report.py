"""From the visitors' file and the auditor's report to two tables and one verdict."""

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from tools.drills.drill import Outcome, Turn
from tools.drills.load import CODES, CUT, HANGS, KINDS

SLOWEST = 1.0
"""Seconds that an answer may take during a fault which visitors should not notice; /readyz, during any but the web's."""

SLOWEST_CODE = 3.0
"""The same for the two kinds of codes: they have no spool, and wait for a RabbitMQ that is late."""

GOOD: Mapping[str, frozenset[int | str]] = {
    "page": frozenset({200}),
    "preflight": frozenset({200, 204}),
    "wrong number": frozenset({400}),
    "json": frozenset({202}),
    "form": frozenset({302, 303}),
    "progress": frozenset({200}),
    "poll": frozenset({200}),
    "readyz": frozenset({200, 503}),
    "ask code": frozenset({202}),
    "type code": frozenset({202}),
}
"""What each kind of request is answered, whatever is away: the table "What is away" of the product's README."""

REFUSABLE = ("json", "form")
"""Kinds that a fault's 503 is for: where nothing can be kept, nothing else is refused."""

CALM = "(between faults)"
DAMAGE = ("lost", "duplicated", "unexpected")


@dataclass
class Tally:
    """All answers to one kind of request."""

    asked: int = 0
    good: int = 0
    slowest: float = 0.0
    """In seconds, while the fault lasted and until all was well."""
    slowest_meanwhile: float = 0.0
    """In seconds, of what was asked while the fault lasted."""
    others: dict[str, int] = field(default_factory=dict)
    surprises: dict[str, int] = field(default_factory=dict)
    """Those of the others that the fault does not explain."""


@dataclass
class Row:
    """All turns of one fault."""

    name: str
    client: frozenset[int | str] = frozenset()
    times: int = 0
    kinds: dict[str, Tally] = field(default_factory=lambda: {kind: Tally() for kind in KINDS})
    accepted: int = 0
    lost: int = 0
    duplicated: int = 0
    first_row: float = 0.0
    recovery: float = 0.0

    def allows(self, kind: str, status: int | str) -> bool:
        """Whether a visitor may see this."""
        if status in (CUT, HANGS):
            return status in self.client
        if kind in CODES and status == 503:
            return self.name != CALM  # they are not spooled: what RabbitMQ does not confirm is not promised
        return status in GOOD[kind] or (kind in REFUSABLE and status in self.client)

    def too_slow(self) -> dict[str, float]:
        """The kinds with an answer slower than this fault explains, and its seconds."""
        judged = {kind: tally.slowest_meanwhile for kind, tally in self.kinds.items() if self.is_unnoticed}
        if CUT not in self.client:
            judged["readyz"] = self.kinds["readyz"].slowest
        limits = {kind: SLOWEST_CODE if kind in CODES else SLOWEST for kind in judged}
        return {kind: seconds for kind, seconds in judged.items() if seconds > limits[kind]}

    def figures(self) -> dict[str, str | int | float]:
        """What it comes to, over all kinds of requests. slowest_s: while it lasted."""
        tallies = self.kinds.values()
        return {
            "fault": self.name,
            "times": self.times,
            "requests": self.asked,
            "accepted": self.accepted,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "not_allowed": sum(sum(tally.surprises.values()) for tally in tallies),
            "slowest_s": round(max(tally.slowest_meanwhile for tally in tallies), 2),
            "first_row_s": round(self.first_row, 1),
            "recovered_s": round(self.recovery, 1),
        }

    @property
    def is_unnoticed(self) -> bool:
        """Whether it is a fault that visitors should not notice."""
        return not self.client and self.name != CALM

    @property
    def asked(self) -> int:
        """How many requests there were."""
        return sum(tally.asked for tally in self.kinds.values())


@dataclass
class Verdict:
    """What the run comes to."""

    rows: list[Row]
    requests: int
    accepted: int
    faults: int
    slowest_unnoticed: float
    """The slowest answer during faults that visitors should not notice."""
    surprises: int
    """Answers that the table in README does not allow."""
    damage: dict[str, int]
    undocumented: int
    restarts: dict[str, int]
    notes: list[str]
    failures: list[str]

    def to_json(self) -> str:
        """All of it for a program."""
        told = asdict(self)
        for row in told["rows"]:
            row["client"] = sorted(map(str, row["client"]))
        return json.dumps(told, indent=1)

    def to_json_of_faults(self) -> str:
        """The figures of each fault, without the kinds of requests."""
        told = {
            "faults": [row.figures() for row in self.rows],
            "notes": self.notes,
            "failures": self.failures,
        }
        return json.dumps(told, indent=1)


def judge(outcome: Outcome, *, times: bool) -> Verdict:
    """Read the visitors' file and compare with what each fault allows; `times`: and with how long it may take."""
    rows: dict[str, Row] = {}
    for turn in outcome.turns:
        row = rows.setdefault(turn.fault.name, Row(turn.fault.name, turn.fault.client))
        row.times += 1
        row.first_row = max(row.first_row, turn.first_row or 0.0)
        row.recovery = max(row.recovery, turn.recovery or 0.0)
    rows.setdefault(CALM, Row(CALM))
    suspects = _ids(outcome.report, "lost"), _ids(outcome.report, "duplicated")
    with outcome.answers.open("rb") as lines:
        for line in lines:
            _count(orjson.loads(line), outcome.turns, rows, suspects)
    unnoticed = [tally for row in rows.values() if row.is_unnoticed for tally in row.kinds.values()]
    verdict = Verdict(
        rows=list(rows.values()),
        requests=sum(row.asked for row in rows.values()),
        accepted=sum(row.accepted for row in rows.values()),
        faults=len(outcome.turns),
        slowest_unnoticed=max((tally.slowest_meanwhile for tally in unnoticed), default=0.0),
        surprises=sum(sum(tally.surprises.values()) for row in rows.values() for tally in row.kinds.values()),
        damage={name: _number(outcome.report, name) for name in DAMAGE},
        undocumented=_number(outcome.report, "undocumented"),
        restarts=outcome.restarts,
        notes=outcome.notes,
        failures=[],
    )
    verdict.failures = _failures(verdict, outcome, times=times)
    return verdict


def _failures(verdict: Verdict, outcome: Outcome, *, times: bool) -> list[str]:
    failures = [outcome.trouble] if outcome.trouble else []
    failures += outcome.complaints
    must_lose = any(turn.fault.loses for turn in outcome.turns)
    if must_lose and not verdict.damage["lost"]:
        failures.append("nothing was lost, so this drill could not have seen a loss")
    failures += [
        f"{count} {name}"
        for name, count in verdict.damage.items()
        if count and not (must_lose and name == "lost")
    ]
    for row in verdict.rows:
        for kind, tally in row.kinds.items():
            failures += [f"{row.name}: {kind}: {n} × {what}" for what, n in sorted(tally.surprises.items())]
        if times:
            failures += [f"{row.name}: {kind}: one took {s:.2f} s" for kind, s in row.too_slow().items()]
    if not outcome.report:
        failures.append("the auditor has not spoken: nothing is known of losses")
    return failures


def _count(
    answer: Mapping[str, Any], turns: list[Turn], rows: dict[str, Row], suspects: tuple[set[str], set[str]]
) -> None:
    began, took, kind, status = answer["at"], answer["took"], answer["kind"], answer["status"]
    turn = _turn_at(began, turns)
    row = rows[turn.fault.name if turn else CALM]
    if not row.allows(kind, status) and (later := _turn_at(began + took, turns)):
        # Asked before a fault and answered in it.
        turn, row = later, rows[later.fault.name]
    tally = row.kinds[kind]
    tally.asked += 1
    tally.good += status in GOOD[kind]
    tally.slowest = max(tally.slowest, took)
    if turn is None or began < turn.healed:
        tally.slowest_meanwhile = max(tally.slowest_meanwhile, took)
    if status not in GOOD[kind]:
        tally.others[str(status)] = tally.others.get(str(status), 0) + 1
    if not row.allows(kind, status):
        tally.surprises[str(status)] = tally.surprises.get(str(status), 0) + 1
    row.accepted += bool(answer["accepted"])
    row.lost += answer["accepted"] in suspects[0]
    row.duplicated += answer["accepted"] in suspects[1]


def _turn_at(moment: float, turns: list[Turn]) -> Turn | None:
    index = bisect_right(turns, moment, key=lambda turn: turn.began) - 1
    return turns[index] if index >= 0 and moment <= turns[index].ended else None


def _number(report: Mapping[str, object], name: str) -> int:
    tally = report.get(name)
    return int(tally["count"]) if isinstance(tally, dict) else 0


def _ids(report: Mapping[str, object], name: str) -> set[str]:
    tally = report.get(name)
    return set(tally["ids"]) if isinstance(tally, dict) else set()


def show(verdict: Verdict, console: Console) -> None:
    """Print the tables and what they come to."""
    console.print(_faults(verdict), _kinds(verdict))
    console.print(
        f"{verdict.faults} faults, {verdict.requests:,} requests, {verdict.accepted:,} accepted; "
        + ", ".join(f"{name} {count}" for name, count in verdict.damage.items())
        + f", answers not allowed {verdict.surprises}",
        f"Slowest answer during faults that visitors should not notice: {verdict.slowest_unnoticed:.2f} s",
        sep="\n",
        highlight=False,
        soft_wrap=True,
    )
    for note in verdict.notes:
        console.print(note, highlight=False, soft_wrap=True)
    if verdict.restarts:
        told = ", ".join(f"{name} {count}" for name, count in sorted(verdict.restarts.items()))
        console.print(f"Started again by the supervisor: {told}", highlight=False)
    if verdict.undocumented:
        console.print(
            f"{verdict.undocumented} documents are missing in the stand-in for MongoDB; reconcile --repair writes them",
            highlight=False,
        )
    console.print("! beside an answer or a time: this fault should not lead to it", highlight=False)


def _faults(verdict: Verdict) -> Table:
    table = Table(title="Faults under load", title_justify="left")
    table.add_column("fault")
    for column in ("times", "requests", "accepted", "slowest s"):
        table.add_column(column, justify="right")
    table.add_column("other answers")
    for column in ("lost", "dup.", "first row s", "no backlog s"):
        table.add_column(column, justify="right")
    for row in verdict.rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> list[str]:
    kind, slowest = max(row.kinds.items(), key=lambda item: item[1].slowest)
    others = [
        f"{count} × {kind} {what}{'!' if what in tally.surprises else ''}"
        for kind, tally in row.kinds.items()
        for what, count in sorted(tally.others.items())
    ]
    return [
        row.name,
        str(row.times or ""),
        f"{row.asked:,}",
        f"{row.accepted:,}",
        f"{slowest.slowest:.2f} {kind}{'!' if row.too_slow() else ''}",
        ", ".join(others),
        str(row.lost),
        str(row.duplicated),
        f"{row.first_row:.1f}" if row.times else "",
        f"{row.recovery:.1f}" if row.times else "",
    ]


def _kinds(verdict: Verdict) -> Table:
    table = Table(title="What visitors asked for, over all faults", title_justify="left")
    table.add_column("kind")
    for column in ("requests", "answered well", "not allowed", "slowest s unnoticed", "in"):
        table.add_column(column, justify="right")
    for kind in KINDS:
        tallies = {row.name: row.kinds[kind] for row in verdict.rows}
        unnoticed = [row for row in verdict.rows if row.is_unnoticed] or verdict.rows
        worst = max(unnoticed, key=lambda row: row.kinds[kind].slowest_meanwhile)
        table.add_row(
            kind,
            f"{sum(tally.asked for tally in tallies.values()):,}",
            f"{sum(tally.good for tally in tallies.values()):,}",
            str(sum(sum(tally.surprises.values()) for tally in tallies.values())),
            f"{worst.kinds[kind].slowest_meanwhile:.2f}",
            worst.name,
        )
    return table
