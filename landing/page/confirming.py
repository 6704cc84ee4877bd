"""What the page of a registration says and shows while its phone number is being proven."""

from collections.abc import Mapping
from math import ceil
from typing import Any
from uuid import uuid4

from landing.door import problems
from landing.page import branding, rendering

HERE_EVERY = 20
"""Seconds after which a page without JavaScript says that somebody is still there, while they wait in line."""
SOON = 60
"""Seconds of a wait that is not told in minutes."""
_MAY_ASK = frozenset({"unasked", "expired", "locked", "later"})


def shown(
    told: Mapping[str, Any], language: str, slug: str, wrong: str = "", has_asked: bool = False
) -> dict[str, Any]:
    """Return the words and the controls of the page.

    told: the API's `confirmation`. wrong: what was wrong with the code that was typed last, as problems.CODE_REASONS.
    has_asked: a question for a code was kept a moment ago.
    """
    if has_asked and _may_ask(told) and not told.get("again_in"):
        # No worker has read the question yet. As it is told, the page would have no refresh, and stay like this.
        told = {"status": "waiting"}
    words = branding.current(slug).texts[language]["code"]
    status = told["status"]
    return {
        "told": dict(told),
        "heading": words[f"{status}_heading"],
        "sentence": rendering.filled(words[_sentence(told)], language, **_values(told)),
        "error": _error(told, words, language, wrong),
        "types": status == "sent",
        "asks": _may_ask(told),
        "words": words,
        # Pressing twice without JavaScript is one try.
        "key": str(uuid4()),
        "refresh": _refresh(told),
    }


def _may_ask(told: Mapping[str, Any]) -> bool:
    return told["status"] in _MAY_ASK and told.get("why") != "off"


def _sentence(told: Mapping[str, Any]) -> str:
    status: str = told["status"]
    if status == "later":
        return f"later_{told['why']}"
    if status == "waiting" and told.get("wait", 0) <= SOON:
        return "soon"
    return status


def _values(told: Mapping[str, Any]) -> dict[str, object]:
    seconds = told.get("wait", told.get("expires_in", 0))
    return {"before": told.get("before", 0), "minutes": ceil(seconds / 60)}


def _error(told: Mapping[str, Any], words: Mapping[str, str], language: str, wrong: str) -> str:
    if told["status"] == "sent" and wrong in problems.CODE_REASONS:
        return problems.in_language(language).code_reasons[wrong]
    result = told.get("last_try", {}).get("result", "")
    if told["status"] != "sent" or result not in ("wrong", "late"):
        return ""
    return rendering.filled(words[result], language, left=told["tries_left"])


def _refresh(told: Mapping[str, Any]) -> str:
    """Return the content of the page's <meta http-equiv=refresh>, "" for none: it would wipe what is being typed."""
    if told["status"] == "checking":
        return "1"
    if told["status"] == "waiting" or told.get("why") == "gateway":
        seconds = HERE_EVERY if told.get("wait", 0) > HERE_EVERY else 3
        return f"{seconds}; url=confirm/"
    return ""
