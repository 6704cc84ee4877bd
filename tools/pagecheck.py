"""Measure the landing page as a visitor on a slow connection meets it, in Chromium.

  python -m tools.pagecheck                              # of `make run`
  python -m tools.pagecheck --url https://example.com --json

Each language is opened with an empty cache, on connections and a processor slowed down as Lighthouse
does, and then judged by Lighthouse itself (fetched by npm into .local), whose best run counts. It ends with 1
when the page is heavier than 50 KB, asks anybody else, has no form to use, keeps the processor from the
visitor for more than 50 ms, or scores less than 97 (performance) and 100 (the rest).
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

from tools import lighthouse

LANGUAGES = ("fa", "en")
HEAVIEST = 50 * 1024
CPU_SLOWDOWN = 4
# name: round trip in ms, download and upload in bytes a second: Lighthouse's own.
CONNECTIONS = {"slow 4G": (150, 1_638_400 // 8, 768_000 // 8), "slow 3G": (400, 400_000 // 8, 400_000 // 8)}
SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")

# Ready for the visitor: something is painted, and the deferred scripts have run.
_TIMES = """
const [page] = performance.getEntriesByType("navigation");
const [paint] = performance.getEntriesByName("first-contentful-paint");
return paint && {painted: paint.startTime, ready: Math.max(paint.startTime, page.domContentLoadedEventEnd),
        usable: !document.querySelector("#register button").disabled}
"""


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _options()
    try:
        with _chromium() as browser:
            found = [
                measure(browser, options.url, language, connection, options.runs)
                for language in LANGUAGES
                for connection in CONNECTIONS
            ]
        lighthouse.install()
        judged = {
            language: lighthouse.best(f"{options.url}/{language}/", options.runs) for language in LANGUAGES
        }
    except WebDriverException as error:
        print(f"{options.url} cannot be measured: {error.msg}. Is `make run` up?", file=sys.stderr)  # noqa: T201
        return 2
    except lighthouse.LighthouseFailed as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    if options.json:
        print(json.dumps({"pages": found, "lighthouse": judged}, indent=2))  # noqa: T201
    else:
        Console().print(_table(found), _judgements(judged), sep="\n")
    good = all(one["bytes"] <= HEAVIEST and not one["others"] and one["usable"] for one in found)
    return 0 if good and all(map(lighthouse.is_good, judged.values())) else 1


def measure(browser: webdriver.Chrome, url: str, language: str, connection: str, runs: int) -> dict[str, Any]:
    """Open the page some times with an empty cache and return what it cost: bytes, requests, medians in ms."""
    opened = [_open(browser, url, language, connection) for _ in range(runs)]
    return {
        "language": language,
        "connection": connection,
        **opened[-1],
        "painted": round(statistics.median(one["painted"] for one in opened)),
        "ready": round(statistics.median(one["ready"] for one in opened)),
    }


def _open(browser: webdriver.Chrome, url: str, language: str, connection: str) -> dict[str, Any]:
    latency, down, up = CONNECTIONS[connection]
    browser.get("about:blank")
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    browser.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": CPU_SLOWDOWN})
    slow = {"offline": False, "latency": latency, "downloadThroughput": down, "uploadThroughput": up}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", slow)
    _events(browser)
    browser.get(f"{url}/{language}/")
    times: dict[str, Any] = WebDriverWait(browser, 10).until(lambda driver: driver.execute_script(_TIMES))
    events = _events(browser)
    sent = [one["params"] for one in events if one["method"] == "Network.requestWillBeSent"]
    asked = {
        one["requestId"]: one["request"]["url"] for one in sent if one["request"]["url"].startswith("http")
    }
    ended = [one["params"] for one in events if one["method"] == "Network.loadingFinished"]
    return times | {
        "bytes": round(sum(one["encodedDataLength"] for one in ended if one["requestId"] in asked)),
        "requests": len(asked),
        "others": sorted(address for address in asked.values() if not address.startswith(f"{url}/")),
    }


def _events(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """Return what the debugger has seen since the last time."""
    log = browser.get_log("performance")  # type: ignore[no-untyped-call]
    return [json.loads(entry["message"])["message"] for entry in log]


@contextlib.contextmanager
def _chromium() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for switch in (*SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        browser = webdriver.Chrome(options, Service("/usr/bin/chromedriver"))
        try:
            yield browser
        finally:
            browser.quit()


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table("page", "connection", "bytes", "requests", "of others", "first paint, ms", "form ready, ms")
    for one in found:
        figures = (one["bytes"], one["requests"], len(one["others"]), one["painted"], one["ready"])
        table.add_row(f"/{one['language']}/", one["connection"], *(f"{figure:,}" for figure in figures))
    return table


def _judgements(judged: dict[str, dict[str, int]]) -> Table:
    table = Table("Lighthouse", *lighthouse.LEAST, "blocking, ms")
    for language, one in judged.items():
        table.add_row(f"/{language}/", *(str(one[name]) for name in (*lighthouse.LEAST, "blocking")))
    return table


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.pagecheck",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the site, without a path")
    parser.add_argument(
        "--runs",
        type=int,
        default=5,
        help="how often each is opened: the median counts, of Lighthouse's runs the best",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args()
    options.url = options.url.rstrip("/")
    return options


if __name__ == "__main__":
    sys.exit(main())
