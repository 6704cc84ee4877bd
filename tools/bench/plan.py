"""What runs, in which order, and how long it will take."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tools.bench import scenarios, visiting
from tools.bench.contenders import ALL, BY_NAME, LITERAL, OURS, Contender
from tools.bench.scenarios import Sample
from tools.bench.stage import Stage

SCENARIOS = ("accept", "flow", "visit", "page", "campaigns", "crowd", "limits", "growth", "burst", "soak")
USUAL = SCENARIOS[:-1]


@dataclass(frozen=True)
class Options:
    """What the caller asked for."""

    rounds: int = 3
    seconds: float = 2.5
    burst: int = 300_000
    crowd: int = 20_000
    rows: tuple[int, ...] = (1_000_000, 5_000_000)
    soak_minutes: float = 10.0
    only: frozenset[str] = frozenset()
    scenarios: frozenset[str] = frozenset(USUAL)
    compose: bool = False

    @property
    def complete(self) -> bool:
        """Whether every contender takes part in every usual scenario, at full length."""
        usual = Options()
        return (self.burst, self.crowd, self.rows, self.only) == (
            usual.burst,
            usual.crowd,
            usual.rows,
            usual.only,
        ) and set(USUAL) <= self.scenarios


@dataclass(frozen=True)
class Step:
    """One contender's turn in one scenario."""

    title: str
    estimate: float
    """Seconds, guessed; what matters is how the steps compare."""
    run: Callable[[Stage], Iterator[Sample]] = field(repr=False)


def steps(options: Options) -> list[Step]:
    """Return all steps: rounds, each with every contender's turns, in an order that turns from round to round."""
    ours = BY_NAME[OURS]
    found: list[Step] = []
    if "growth" in options.scenarios and takes_part(options, ours):
        found += [_seed(ours, rows) for rows in options.rows]
    for number in range(options.rounds):
        found += _round(options, number)
    if "burst" in options.scenarios and takes_part(options, ours):
        found.append(_burst(ours, options.burst))
    if "soak" in options.scenarios and takes_part(options, ours):
        found.append(_soak(ours, options.soak_minutes))
    return found


def takes_part(options: Options, contender: Contender) -> bool:
    """Whether this contender was asked for."""
    return not options.only or contender.name in options.only


def _round(options: Options, number: int) -> list[Step]:
    # Nobody always follows the same neighbour, or always comes first.
    first = number * 3 % len(ALL)
    turn = [one for one in (*ALL[first:], *ALL[:first]) if takes_part(options, one)]
    found = [step for contender in turn for step in _turn(contender, options, number)]
    if "limits" in options.scenarios and takes_part(options, BY_NAME["fastapi_aiopika"]):
        found.append(_limits(options))
    return found


def _turn(contender: Contender, options: Options, number: int) -> Iterator[Step]:
    """Yield what one contender does in a round."""
    is_ours, asked = contender.name == OURS, options.scenarios
    if "accept" in asked:
        yield _accept(contender, options, number)
    if "flow" in asked and contender.name in (OURS, LITERAL):
        yield _flow(contender, options, number)
    if "visit" in asked and contender.visitors:
        yield _visit(contender, options)
    if "page" in asked and is_ours:
        yield _page(contender, options)
    if "campaigns" in asked and is_ours:
        yield _campaigns(contender, options, number)
    if "crowd" in asked and is_ours:
        yield _crowd(contender, options)
    if "growth" in asked and is_ours:
        # The largest is what counts; the others show the way there, once.
        sizes = options.rows if number == 0 else options.rows[-1:]
        yield from (_growth(contender, rows, options) for rows in sizes)


def _accept(contender: Contender, options: Options, number: int) -> Step:
    open_model = 0.0 if contender.worker else len(contender.latency_rates) * (options.seconds + 1)
    drain = 3 + 2 * options.seconds if contender.drained else 0.0
    return Step(
        f"{contender.name}: accept",
        3 + 2 * options.seconds + open_model + drain,
        lambda stage: scenarios.accept(
            stage, contender, seconds=options.seconds, seed=number, open_seconds=options.seconds
        ),
    )


def _flow(contender: Contender, options: Options, number: int) -> Step:
    return Step(
        f"{contender.name}: accept and store",
        7 + (1 + len(contender.latency_rates)) * (options.seconds + 1.5),
        lambda stage: scenarios.flow(
            stage, contender, seconds=options.seconds, seed=number, open_seconds=options.seconds
        ),
    )


def _page(contender: Contender, options: Options) -> Step:
    return Step(
        f"{contender.name}: the landing page",
        5 + 2 * options.seconds,
        lambda stage: scenarios.page(stage, contender, seconds=options.seconds),
    )


def _campaigns(contender: Contender, options: Options, number: int) -> Step:
    return Step(
        f"{contender.name}: campaigns",
        12 + 9 * options.seconds,
        lambda stage: scenarios.campaigns(stage, contender, seconds=options.seconds, number=number),
    )


def _visit(contender: Contender, options: Options) -> Step:
    return Step(
        f"{contender.name}: visits",
        12 + 3 * options.seconds,
        lambda stage: visiting.visits(stage, contender, seconds=3 * options.seconds),
    )


def _crowd(contender: Contender, options: Options) -> Step:
    return Step(
        f"{contender.name}: a crowd of {options.crowd:,}",
        45 + 4 * options.seconds + options.crowd / 2000,
        lambda stage: visiting.crowd(stage, contender, count=options.crowd, seconds=2 * options.seconds),
    )


def _growth(contender: Contender, rows: int, options: Options) -> Step:
    return Step(
        f"{contender.name}: with {rows:,} rows",
        6 + 2 * options.seconds,
        lambda stage: scenarios.growth(stage, contender, rows=rows, seconds=options.seconds),
    )


def _seed(contender: Contender, rows: int) -> Step:
    return Step(
        f"{rows:,} rows for later",
        2 + rows / 85_000,
        lambda stage: scenarios.seed_rows(stage, contender, rows=rows),
    )


def _limits(options: Options) -> Step:
    seconds = options.seconds / 2
    return Step(
        "limits of the machine",
        2 + 3 * seconds,
        lambda stage: scenarios.publish(stage, BY_NAME["fastapi_aiopika"], seconds=seconds),
    )


def _burst(contender: Contender, count: int) -> Step:
    return Step(
        f"{contender.name}: a burst of {count:,}",
        10 + count / 5000,
        lambda stage: scenarios.burst(stage, contender, count=count),
    )


def _soak(contender: Contender, minutes: float) -> Step:
    return Step(
        f"{contender.name}: {minutes:g} minutes at 1,000 requests/s",
        10 + minutes * 60,
        lambda stage: scenarios.soak(stage, contender, rate=1000, minutes=minutes),
    )
