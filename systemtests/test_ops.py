"""The operator's page in a real browser: it changes while visitors register, and says what is away."""

import re
from typing import Any

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By

from systemtests.stack import Stack, eventually, new_phone
from systemtests.visitor import Page


@pytest.fixture
def page(chromium: WebDriver, stack: Stack) -> Any:
    """The live page, opened by an operator who had to log in."""
    page = Page(chromium, stack)
    page.open("/ops/?lang=en")
    if "/admin/login/" in chromium.current_url:
        page.find("[name=username]").send_keys("admin")
        page.find("[name=password]").send_keys(admin_password(stack))
        page.find("[type=submit]").click()
    eventually(lambda: page.text("#status") in ("All is well", "Degraded"))
    return page


def admin_password(stack: Stack) -> Any:
    return re.search(r"/admin/\s+admin / (\S+)", stack.output.read_text())[1]


def number(page: Any, selector: str) -> Any:
    found = re.match(r"[\d,]+", page.text(selector))
    return int(found[0].replace(",", "")) if found else None


def banner(page: Any) -> Any:
    return page.text("#banner") if page.find("#banner").is_displayed() else ""


def test_the_page_changes_while_visitors_register(page: Any) -> None:
    eventually(lambda: page.text("#status") == "All is well", within=40)
    # Each for itself: a worker that an earlier test has killed has taken its last counts along.
    accepted, stored, refused = (number(page, f"#{name}-more") for name in ("accepted", "stored", "refused"))
    for _ in range(5):
        assert page.stack.register().status_code == 202
    assert page.stack.register("0912").status_code == 400
    eventually(lambda: number(page, "#accepted-more") >= accepted + 5)
    eventually(lambda: number(page, "#stored-more") >= stored + 5)
    eventually(lambda: number(page, "#refused-more") >= refused + 1)
    assert "Invalid phone number" in page.text("#refusals")
    assert page.text("#web") == "2"
    assert page.text("#workers") == "1"
    assert len(page.browser.find_elements(By.CSS_SELECTOR, ".charts canvas")) == 4
    assert banner(page) == ""
    assert page.complaints() == []
    assert [url for url in page.addresses() if not url.startswith((f"{page.stack.url}/", "data:"))] == []


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ("redis", "Each web process limits by itself"),
        ("mongodb", "their request logs wait in PostgreSQL"),
        ("rabbitmq", "Registrations are kept in the spool"),
        ("postgres", "workers hold their batches"),
    ],
)
def test_a_banner_says_what_goes_on_without_a_server(page: Any, server: Any, says: Any) -> None:
    part = {"postgres": "postgresql"}.get(server, server)
    with page.stack.paused(server):
        eventually(lambda: says in banner(page), within=30)
        assert page.text("#status") == "Degraded"
        assert page.find(f'.flow [data-part="{part}"]').get_attribute("data-ok") == "no"
        assert page.stack.register().status_code == 202
        if server == "postgres":
            eventually(lambda: "holds a batch" in page.text("#processes"), within=30)
        if server == "redis":
            eventually(lambda: "not known while Redis is away" in banner(page))
            assert page.text("#queue") != "–"
    eventually(lambda: banner(page) == "" and page.text("#status") == "All is well", within=60)


def test_a_registration_is_traced_by_its_phone(page: Any) -> None:
    phone = new_phone()
    task_id = page.stack.registered(phone)
    page.open("/ops/trace/?lang=en")
    page.find("#asked").send_keys(phone)
    page.find("form button").click()
    eventually(lambda: "Submissions of" in page.text("main"))
    assert phone not in page.browser.page_source
    page.browser.find_element(By.PARTIAL_LINK_TEXT, task_id).click()
    eventually(lambda: page.browser.find_elements(By.CSS_SELECTOR, '.timeline [data-hop="logged"]'))
    hops = [
        one.get_attribute("data-hop") for one in page.browser.find_elements(By.CSS_SELECTOR, ".timeline li")
    ]
    assert hops == ["accepted", "queued", "stored", "logged", "state"]
    assert page.complaints() == []


def test_metrics_are_for_who_asks_from_inside(stack: Stack) -> None:
    # A worker that an earlier test has stopped may not be back at the queue yet.
    eventually(lambda: "breakwater_workers 1" in stack.http.get("/metrics").text)
    assert stack.http.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404
    assert stack.http.post("/metrics").status_code in (403, 404)
