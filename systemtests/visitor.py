"""A visitor: a real browser, what they do in it and what they see."""

import json
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from systemtests.stack import Stack, eventually, new_sender

SWITCHES = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run
    --disable-background-networking --disable-component-update --disable-sync --disable-dev-shm-usage"""


def open_browser(home: Any, scripts: Any = True) -> Any:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for switch in SWITCHES.split():
        options.add_argument(switch)
    options.add_argument(f"--user-data-dir={home}")
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options, Service("/usr/bin/chromedriver"))


class Page:
    """What a visitor does and sees."""

    def __init__(self, browser: Any, stack: Stack) -> None:
        self.browser = browser
        self.stack = stack
        self.in_a_new_tab()
        browser.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": stack.url, "storageTypes": "all"})
        self.comes_from(new_sender())
        self.complaints()
        self.addresses()

    def open(self, path: str) -> Any:
        self.browser.get(f"{self.stack.url}{path}")
        return self

    def find(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> Any:
        try:
            return self.find(selector).text
        except WebDriverException:  # the next page is on its way
            return ""

    def type(self, text: str) -> Any:
        self.find("#phone_number").send_keys(text)
        return self

    def press(self) -> None:
        self.find("#register button").click()

    @property
    def typed(self) -> Any:
        return self.find("#phone_number").get_attribute("value")

    def wait_for(self, state: Any) -> None:
        eventually(lambda: self.browser.find_elements(By.CSS_SELECTOR, f'#progress[data-state="{state}"]'))

    def complaints(self) -> Any:
        """What the console has said since the last time: errors, refusals by the CSP."""
        said = [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] != "INFO"]
        # Containers that come and go on the same machine (the page sends again by itself), and the
        # icon that Chromium asks, some time later, for a page that names none.
        return [line for line in said if "ERR_NETWORK_CHANGED" not in line and "/favicon.ico" not in line]

    def addresses(self) -> Any:
        """Every address that the page has asked since the last time."""
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        asked = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in asked]

    # -- tabs, the network, what the browser keeps

    def in_a_new_tab(self) -> None:
        """Go on in a tab that knows nothing of an earlier one; all others are closed."""
        others = self.browser.window_handles
        self.browser.switch_to.new_window("tab")
        mine = self.browser.current_window_handle
        for other in others:
            self.browser.switch_to.window(other)
            self.browser.close()
        self.browser.switch_to.window(mine)
        self.browser.execute_cdp_cmd("Network.enable", {})

    def comes_from(self, sender: Any) -> None:
        headers = {"X-Forwarded-For": sender}
        self.browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": headers})

    def cannot_load(self, address: str) -> None:
        """Keep this tab from loading what has such an address, with * for anything."""
        self.browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": [address]})

    def cut_network(self) -> None:
        """Cut this tab off; other tabs keep their network."""
        self._network(offline=True)

    def mend_network(self) -> None:
        self._network(offline=False)

    def _network(self, *, offline: Any) -> None:
        conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)

    def seconds_pass(self, seconds: float) -> None:
        """Put the page's clock forward."""
        self.browser.execute_script(
            "const now = Date.now, ms = 1000 * arguments[0]; Date.now = () => now() + ms", seconds
        )

    def kept(self) -> Any:
        """What localStorage holds."""
        return self.browser.execute_script("return Object.values({...localStorage}).join()")

    def posts(self) -> Any:
        """How often this tab has sent a registration since it was loaded."""
        api = f"{self.stack.url}/api/register/"
        asked = "return performance.getEntriesByType('resource').filter((one) => one.name === arguments[0]).length"
        return self.browser.execute_script(asked, api)
