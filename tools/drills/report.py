"""From the visitors' file and the auditor's report to one table and one verdict."""

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table

from tools.drills.drill import Outcome, Turn
from tools.drills.load import CUT, DISAGREE, HANGS

SLOWEST = 1.0
"""Seconds that an answer may take during a fault which visitors should not notice."""

CALM = "(between faults)"
DAMAGE = ("lost", "duplicated", "unexpected")


@dataclass
class Row:
    """All turns of one fault."""

    name: str
    allowed: frozenset[int | str] = frozenset({202})
    times: int = 0
    requests: int = 0
    accepted: int = 0
    slowest: float = 0.0
    others: dict[str, int] = field(default_factory=dict)
    surprises: int = 0
    lost: int = 0
    duplicated: int = 0
    first_row: float = 0.0
    recovery: float = 0.0

    @property
    def share(self) -> float:
        """The share of requests that were accepted, in percent."""
        return 100 * self.accepted / self.requests if self.requests else 100.0


@dataclass
class Verdict:
    """What the run comes to."""

    rows: list[Row]
    requests: int
    accepted: int
    faults: int
    slowest_unnoticed: float
    """The slowest answer during faults that visitors should not notice."""
    share_unnoticed: float
    """The percentage of 202s during those."""
    hangs: int
    wrong: int
    damage: dict[str, int]
    undocumented: int
    restarts: dict[str, int]
    failures: list[str]

    def to_json(self) -> str:
        """All of it for a program."""
        told = asdict(self)
        for row in told["rows"]:
            row["allowed"] = sorted(map(str, row["allowed"]))
        return json.dumps(told, indent=1)


def judge(outcome: Outcome) -> Verdict:
    """Read the visitors' file and compare with what each fault allows."""
    rows: dict[str, Row] = {}
    for turn in outcome.turns:
        row = rows.setdefault(turn.fault.name, Row(turn.fault.name, turn.fault.client))
        row.times += 1
        row.first_row = max(row.first_row, turn.first_row or 0.0)
        row.recovery = max(row.recovery, turn.recovery or 0.0)
    calm = rows.setdefault(CALM, Row(CALM))
    starts = [turn.began for turn in outcome.turns]
    hangs = wrong = 0
    suspects = _ids(outcome.report, "lost"), _ids(outcome.report, "duplicated")
    with outcome.witness.open() as lines:
        for line in lines:
            answer = json.loads(line)
            row = _row_of(answer["at"], outcome.turns, starts, rows) or calm
            _count(row, answer, suspects)
            hangs += answer["status"] == HANGS and HANGS not in row.allowed
            wrong += answer["status"] not in (202, 503, CUT, HANGS)
    unnoticed = [row for row in rows.values() if row.allowed == {202} and row.requests]
    verdict = Verdict(
        rows=list(rows.values()),
        requests=sum(row.requests for row in rows.values()),
        accepted=sum(row.accepted for row in rows.values()),
        faults=len(outcome.turns),
        slowest_unnoticed=max((row.slowest for row in unnoticed), default=0.0),
        share_unnoticed=100
        * sum(row.accepted for row in unnoticed)
        / max(1, sum(row.requests for row in unnoticed)),
        hangs=hangs,
        wrong=wrong,
        damage={name: _number(outcome.report, name) for name in DAMAGE},
        undocumented=_number(outcome.report, "undocumented"),
        restarts=outcome.restarts,
        failures=[],
    )
    verdict.failures = _failures(verdict, outcome)
    return verdict


def _failures(verdict: Verdict, outcome: Outcome) -> list[str]:
    failures = [outcome.trouble] if outcome.trouble else []
    failures += [f"{count} {name}" for name, count in verdict.damage.items() if count]
    if verdict.hangs:
        failures.append(f"{verdict.hangs} requests were never answered")
    if verdict.wrong:
        failures.append(f"{verdict.wrong} answers that no fault explains")
    if not outcome.report:
        failures.append("the auditor has not spoken: nothing is known of losses")
    return failures


def _count(row: Row, answer: Mapping[str, object], suspects: tuple[set[str], set[str]]) -> None:
    status, took = answer["status"], answer["took"]
    assert isinstance(status, (int, str))
    assert isinstance(took, (int, float))
    if status == DISAGREE:
        row.others[DISAGREE] = row.others.get(DISAGREE, 0) + 1
        return
    row.requests += 1
    if status == 202:
        row.accepted += 1
    else:
        row.others[str(status)] = row.others.get(str(status), 0) + 1
        row.surprises += status not in row.allowed
    row.slowest = max(row.slowest, took)
    row.lost += answer["request_id"] in suspects[0]
    row.duplicated += answer["request_id"] in suspects[1]


def _row_of(at: float, turns: list[Turn], starts: list[float], rows: dict[str, Row]) -> Row | None:
    index = bisect_right(starts, at) - 1
    if index < 0 or at > turns[index].ended:
        return None
    return rows[turns[index].fault.name]


def _number(report: Mapping[str, object], name: str) -> int:
    tally = report.get(name)
    return int(tally["count"]) if isinstance(tally, dict) else 0


def _ids(report: Mapping[str, object], name: str) -> set[str]:
    tally = report.get(name)
    return set(tally["ids"]) if isinstance(tally, dict) else set()


def show(verdict: Verdict, console: Console) -> None:
    """Print the table and what it comes to."""
    table = Table(title="Faults under load", title_justify="left")
    table.add_column("fault")
    for column in (
        "times",
        "requests",
        "202",
        "%",
        "slowest s",
        "other answers",
        "lost",
        "dup.",
        "first row s",
    ):
        table.add_column(column, justify="left" if column == "other answers" else "right")
    table.add_column("no backlog s", justify="right")
    for row in verdict.rows:
        table.add_row(*_cells(row))
    console.print(table)
    console.print(
        f"{verdict.faults} faults, {verdict.requests:,} requests, {verdict.accepted:,} accepted; "
        + ", ".join(f"{name} {count}" for name, count in verdict.damage.items())
        + f", hanging {verdict.hangs}",
        f"During faults that visitors should not notice: {verdict.share_unnoticed:.3f} % of answers 202, "
        f"the slowest after {verdict.slowest_unnoticed:.2f} s",
        sep="\n",
        highlight=False,
        soft_wrap=True,
    )
    if verdict.restarts:
        told = ", ".join(f"{name} {count}" for name, count in sorted(verdict.restarts.items()))
        console.print(f"Started again by the supervisor: {told}", highlight=False)
    if verdict.undocumented:
        console.print(
            f"{verdict.undocumented} documents are missing in the stand-in for MongoDB; reconcile --repair writes them",
            highlight=False,
        )
    console.print("! beside an answer: this fault should not lead to it", highlight=False)


def _cells(row: Row) -> list[str]:
    others = ", ".join(
        f"{count} × {status}{'' if status in map(str, row.allowed) else '!'}"
        for status, count in sorted(row.others.items())
    )
    too_slow = row.allowed == {202} and row.slowest > SLOWEST
    return [
        row.name,
        str(row.times or ""),
        f"{row.requests:,}",
        f"{row.accepted:,}",
        f"{row.share:.1f}",
        f"{row.slowest:.2f}{'!' if too_slow else ''}",
        others,
        str(row.lost),
        str(row.duplicated),
        f"{row.first_row:.1f}" if row.times else "",
        f"{row.recovery:.1f}" if row.times else "",
    ]
