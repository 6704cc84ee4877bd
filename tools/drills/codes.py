"""What became of codes: what visitors have got and typed, against the tables."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tools.drills.ground import Ground, SiteFailed

JUDGED_WITHIN = 30.0
"""Seconds after the drill in which the workers must have judged what was typed last."""


def count(site: Ground, bent: Iterable[tuple[float, float]]) -> None:
    """Complain of each right code that has confirmed nobody, and of each SMS that should not have been sent.

    bent: from when to when clocks differed, on the monotonic clock. What was typed then may be late.
    """
    spans = list(bent)
    typed = [
        one
        for one in _lines(site.state_dir / "typed.jsonl")
        if not any(began <= one["at"] <= ended for began, ended in spans)
    ]
    sms = _lines(site.state_dir / "sms.jsonl")
    with suppress(SiteFailed):  # what is not confirmed by then is complained of
        site.wait_for(lambda: not _unconfirmed(site, typed), JUDGED_WITHIN, "verdicts on codes")
    unconfirmed = _unconfirmed(site, typed)
    if unconfirmed:
        site.complaints.append(
            f"codes: {len(unconfirmed)} were typed in time and confirmed nobody: {unconfirmed[:3]}"
        )
    site.complaints += _surplus(sms)
    spent = _spent(site, len(sms))
    if not typed:
        site.complaints.append("codes: nobody has typed one, so this drill says nothing of them")
    site.notes.append(
        f"codes: {len(sms)} SMS, {len(typed)} right ones typed, {len(unconfirmed)} not confirmed, {spent} parts paid"
    )


def _unconfirmed(site: Ground, typed: Sequence[dict[str, Any]]) -> list[str]:
    confirmed = {
        phone
        for (phone,) in site.sql("SELECT phone_number FROM landing_registration WHERE status = 'confirmed'")
    }
    return [one["task_id"] for one in typed if one["phone"] not in confirmed]


def _surplus(sms: Sequence[dict[str, Any]]) -> list[str]:
    """Complain of questions with two SMS, and of numbers with two codes: a challenge lasts for longer than a visit."""
    twice = [question for question, times in Counter(one["question"] for one in sms).items() if times > 1]
    codes = defaultdict(set)
    for one in sms:
        codes[one["phone"]].add(one["code"])
    differ = sum(len(of_number) > 1 for of_number in codes.values())
    found = [f"codes: {len(twice)} questions were sent twice, such as {twice[:3]}"] if twice else []
    return found + ([f"codes: {differ} numbers have got two different ones"] if differ else [])


def _spent(site: Ground, sms: int) -> Any:
    """Complain if an SMS was not paid, or a day cost more than its budget; return the parts of all days."""
    ((parts, most),) = site.sql(
        "SELECT coalesce(sum(parts), 0), coalesce(max(parts), 0) FROM confirmations_budget"
    )
    budget = int(site.settings["CODE_BUDGET"])
    if int(str(parts)) < sms:
        site.complaints.append(f"codes: {sms} SMS came, and only {parts} parts are counted")
    if int(str(most)) > budget:
        site.complaints.append(f"codes: {most} parts on one day, and the budget is {budget}")
    return parts


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
