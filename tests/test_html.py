"""The visitor's pages are valid HTML: strict parsers find no error, and every address is one."""

import re
from collections.abc import Callable
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import html5lib
import pytest
from django.test import Client

from landing.door import status
from landing.storing.task_states import Known, State

# RFC 3986: what may stand in an address without being escaped, and escapes.
ADDRESS = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
NAMED_BY_IDS = ("for", "aria-labelledby", "aria-describedby")


def page(path: str, state: str = "") -> Any:
    known = next((Known(one) for one in State if one.shown == state), None)
    with patch.object(status, "of", return_value=known):
        return Client().get(path).content.decode()


def wrong(path: str) -> Any:
    return Client().post(path, {"phone_number": '0912"><'}).content.decode()


PAGES = {
    "the form": lambda language: page(f"/{language}/"),
    "a wrong number": lambda language: wrong(f"/{language}/"),
    **{
        state: lambda language, state=state: page(f"/{language}/registration/{uuid4()}/", state)
        for state in ("Processing", "Registered", "Failed")
    },
}


@pytest.mark.parametrize("language", ["fa", "en"])
@pytest.mark.parametrize("written", PAGES.values(), ids=PAGES)
def test_each_page_is_valid(written: Callable[..., Any], language: str) -> None:
    html = written(language)
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    elements = list(parser.parse(html).iter())
    addresses = [
        element.get(name) for element in elements for name in ("href", "src", "action") if element.get(name)
    ]
    assert [address for address in addresses if not ADDRESS.fullmatch(address)] == []
    ids = [element.get("id") for element in elements if element.get("id")]
    assert len(ids) == len(set(ids))
    named = [
        one for element in elements for name in NAMED_BY_IDS for one in (element.get(name) or "").split()
    ]
    assert set(named) <= set(ids)
