"""What a visitor has sent is registered, once, whatever happens to the network, the site and the tab."""

import json
import time
from contextlib import contextmanager, suppress
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains

from systemtests.between import Between
from systemtests.stack import Stack, eventually, family_of, new_phone, new_sender


@pytest.fixture
def phone() -> Any:
    return new_phone()


def send(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    page.press()


def assert_registered_once(page: Any, phone: str) -> None:
    page.wait_for("Registered")
    page.stack.registered()  # whatever stood behind it in the queue
    assert page.stack.submissions_of(phone) == 1
    assert phone not in page.kept()


@contextmanager
def neither_broker_nor_disk(stack: Stack) -> Any:
    """RabbitMQ hangs, and the web processes may not add a byte to any file."""
    web = family_of(stack.leader("web"))
    with stack.paused("rabbitmq"):
        limits = {pid: prlimit(pid, RLIMIT_FSIZE, (0, RLIM_INFINITY)) for pid in web}
        try:
            eventually(lambda: stack.register().status_code == 503)
            yield
        finally:
            for pid, limit in limits.items():
                prlimit(pid, RLIMIT_FSIZE, limit)


def test_a_cut_network_and_a_reload_in_the_middle(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    page.cut_network()
    page.press()
    eventually(lambda: "offline" in page.text("#problem"))
    assert "Waiting for the network" in page.text("#register button")
    assert phone in page.kept()
    page.mend_network()
    page.browser.refresh()
    assert_registered_once(page, phone)


def test_a_tab_that_was_closed_while_the_network_was_cut(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    page.cut_network()
    page.press()
    eventually(lambda: "offline" in page.text("#problem"))
    page.in_a_new_tab()
    page.comes_from(new_sender())
    page.open("/fa/")  # the other language is the same site
    assert_registered_once(page, phone)


def test_a_site_that_restarts(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    page.stack.kill(*family_of(page.stack.leader("web")))
    page.press()
    eventually(lambda: "cannot reach" in page.text("#problem"))
    assert phone in page.kept()
    eventually(lambda: page.find("#progress").get_attribute("data-state") == "Registered", within=40)
    assert_registered_once(page, phone)


def test_a_site_that_can_keep_nothing(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    with neither_broker_nor_disk(page.stack):
        page.press()
        eventually(lambda: "busy" in page.text("#problem"))
        page.browser.refresh()  # Retry-After holds
        eventually(lambda: "busy" in page.text("#problem"))
        assert phone in page.kept()
        assert page.typed == phone
    eventually(lambda: page.find("#progress").get_attribute("data-state") == "Registered", within=40)
    assert_registered_once(page, phone)


def test_a_limit_whose_challenge_cannot_be_solved_is_waited_out_as_long_as_the_site_asks(
    page: Any, phone: str
) -> None:
    page.cannot_load("*/proof.js")
    sender = new_sender()
    eventually(lambda: page.stack.register(sender=sender).status_code == 429)
    page.comes_from(sender)
    send(page, phone)
    eventually(lambda: "many requests" in page.text("#problem"))
    assert page.posts() == 1
    page.browser.refresh()
    eventually(lambda: "Sending again in" in page.text("#register button"))
    page.comes_from(new_sender())
    assert page.posts() == 0
    page.seconds_pass(90)
    assert_registered_once(page, phone)
    assert page.posts() == 1


def test_a_reload_while_it_is_registered(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    worker = page.stack.leader("worker")
    with page.stack.paused("worker"):
        page.press()
        page.wait_for("Processing")
        page.browser.refresh()
        page.wait_for("Processing")
        assert not page.find("#register").is_displayed()
    assert worker == page.stack.leader("worker")
    assert_registered_once(page, phone)


def test_two_tabs_of_which_one_sends(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    page.cut_network()
    page.press()
    eventually(lambda: "offline" in page.text("#problem"))
    first = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    page.comes_from(new_sender())
    page.open("/en/")
    assert page.typed == phone
    assert page.text("#register button") == "Sending…"
    assert page.posts() == 0
    second = page.browser.current_window_handle
    page.browser.switch_to.window(first)
    page.mend_network()
    page.wait_for("Registered")
    page.browser.switch_to.window(second)
    assert_registered_once(page, phone)


def test_a_second_tab_goes_on_when_the_first_is_closed(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    page.cut_network()
    page.press()
    eventually(lambda: "offline" in page.text("#problem"))
    first = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    second = page.browser.current_window_handle
    page.comes_from(new_sender())
    page.open("/en/")
    page.browser.switch_to.window(first)
    page.browser.close()
    page.browser.switch_to.window(second)
    assert_registered_once(page, phone)


def test_another_number_instead_while_the_first_waits(page: Any, phone: str) -> None:
    other = new_phone()
    page.open("/en/").type(phone)
    page.cut_network()
    page.press()
    eventually(lambda: "offline" in page.text("#problem"))
    page.find("#phone_number").clear()
    page.type(other)
    assert phone not in page.kept()
    assert page.text("#register button") == "Register my number"
    page.press()
    page.mend_network()
    assert_registered_once(page, other)
    assert page.stack.submissions_of(phone) == 0


@pytest.mark.parametrize(
    "change", [lambda phone: phone, lambda phone: f"{phone[:4]} {phone[4:]}"], ids=["", "spaces"]
)
def test_an_input_event_without_another_number_cancels_nothing(page: Any, phone: str, change: Any) -> None:
    page.open("/en/").type(phone)
    page.cut_network()
    page.press()
    eventually(lambda: "offline" in page.text("#problem"))
    page.browser.execute_script(
        """const field = document.querySelector("#phone_number");
        field.value = arguments[0];
        field.dispatchEvent(new Event("input", {bubbles: true}));""",
        change(phone),
    )
    assert phone in page.kept()
    assert "offline" in page.text("#problem")
    page.mend_network()
    assert_registered_once(page, phone)


def test_a_tab_that_sleeps_holds_nobody_up(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    page.cut_network()
    page.press()
    eventually(lambda: "offline" in page.text("#problem"))
    page.browser.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "frozen"})
    sleeper = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    page.comes_from(new_sender())
    page.open("/fa/")
    assert_registered_once(page, phone)
    page.browser.switch_to.window(sleeper)
    page.browser.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "active"})
    page.mend_network()
    eventually(lambda: page.text("#register button") == "Register my number")
    assert page.stack.submissions_of(phone) == 1


def test_a_lock_that_is_taken_away_while_it_is_sent(page: Any, phone: str) -> None:
    taken = """navigator.locks.request = (name, options, job) => {
        job();
        return Promise.reject(new DOMException("", "AbortError"));
    }"""
    script = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": taken})
    send(page, phone)
    page.wait_for("Registered")
    assert page.posts() == 1
    page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    assert_registered_once(page, phone)


def test_a_page_whose_words_a_translator_took_out_still_sends(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    page.browser.execute_script("document.querySelector('#announcer').remove()")
    page.press()
    eventually(lambda: page.stack.submissions_of(phone) == 1)
    eventually(lambda: phone not in page.kept())


def test_a_challenge_that_lets_browsers_in_by_a_cookie(page: Any, phone: str) -> None:
    with Between(page.stack) as cdn:

        def challenge(_method: Any, path: str, headers: Any) -> Any:
            if path.startswith("/api/") and "clearance=1" not in headers.get("Cookie", ""):
                return 403, [("Content-Type", "text/html")], b"Are you human?"
            return None

        cdn.answer = challenge
        page.browser.get(f"{cdn.url}/en/")
        page.browser.execute_script("document.cookie = 'clearance=1; path=/'")
        page.type(phone)
        page.press()
        assert_registered_once(page, phone)


def test_a_cdn_that_rewrites_scripts_and_styles_leaves_a_form_that_registers(page: Any, phone: str) -> None:
    with Between(page.stack) as cdn:
        cdn.rewrite = lambda html: html.replace('<script type="module">', '<script type="module"> ').replace(
            "<style>", "<style> "
        )
        page.browser.get(f"{cdn.url}/en/")
        page.type(phone)
        page.press()
        eventually(lambda: "/registration/" in page.browser.current_url)
        assert_registered_once(page, phone)


def test_the_page_asks_as_seldom_as_the_site_wants(page: Any, phone: str) -> None:
    asked = []
    with Between(page.stack) as site:

        def patient(method: Any, path: str, _headers: Any) -> Any:
            if method == "GET" and path.startswith("/api/register/"):
                asked.append(time.monotonic())
                if len(asked) == 1:
                    return (
                        200,
                        [("Content-Type", "application/json"), ("Retry-After", "4")],
                        b'{"status": "Processing"}',
                    )
            return None

        site.answer = patient
        page.browser.get(f"{site.url}/en/")
        page.type(phone)
        page.press()
        assert_registered_once(page, phone)
    assert asked[1] - asked[0] >= 4


def test_each_key_is_a_uuid_that_tells_its_time(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    page.cut_network()
    page.press()
    eventually(lambda: "offline" in page.text("#problem"))
    key = UUID(json.loads(page.kept())["key"])
    assert (key.version, key.variant) == (7, RFC_4122)
    assert abs((key.int >> 80) / 1000 - time.time()) < 60
    page.mend_network()
    assert_registered_once(page, phone)


def test_a_double_click_a_reload_and_the_back_button_at_the_end(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    ActionChains(page.browser).double_click(page.find("#register button")).perform()
    page.wait_for("Registered")
    assert page.posts() == 1
    page.browser.refresh()
    page.wait_for("Registered")
    page.open("/api/docs/")
    page.browser.back()
    assert_registered_once(page, phone)
    page.find("#progress-action").click()
    page.browser.refresh()
    assert page.find("#register").is_displayed()


def test_what_is_older_than_a_day_is_forgotten(page: Any, phone: str) -> None:
    page.open("/en/").type(phone)
    page.cut_network()
    page.press()
    eventually(lambda: "offline" in page.text("#problem"))
    page.seconds_pass(86_400)
    eventually(lambda: "a day has passed" in page.text("#problem"))
    assert phone not in page.kept()
    assert page.typed == phone


def test_a_refused_number_is_forgotten(page: Any) -> None:
    page.open("/en/").type("0912")
    page.press()
    page.press()
    eventually(lambda: "too short" in page.text("#problem"))
    assert page.kept() == ""


def test_where_the_browser_keeps_nothing_the_open_page_does(page: Any, phone: str) -> None:
    forbid = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('', 'SecurityError'); }})"
    script = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": forbid})
    page.open("/en/").type(phone)
    page.cut_network()
    page.press()
    eventually(lambda: "offline" in page.text("#problem"))
    page.mend_network()
    page.wait_for("Registered")
    page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    assert page.stack.submissions_of(phone) == 1


@pytest.mark.parametrize("rubbish", ["", "{", "null", "[]", '{"key": "x"}', '{"key": "x", "since": "now"}'])
def test_rubbish_in_the_browsers_store_is_put_away(page: Any, phone: str, rubbish: Any) -> None:
    page.open("/en/")
    page.browser.execute_script("localStorage['breakwater:x'] = arguments[0]", rubbish)
    page.browser.refresh()
    assert page.kept() == ""
    page.type(phone)
    page.press()
    page.wait_for("Registered")


def test_without_scripts_a_double_click_registers_once(plain_page: Any, phone: str) -> None:
    plain_page.open("/en/").type(phone)
    ActionChains(plain_page.browser).double_click(plain_page.find("#register button")).perform()
    eventually(lambda: "/registration/" in plain_page.browser.current_url)
    plain_page.wait_for("Registered")
    plain_page.browser.back()
    eventually(lambda: leads_on(plain_page))
    plain_page.wait_for("Registered")
    plain_page.stack.registered()
    assert plain_page.stack.submissions_of(phone) == 1


def leads_on(page: Any) -> bool:
    """Press, and tell whether the next page is there. Chromium may lose a click on a page that it is just showing again."""
    with suppress(WebDriverException):
        page.press()
    time.sleep(0.5)
    return "/registration/" in page.browser.current_url
