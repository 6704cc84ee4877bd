"""Lighthouse, which judges a page as Google does: fetched from npm once, run on the local Chromium, offline."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

VERSION = "12.8.2"
LEAST = {"performance": 97, "accessibility": 100, "best-practices": 100, "seo": 100}
LONGEST_BLOCKING = 50
"""Milliseconds that the page may keep the main thread from the visitor: Total Blocking Time."""

_HOME = Path(__file__).resolve().parent.parent / ".local" / f"lighthouse-{VERSION}"
_COMMAND = _HOME / "node_modules" / "lighthouse" / "cli" / "index.js"
_CHROMIUM = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage"


class LighthouseFailed(Exception):
    """Lighthouse cannot be had or run; the message tells the next step."""


def install() -> None:
    """Fetch Lighthouse into .local, unless it is there. Raises LighthouseFailed."""
    if _COMMAND.exists():
        return
    if not shutil.which("npm"):
        raise LighthouseFailed("npm is missing: install Node.js 20 or newer with npm, for Lighthouse.")
    _HOME.mkdir(parents=True, exist_ok=True)
    wanted = ["npm", "install", "--prefix", str(_HOME), "--no-audit", "--no-fund", "--ignore-scripts"]
    fetched = subprocess.run(  # noqa: S603  ours
        [*wanted, f"lighthouse@{VERSION}"], capture_output=True, text=True, timeout=600, check=False
    )
    if fetched.returncode:
        raise LighthouseFailed(f"npm cannot fetch Lighthouse:\n{fetched.stderr.strip()[-1000:]}")


def best(url: str, runs: int) -> dict[str, int]:
    """Return the scores (0 to 100) and the blocking time (ms) of the best of some runs.

    Whatever else the machine does only makes a run worse, or fail. Raises LighthouseFailed when each fails.
    """
    found, failures = [], []
    for _ in range(runs):
        try:
            found.append(_run(url))
        except LighthouseFailed as failure:
            failures.append(failure)
    if not found:
        raise failures[-1]
    return min(found, key=lambda one: (one["blocking"], -one["performance"]))


def is_good(found: dict[str, int]) -> bool:
    """Return whether a page is as good as ours has to be."""
    return found["blocking"] <= LONGEST_BLOCKING and all(
        found[name] >= least for name, least in LEAST.items()
    )


def _run(url: str) -> dict[str, int]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        report = Path(directory) / "report.json"
        command = ["node", str(_COMMAND), url, "--quiet", "--output=json", f"--output-path={report}"]
        ran = subprocess.run(  # noqa: S603  ours
            [*command, f"--chrome-flags={_CHROMIUM}", "--no-enable-error-reporting"],
            env=os.environ | {"CHROME_PATH": "/usr/bin/chromium"},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if ran.returncode:
            raise LighthouseFailed(f"Lighthouse failed:\n{ran.stderr.strip()[-1000:]}")
        said: dict[str, Any] = json.loads(report.read_text("utf-8"))
    scores = {name: round(100 * (said["categories"][name]["score"] or 0)) for name in LEAST}
    return scores | {"blocking": round(said["audits"]["total-blocking-time"]["numericValue"])}
