"""axe-core, which finds what keeps people from using a page: fetched from PyPI, run in the browser."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

WHEEL = "axe-playwright-python==0.1.8"
"""Carries axe-core 4.12.1. Unpacked, not installed: it would bring Playwright along."""

SCRIPT = Path(sys.prefix) / "share" / "breakwater-axe" / "axe.min.js"


def fetch() -> None:
    """Download axe-core unless it is there."""
    if SCRIPT.exists():
        return
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary", ":all:", "--dest", directory, WHEEL]
        subprocess.run(command, check=True)
        (wheel,) = Path(directory).iterdir()
        script = zipfile.ZipFile(wheel).read("axe_playwright_python/axe.min.js")
    SCRIPT.parent.mkdir(parents=True, exist_ok=True)
    draft = SCRIPT.with_suffix(".new")
    draft.write_bytes(script)
    draft.replace(SCRIPT)


def violations(browser: Any) -> Any:
    """Return what axe finds on the page as it is shown: rule, help and place of each."""
    # By the debugger, which the page's content policy does not bind.
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": SCRIPT.read_text("utf-8")})
    answer = browser.execute_cdp_cmd(
        "Runtime.evaluate",
        {
            "expression": "axe.run().then(({violations}) => violations.flatMap((one) => "
            "one.nodes.map((node) => `${one.id}: ${one.help}: ${node.target} ${node.failureSummary}`)))",
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    return answer["result"]["value"]


if __name__ == "__main__":
    fetch()
