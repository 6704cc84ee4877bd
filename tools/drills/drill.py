"""One drill: visitors come all the time, faults come one after the other, and at the end the stores are counted."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from systemtests.receiver import Receiver
from tools.drills import codes, webhooks
from tools.drills.faults import Fault, Where
from tools.drills.ground import CODES_QUEUE, Ground, Load, SiteFailed

WARM_UP, BREATH, QUIET = 3.0, 1.0, 120.0
RECOVERS_WITHIN = 90.0


@dataclass(frozen=True)
class Options:
    """What a drill is asked to do."""

    seed: int
    rate: float
    hold: float
    minutes: float | None
    times: bool = True
    """Whether slow answers are judged: not where the machine is busy with something else."""


@dataclass
class Turn:
    """One fault and when what happened, on the monotonic clock."""

    fault: Fault[Any]
    began: float
    healed: float = 0.0
    ended: float = 0.0
    first_row: float | None = None
    """Seconds from the healing to the first new row."""
    recovery: float | None = None
    """Seconds from the healing until no backlog was left; None if it never came to that."""
    trouble: str = ""


@dataclass
class Outcome:
    """What a drill has seen, before anybody judges it."""

    answers: Path
    began: float
    turns: list[Turn] = field(default_factory=list)
    report: dict[str, object] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    trouble: str = ""
    complaints: list[str] = field(default_factory=list)
    """What faults have found missing, beside the visitors' answers."""
    notes: list[str] = field(default_factory=list)
    """What they have measured."""
    ended: float = 0.0


def run(
    site: Where, plan: Sequence[Fault[Where]], options: Options, say: Callable[[int, str], None]
) -> Outcome:
    """Do the faults of the plan in turn; an Outcome, whatever happens but Ctrl-C."""
    with webhooks.receiver(site) as receiver:
        return _run(site, plan, options, say, receiver)


def _run(
    site: Where,
    plan: Sequence[Fault[Where]],
    options: Options,
    say: Callable[[int, str], None],
    receiver: Receiver | None,
) -> Outcome:
    chance = random.Random(options.seed)  # noqa: S311  not secret
    load = Load(site, options.rate, options.seed)
    outcome = Outcome(load.answers, time.monotonic())
    try:
        site.wait(WARM_UP)
        for number, fault in enumerate(plan):
            if options.minutes and time.monotonic() - outcome.began > options.minutes * 60:
                break
            say(number, fault.name)
            turn = _turn(site, fault, options, chance)
            outcome.turns.append(turn)
            if turn.trouble or not load.alive:
                outcome.trouble = turn.trouble or "the visitors' process has ended"
                break
    finally:
        load.stop()
    say(len(plan), "quiet phase")
    try:
        site.wait_for(lambda: _is_quiet(site), QUIET, "an empty queue, spool and outbox")
        site.wait(BREATH)
    except SiteFailed as failed:
        outcome.trouble = outcome.trouble or str(failed)
    try:
        outcome.report = site.reconcile(load.accepted)
        _count_numbers(site)
        if site.gateway_port:
            codes.count(site, [(turn.began, turn.ended) for turn in outcome.turns if turn.fault.bends_time])
        if receiver:
            webhooks.count(site, receiver)
    except SiteFailed as failed:
        outcome.trouble += f"\n{failed}"
    outcome.ended = time.monotonic()
    outcome.restarts = site.restarts
    outcome.complaints = site.complaints
    outcome.notes = site.notes
    return outcome


def _count_numbers(site: Ground) -> None:
    """Complain if somebody in the campaign with places has no number, or two have one, or one is missing."""
    registered, numbers, last = site.numbers()
    if not registered == numbers == last:
        site.complaints.append(
            f"places: {registered} registered, {numbers} different numbers, the last is {last}"
        )
    site.notes.append(f"places: {numbers} numbers without a gap")


def _turn(site: Where, fault: Fault[Where], options: Options, chance: random.Random) -> Turn:
    turn = Turn(fault, time.monotonic())
    before = site.stored()
    try:
        try:
            fault.inject(site, chance)
            site.wait(options.hold * fault.holds * chance.uniform(0.7, 1.3))
        finally:
            at_heal = site.stored()
            fault.heal(site, chance)
            turn.healed = time.monotonic()
        _recover(site, turn, options, at_heal if at_heal is not None else before or 0)
        site.wait(BREATH)
    except Exception as error:  # noqa: BLE001  whatever breaks, the table is still to be printed
        turn.trouble = (
            f"{fault.name}: {error!r}" if not isinstance(error, SiteFailed) else f"{fault.name}: {error}"
        )
    turn.ended = time.monotonic()
    return turn


def _recover(site: Ground, turn: Turn, options: Options, at_heal: int) -> None:
    until = time.monotonic() + RECOVERS_WITHIN
    while turn.recovery is None:
        now = time.monotonic()
        stored = site.stored()
        if turn.first_row is None and stored is not None and stored > at_heal:
            turn.first_row = now - turn.healed
        # The web may still be starting: what visitors meet then belongs to this fault, not to the next.
        if turn.first_row is not None and _is_level(site, options) and site.is_ready():
            turn.recovery = now - turn.healed
        elif now > until:
            raise SiteFailed(
                f"no recovery in {RECOVERS_WITHIN:.0f} s: {site.queued()} messages queued, {site.spooled()} spooled"
            )
        site.wait(0.4)


def _is_level(site: Ground, options: Options) -> bool:
    """Whether no more waits than comes in half a second."""
    queued = site.queued()
    return queued is not None and max(queued, site.spooled()) <= options.rate / 2


def _is_quiet(site: Ground) -> bool:
    has_judged = not site.gateway_port or site.ready_in(CODES_QUEUE) == 0
    return has_judged and site.queued() == 0 and site.spooled() == 0 and site.parked() == 0
