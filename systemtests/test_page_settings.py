"""A page that a marketer has changed, in a real browser: another web beside the stack's, with a page.toml."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from systemtests import axe
from systemtests.stack import ROOT, Stack, eventually, free_port, new_phone
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
    port = free_port()
    own = {"LANDING_DIR": str(directory), "PORT": str(port), "WEB_CONCURRENCY": "1"}
    with (directory / "output").open("wb") as out:
        web = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "config.asgi:application"],
            cwd=ROOT,
            env=stack.shell | stack.settings | own,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: is_up(url), within=60)
        yield SimpleNamespace(url=url, submissions_of=stack.submissions_of)
    finally:
        web.terminate()
        web.wait(30)


def is_up(url: str) -> Any:
    try:
        return httpx.get(f"{url}/livez", trust_env=False).is_success
    except httpx.TransportError:
        return False


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
