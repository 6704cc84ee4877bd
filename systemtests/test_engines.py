"""The page and the embedded form in each engine that visitors have: Chromium, Firefox, WebKit."""

from typing import Any

import pytest

from systemtests import engines
from systemtests.between import Between
from systemtests.stack import Stack, eventually, new_phone
from systemtests.test_embed import FORM

NO_STORAGE = (
    "<head><script>for (const name of ['localStorage', 'sessionStorage'])"
    " Object.defineProperty(window, name, {value: null})</script>"
)


@pytest.fixture(scope="module", params=engines.ENGINES)
def engine(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    engine = engines.start(request.param, tmp_path_factory.mktemp("engine") / "profile")
    yield engine
    engine.quit()


@pytest.fixture
def site(stack: Stack) -> Any:
    with Between(stack) as site:
        yield site


@pytest.fixture
def phone() -> Any:
    return new_phone()


def send(engine: Any, site: Any, phone: str) -> None:
    engine.open(f"{site.url}/en/")
    engine.type("#phone_number", phone)
    engine.press("#register button")


def assert_registered_once(engine: Any, site: Any, phone: str) -> None:
    engine.wait_for("Registered")
    site.stack.registered()  # whatever stood behind it in the queue
    assert site.stack.submissions_of(phone) == 1


def test_behind_an_address_that_is_used_up_it_registers_by_itself_at_once(
    engine: Any, site: Any, phone: str
) -> None:
    eventually(lambda: site.stack.register(sender=site.sender).status_code == 429)
    send(engine, site, phone)
    engine.wait_for("Registered", within=10)
    assert site.stack.submissions_of(phone) == 1


def is_waiting(engine: Any) -> Any:
    return "Sending again" in (engine.text("#register button") or "")


def test_a_number_is_registered_in_view(engine: Any, site: Any, phone: str) -> None:
    send(engine, site, phone)
    assert_registered_once(engine, site, phone)
    assert phone not in engine.run("return Object.values({...localStorage}).join()")


def test_a_browser_that_runs_scripts_but_is_too_old_for_ours(engine: Any, site: Any, phone: str) -> None:
    site.rewrite = lambda page: page.replace("?.", "?.?")  # a syntax error, as in an engine of before 2020
    site.keeps_policy = False
    with site.stack.paused("worker"):
        send(engine, site, phone)
        engine.wait_for("Processing")
        assert "/registration/" in engine.run("return location.pathname")
    assert_registered_once(engine, site, phone)


def test_the_same_page_with_our_scripts_does_not_renew_itself(engine: Any, site: Any, phone: str) -> None:
    with site.stack.paused("worker"):
        sent = site.stack.http.post(
            "/en/", data={"phone_number": phone}, headers={"X-Forwarded-For": site.sender}
        )
        engine.open(f"{site.url}{sent.headers['Location']}")
        engine.run("window.isTheSame = true")
        engine.run("return new Promise((done) => setTimeout(done, 3000))")
        assert engine.run("return [window.isTheSame, document.querySelector('#progress').dataset.state]") == [
            True,
            "Processing",
        ]
    assert_registered_once(engine, site, phone)
    assert engine.run("return window.isTheSame")


def test_where_there_is_no_storage(engine: Any, site: Any, phone: str) -> None:
    site.rewrite = lambda page: page.replace("<head>", NO_STORAGE)
    site.keeps_policy = False
    send(engine, site, phone)
    assert engine.run("return localStorage") is None
    assert_registered_once(engine, site, phone)


def test_back_to_a_page_whose_number_still_waits(engine: Any, site: Any, phone: str) -> None:
    site.refuse_the_api()
    send(engine, site, phone)
    eventually(lambda: is_waiting(engine))
    engine.press("#switch-language")
    eventually(
        lambda: engine.run("return location.pathname === '/fa/' && document.readyState === 'complete'")
    )
    engine.back()
    eventually(lambda: engine.run("return location.pathname === '/en/'"))
    site.let_through()
    assert_registered_once(engine, site, phone)


def test_back_to_a_page_whose_number_was_sent_by_the_next_one(engine: Any, site: Any, phone: str) -> None:
    site.refuse_the_api()
    send(engine, site, phone)
    eventually(lambda: is_waiting(engine))
    engine.press("#switch-language")
    eventually(lambda: engine.run("return location.pathname === '/fa/'"))
    site.let_through()
    assert_registered_once(engine, site, phone)
    engine.back()
    eventually(lambda: engine.run("return location.pathname === '/en/'"))
    assert_registered_once(engine, site, phone)
    assert engine.text("#progress-heading") == "You are registered"


def test_the_form_of_another_site(engine: Any, stack: Stack, phone: str) -> None:
    stack.forget_limit("127.0.0.1")
    html = FORM.format(site=stack.url, language="en", words="").encode()
    with Between(stack, stack.host_port) as host:
        host.answer = lambda method, path, headers: (200, [("Content-Type", "text/html")], html)
        engine.open(f"{host.url}/")
        engine.type("#phone", phone)
        engine.press("button")
        eventually(lambda: engine.text("[role=status]") == "You are registered.")
    assert stack.submissions_of(phone) == 1
