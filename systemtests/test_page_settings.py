"""A page that a marketer has changed, in a real browser: another web beside the stack's, with a page.toml."""

from types import SimpleNamespace
from typing import Any

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from systemtests import axe
from systemtests.second_web import web_beside
from systemtests.stack import Stack, eventually, new_phone
from systemtests.visitor import Page

PAGE = """
[show]
consent = true

[colours]
accent = "#7a1f5c"
"""


@pytest.fixture(scope="module")
def campaign(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("campaign")
    (directory / "page.toml").write_text(PAGE)
    with web_beside(stack, directory) as url:
        yield SimpleNamespace(url=url, submissions_of=stack.submissions_of)


@pytest.fixture
def page(chromium: WebDriver, campaign: Any) -> Any:
    return Page(chromium, campaign)


def test_its_colours_are_painted_and_its_words_can_be_read_by_all(page: Any) -> None:
    page.open("/en/")
    assert page.find("#register button").value_of_css_property("background-color") == "rgba(122, 31, 92, 1)"
    assert axe.violations(page.browser) == []
    assert page.complaints() == []


@pytest.mark.parametrize(("language", "sentence"), [("fa", "موافقت خود را"), ("en", "Please tick the box")])
def test_nothing_is_sent_before_the_box_is_ticked(page: Any, language: str, sentence: Any) -> None:
    phone = new_phone()
    page.open(f"/{language}/").type(phone)
    page.press()
    eventually(lambda: sentence in page.text("#problem"))
    assert page.browser.switch_to.active_element.get_attribute("name") == "consent"
    assert axe.violations(page.browser) == []
    assert page.posts() == 0
    page.find("[name=consent]").click()
    page.press()
    page.wait_for("Registered")
    assert page.stack.submissions_of(phone) == 1
