"""One whole stack for the session, started and ended as a person does it."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from systemtests.stack import Stack
from systemtests.visitor import Page, open_browser


@pytest.fixture(scope="session")
def stack(request: Any) -> Any:
    """The running product. At the end, Ctrl-C ends it cleanly and leaves no process."""
    directory = Path(tempfile.mkdtemp(prefix="breakwater-system-")).resolve()
    stack = Stack(directory)
    stack.start()
    yield stack
    assert stack.interrupt() == 0, stack.output.read_text()
    assert stack.processes() == []
    if request.session.testsfailed:
        os.write(2, f"\nThe logs of the failed tests: {directory}/logs\n".encode())
    else:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(autouse=True)
def _what_a_test_breaks_mends_before_the_next(request: Any) -> Any:
    yield
    if "stack" in request.fixturenames:
        request.getfixturevalue("stack").recover()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Any:
    browser = open_browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def chromium_without_scripts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    browser = open_browser(tmp_path_factory.mktemp("chromium"), scripts=False)
    yield browser
    browser.quit()


@pytest.fixture
def page(chromium: WebDriver, stack: Stack) -> Any:
    return Page(chromium, stack)


@pytest.fixture
def plain_page(chromium_without_scripts: Any, stack: Stack) -> Any:
    return Page(chromium_without_scripts, stack)
