"""The catalogue of translations has every message of ours in Persian, and none that is not used."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest
from django.conf import settings

from landing.door import problems

ROOT = Path(settings.BASE_DIR)
EMBED = (ROOT / "landing/static/landing/embed.js").read_text()
CATALOGUE = polib.pofile(str(ROOT / "locale/fa/LC_MESSAGES/django.po"))

Message = tuple[str | None, str]
"""A context, if there is one, and the English text."""


def in_python(path: Path) -> Iterator[Message]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        texts = [str(one.value) for one in node.args if isinstance(one, ast.Constant) and one.value]
        if node.func.id in ("_", "gettext", "gettext_noop") and texts:
            yield None, texts[0]
        if node.func.id == "pgettext_lazy":
            yield texts[0], texts[1]


def in_template(path: Path) -> Iterator[Message]:
    for text in re.findall(r'{% translate "([^"]+)"', path.read_text()):
        yield None, text


def embedded(language: str) -> dict[str, str]:
    """The sentences of the embedded form, which has both languages in one file."""
    found = re.search(rf"^    {language}: {{(.*?)^    }}", EMBED, re.DOTALL | re.MULTILINE)
    return dict(re.findall(r'"?([\w-]+)"?: "([^"]+)"', found[1])) if found else {}


def used() -> set[Message]:
    found: set[Message] = {(None, text) for text in embedded("en").values()}
    for room in ("campaigns", "landing", "confirmations", "courier", "dashboard"):
        for path in (ROOT / room).rglob("*.py"):
            found.update(in_python(path))
        for path in (ROOT / room).rglob("*.html"):
            found.update(in_template(path))
    return found


def known() -> dict[Message, str]:
    return {(entry.msgctxt, entry.msgid): entry.msgstr for entry in CATALOGUE if not entry.fuzzy}


def test_every_message_is_in_the_catalogue() -> None:
    assert used() - known().keys() == set(), "add them to locale/fa/LC_MESSAGES/django.po"


def test_the_catalogue_has_no_message_that_nobody_uses() -> None:
    assert known().keys() - used() == set()


def test_nothing_is_left_untranslated() -> None:
    assert [message for message, persian in known().items() if not persian] == []


def test_a_translation_keeps_the_places_for_values() -> None:
    places = re.compile(r"{\w+}")
    differ = {
        text
        for (_, text), persian in known().items()
        if set(places.findall(text)) != set(places.findall(persian))
    }
    assert differ == set()


def test_the_embedded_form_says_what_the_catalogue_says() -> None:
    english, persian = embedded("en"), embedded("fa")
    assert english
    assert persian == {state: known()[None, text] for state, text in english.items()}


@pytest.mark.parametrize("language", ["en", "fa"])
def test_a_visitor_reads_each_problem_in_one_language(language: str) -> None:
    letters = re.compile("[\u0600-\u06ff]")
    for code in problems.STATUSES:
        told = problems.body(code, "", language)
        assert bool(letters.search(told["title"])) is (language == "fa")
