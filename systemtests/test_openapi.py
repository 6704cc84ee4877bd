"""The OpenAPI document tells the truth: schemathesis sends what it allows and what it forbids."""

import subprocess
import sys
from pathlib import Path

from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By

from systemtests.stack import ROOT, Stack, eventually


def test_schemathesis_finds_no_difference_between_the_document_and_the_product(
    stack: Stack, tmp_path: Path
) -> None:
    command = "run --checks all --max-examples 40 --seed 20260921 --generation-database none --warnings off"
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *command.split(), f"{stack.url}/api/schema/"],
        cwd=tmp_path,  # no file of its own is left in the repository
        env=stack.shell | {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "systemtests.schemathesis_hooks"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 5" in done.stdout, done.stdout


def test_the_page_shows_errors_and_code_to_copy_in_three_languages(stack: Stack, chromium: WebDriver) -> None:
    chromium.get_log("browser")
    chromium.get(f"{stack.url}/api/docs/")
    eventually(lambda: chromium.find_elements(By.CSS_SELECTOR, ".opblock-summary-control"))
    chromium.find_element(By.CSS_SELECTOR, ".opblock-post .opblock-summary-control").click()
    eventually(lambda: chromium.find_elements(By.CSS_SELECTOR, ".opblock-post .response"))
    shown = chromium.find_element(By.TAG_NAME, "body").text
    for words in ("rate_limited", "Retry-After", "curl -i", "await fetch(", "import httpx"):
        assert words in shown
    assert chromium.get_log("browser") == []  # nothing that the content security policy forbids
