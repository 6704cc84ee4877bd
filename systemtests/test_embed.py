"""The form and script for pages hosted elsewhere: another origin, a strict content policy."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from systemtests.stack import eventually, family_of, new_phone

FORM = """<!doctype html><html lang="{language}"><meta charset="utf-8"><title>A campaign</title>
<form data-breakwater="{site}/api/register/" action="{site}/{language}/" method="post" data-registered="{words}">
  <label for="phone">Mobile number</label>
  <input id="phone" name="phone_number" type="tel" autocomplete="tel" dir="ltr" required>
  <button>Register</button>
  <p role="status"></p>
</form>
<script src="{site}/static/landing/embed.js" defer></script>"""


class Host:
    """A page on a server of its own, which allows itself nothing but Breakwater's script and API."""

    def __init__(self, page: Any) -> None:
        self.browser = page.browser
        self.stack = page.stack
        self.page = page
        # One for all: a connection that Chromium opened early may still lead to an earlier test's server.
        Host.html = FORM.format(site=self.stack.url, language="en", words="")
        Host.workers = "'none'"

    def __enter__(self) -> Any:
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site = host.stack.url
                policy = f"default-src 'none'; script-src {site}; connect-src {site}; form-action {site}; worker-src {Host.workers}"
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Cache-Control", "no-store")
                self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                self.wfile.write(Host.html.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.stack.host_port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> Any:
        self.server.shutdown()
        self.server.server_close()

    def open(self) -> Any:
        self.browser.get(self.stack.host)
        return self

    def send(self, phone: str) -> None:
        self.browser.find_element(By.ID, "phone").send_keys(phone)
        self.browser.find_element(By.CSS_SELECTOR, "button").click()

    def use_up_the_limit(self) -> None:
        """Register others from the browser's address until it has no place left."""
        eventually(lambda: self.stack.register(sender="127.0.0.1").status_code == 429)

    @property
    def status(self) -> Any:
        return self.page.text("[role=status]")

    def assert_registered_once(self, phone: str, within: float = 40) -> None:
        eventually(lambda: self.status == "You are registered.", within)
        self.stack.registered()
        assert self.stack.submissions_of(phone) == 1
        assert phone not in self.page.kept()


@pytest.fixture
def host(page: Any) -> Any:
    with Host(page) as host:
        # A header that the API does not know would be refused in a preflight, so all come from one address.
        page.browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})
        host.stack.forget_limit("127.0.0.1")
        origin = {"origin": host.stack.host, "storageTypes": "all"}
        page.browser.execute_cdp_cmd("Storage.clearDataForOrigin", origin)
        yield host.open()


@pytest.fixture
def phone() -> Any:
    return new_phone()


def test_a_page_elsewhere_registers_under_its_own_strict_policy(host: Any, phone: str) -> None:
    host.send(phone)
    host.assert_registered_once(phone)
    assert host.page.find("form").get_attribute("data-state") == "registered"
    assert [line for line in host.page.complaints() if "favicon" not in line] == []


def test_a_wrong_number_is_refused_in_the_sites_words(host: Any) -> None:
    host.send("0912")
    assert "too short" in eventually(lambda: "Sending" not in host.status and host.status)
    assert host.page.kept() == ""


def test_a_cut_network_and_a_reload(host: Any, phone: str) -> None:
    host.page.cut_network()
    host.send(phone)
    eventually(lambda: "Not there yet" in host.status)
    assert phone in host.page.kept()
    host.page.mend_network()
    host.browser.refresh()
    host.assert_registered_once(phone)


def test_a_site_that_restarts(host: Any, phone: str) -> None:
    host.stack.kill(*family_of(host.stack.leader("web")))
    host.send(phone)
    eventually(lambda: "Not there yet" in host.status)
    host.assert_registered_once(phone)


def test_another_number_instead_while_the_first_waits(host: Any, phone: str) -> None:
    other = new_phone()
    host.page.cut_network()
    host.send(phone)
    eventually(lambda: "Not there yet" in host.status)
    field = host.browser.find_element(By.ID, "phone")
    field.clear()
    field.send_keys("0")
    assert host.status == ""
    field.clear()
    host.page.mend_network()
    host.send(other)
    host.assert_registered_once(other)
    assert host.stack.submissions_of(phone) == 0


def test_a_pages_own_words_and_its_event(host: Any, phone: str) -> None:
    Host.html = FORM.format(site=host.stack.url, language="en", words="See you there")
    host.open()
    host.browser.execute_script(
        "window.seen = []; addEventListener('breakwater', (event) => window.seen.push(event.detail.state))"
    )
    host.send(phone)
    eventually(lambda: host.status == "See you there")
    assert host.browser.execute_script("return window.seen") == [
        "sending",
        "processing",
        "registered",
    ]


def test_an_input_event_without_another_number_cancels_nothing(host: Any, phone: str) -> None:
    host.page.cut_network()
    host.send(phone)
    eventually(lambda: "Not there yet" in host.status)
    host.browser.execute_script(
        "document.querySelector('#phone').dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert "Not there yet" in host.status
    host.page.mend_network()
    host.assert_registered_once(phone)


@pytest.mark.parametrize(
    "element", ["", '</form><p role="status"></p><form>'], ids=["gone", "outside the form"]
)
def test_an_editor_took_the_words_away(host: Any, phone: str, element: Any) -> None:
    Host.html = Host.html.replace('<p role="status"></p>', element)
    host.open()
    assert any("role=status" in line for line in host.page.complaints())
    host.send(phone)
    eventually(lambda: host.page.find("form").get_attribute("data-state") == "registered")
    assert host.stack.submissions_of(phone) == 1


def test_a_form_without_the_number_s_field_is_left_alone(host: Any) -> None:
    Host.html = Host.html.replace('name="phone_number"', "")
    host.open()
    assert any("phone_number" in line for line in host.page.complaints())


def test_the_script_twice_on_a_page(host: Any, phone: str) -> None:
    script = Host.html[Host.html.index("<script") :]
    Host.html += script
    host.open()
    host.browser.execute_script(
        "window.seen = []; addEventListener('breakwater', (event) => window.seen.push(event.detail.state))"
    )
    host.send(phone)
    host.assert_registered_once(phone)
    assert host.browser.execute_script("return window.seen") == ["sending", "processing", "registered"]


def test_all_numbers_that_earlier_visits_left_are_sent(host: Any) -> None:
    first, second = new_phone(), new_phone()
    host.page.cut_network()
    host.browser.execute_script(
        "for (const typed of arguments) Breakwater.keep(document.forms[0].dataset.breakwater, typed)",
        first,
        second,
    )
    host.page.mend_network()
    host.open()
    eventually(lambda: host.stack.submissions_of(first) == host.stack.submissions_of(second) == 1)
    eventually(lambda: host.page.kept() == "")


def test_a_page_that_is_not_allowed_is_told_so_by_the_browser(host: Any, phone: str) -> None:
    stranger = host.stack.host.replace("127.0.0.1", "localhost")
    host.browser.get(stranger)
    host.send(phone)
    eventually(lambda: "Not there yet" in host.status)
    assert any("CORS" in line for line in host.page.complaints())
    assert host.stack.submissions_of(phone) == 0


def test_behind_an_address_that_is_used_up_it_registers_by_itself_at_once(host: Any, phone: str) -> None:
    Host.workers = "blob:"
    host.open().use_up_the_limit()
    host.send(phone)
    host.assert_registered_once(phone, within=10)
    assert host.stack.register(sender="127.0.0.1").status_code == 429


def test_where_the_page_forbids_workers_it_waits_until_there_is_room(host: Any, phone: str) -> None:
    host.use_up_the_limit()
    host.send(phone)
    eventually(lambda: any("proof.js" in address for address in host.page.addresses()))
    eventually(lambda: "Not there yet" in host.status)
    time.sleep(2)
    assert host.page.find("form").get_attribute("data-state") == "waiting"
    assert host.stack.submissions_of(phone) == 0
    assert [line for line in host.page.complaints() if "Uncaught" in line] == []
    host.stack.forget_limit("127.0.0.1")
    host.page.seconds_pass(90)
    host.assert_registered_once(phone)


def test_another_number_instead_while_the_challenge_is_solved(host: Any, phone: str) -> None:
    Host.workers = "blob:"
    other = new_phone()
    host.open().use_up_the_limit()
    host.browser.execute_script(
        "Object.defineProperty(Breakwater, 'solve', {get: () => (_, src, done) => (window.solved = done), set() {}})"
    )
    host.send(phone)
    eventually(lambda: host.browser.execute_script("return Boolean(window.solved)"))
    eventually(lambda: "Not there yet" in host.status)
    field = host.browser.find_element(By.ID, "phone")
    field.clear()
    field.send_keys("0")
    assert host.status == ""
    host.browser.execute_script("window.solved('anything')")
    assert host.page.kept() == ""
    field.clear()
    host.stack.forget_limit("127.0.0.1")
    host.send(other)
    host.assert_registered_once(other)
    assert host.stack.submissions_of(phone) == 0


def test_a_proof_that_is_not_taken_is_not_tried_again_at_once(host: Any, phone: str) -> None:
    host.use_up_the_limit()
    host.browser.execute_script(
        "Object.defineProperty(Breakwater, 'solve', {get: () => (_, src, done) => done('no proof'), set() {}})"
    )
    host.send(phone)
    eventually(lambda: host.page.posts() == 2)
    eventually(lambda: "Not there yet" in host.status)
    time.sleep(3)
    assert host.page.posts() == 2


def test_without_scripts_the_form_leads_to_the_sites_own_page(plain_page: Any, phone: str) -> None:
    with Host(plain_page) as host:
        host.open().send(phone)
        plain_page.wait_for("Registered")
        assert host.stack.submissions_of(phone) == 1
