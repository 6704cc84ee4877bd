"""Chromium, Firefox and WebKit by what all three do alike: open, type, press, go back, run a script."""

import itertools
import json
import platform
import subprocess
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import websocket
from selenium import webdriver
from selenium.common.exceptions import JavascriptException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.webkitgtk.service import Service

from systemtests.stack import eventually
from systemtests.visitor import open_browser

MINI_BROWSER = "usr/lib/*/webkit2gtk-4.*/MiniBrowser"


def end(process: Any) -> None:
    with process:  # which closes its pipes and waits
        process.terminate()


class Engine:
    """One browser with one tab."""

    def press(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)

    def text(self, selector: str) -> Any:
        return self.run("return document.querySelector(arguments[0])?.innerText", selector)

    def wait_for(self, state: Any, within: float = 20) -> None:
        shown = f'#progress[data-state="{state}"]:not([hidden])'
        eventually(lambda: self.run("return !!document.querySelector(arguments[0])", shown), within)


class BySelenium(Engine):
    """A browser that has a WebDriver."""

    def __init__(self, driver: Any, display: Any = None) -> None:
        self.driver = driver
        self.display = display

    def open(self, url: str) -> None:
        self.driver.get(url)

    def run(self, script: Any, *values: Any) -> Any:
        try:
            return self.driver.execute_script(script, *values)
        except (JavascriptException, WebDriverException):  # the next page is on its way
            return None

    def type(self, selector: str, text: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(text)

    def back(self) -> None:
        self.driver.back()

    def quit(self) -> None:
        self.driver.quit()
        if self.display:
            end(self.display)


class Firefox(Engine):
    """Firefox by its own WebDriver BiDi: Debian has no geckodriver."""

    def __init__(self, home: Any) -> None:
        home.mkdir()
        command = ["firefox-esr", "--headless", "--no-remote", "--profile", str(home)]
        self.process = subprocess.Popen(
            [*command, "--remote-debugging-port", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        address = next(line for line in self.process.stderr if "WebDriver BiDi listening on" in line).split()[
            -1
        ]
        threading.Thread(
            target=self.process.stderr.read, daemon=True
        ).start()  # or it would stop when the pipe is full
        self.socket = websocket.create_connection(f"{address}/session", timeout=30, suppress_origin=True)
        self.ids = itertools.count(1)
        self.call("session.new", capabilities={})
        self.tab = self.call("browsingContext.getTree")["contexts"][0]["context"]

    def call(self, method: Any, **params: Any) -> Any:
        number = next(self.ids)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            pass  # an event
        assert answer["type"] == "success", answer
        return answer["result"]

    def open(self, url: str) -> None:
        self.call("browsingContext.navigate", context=self.tab, url=url, wait="complete")

    def run(self, script: Any, *values: Any) -> Any:
        try:
            answer = self.call(
                "script.callFunction",
                functionDeclaration="async (given) => JSON.stringify("
                f"await (async function () {{ {script} }}).apply(null, JSON.parse(given)))",
                arguments=[{"type": "string", "value": json.dumps(values)}],
                target={"context": self.tab},
                awaitPromise=True,
            )
        except AssertionError:  # the next page is on its way
            return None
        return json.loads(answer["result"].get("value", "null")) if answer["type"] == "success" else None

    def type(self, selector: str, text: str) -> None:
        self.run("document.querySelector(arguments[0]).focus()", selector)
        strokes = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": strokes}
        self.call("input.performActions", context=self.tab, actions=[keyboard])

    def back(self) -> None:
        self.call("browsingContext.traverseHistory", context=self.tab, delta=-1)

    def quit(self) -> None:
        self.socket.close()
        end(self.process)


def chromium(home: Any) -> Any:
    return BySelenium(open_browser(home))


def webkit(home: Any) -> Any:
    """MiniBrowser, on a screen of its own that nobody sees: WebKitGTK has no headless mode."""
    display = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    options = webdriver.WebKitGTKOptions()
    options.binary_location = str(next(Path("/").glob(MINI_BROWSER)))
    options.add_argument("--automation")
    environment = {
        "DISPLAY": f":{display.stdout.readline().strip()}",
        "PATH": "/usr/bin:/bin",
        "HOME": str(home.parent),
    }
    service = Service("/usr/bin/WebKitWebDriver", env=environment)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # selenium 4.51 warns of what it does itself
            return BySelenium(webdriver.WebKitGTK(options, service), display)
    except WebDriverException:
        end(display)
        raise


ENGINES = {"chromium": chromium, "firefox": Firefox, "webkit": webkit}


def start(name: str, home: Any) -> Any:
    if platform.system() == "Darwin" and name != "chromium":
        pytest.skip("installed on Debian and Ubuntu only")
    return ENGINES[name](home)
