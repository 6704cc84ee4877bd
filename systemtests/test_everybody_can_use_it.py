"""No violation that axe knows, on each page, in each state, language and colour scheme; and what a screen reader says."""

from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from systemtests import axe
from systemtests.stack import eventually, new_phone

LANGUAGES = ("fa", "en")
SCHEMES = ("light", "dark")
SENTENCES = {"fa": ("اینترنت شما قطع است", "کوتاه"), "en": ("You are offline", "short")}


@pytest.fixture(scope="module", autouse=True)
def _axe() -> None:
    axe.fetch()


@pytest.fixture(params=[(language, scheme) for language in LANGUAGES for scheme in SCHEMES], ids="-".join)
def view(request: Any, page: Any) -> Any:
    """A page, its language, and its colours."""
    language, scheme = request.param
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.language = language
    yield page.open(f"/{language}/")
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_every_state_of_the_form_and_of_a_registration(view: Any) -> None:
    browser, (offline, short) = view.browser, SENTENCES[view.language]
    assert axe.violations(browser) == []
    view.type("0912")
    view.press()
    eventually(lambda: short in view.text("#problem"))
    assert axe.violations(browser) == []
    view.find("#phone_number").clear()
    view.type(new_phone())
    view.cut_network()
    view.press()
    eventually(lambda: offline in view.text("#problem"))
    assert axe.violations(browser) == []
    view.mend_network()
    view.wait_for("Registered")
    assert axe.violations(browser) == []
    browser.get(f"{view.stack.url}/{view.language}/registration/{view.find('#reference').text}/")
    view.wait_for("Registered")
    assert axe.violations(browser) == []


def test_a_registration_on_its_way(view: Any) -> None:
    with view.stack.paused("worker"):
        view.type(new_phone())
        view.press()
        view.wait_for("Processing")
        assert axe.violations(view.browser) == []
        view.seconds_pass(61)
        eventually(lambda: view.find("#progress-sentence").text != "" and "delayed" in shown_words(view))
        assert axe.violations(view.browser) == []
    view.wait_for("Registered")


def shown_words(page: Any) -> Any:
    """The name of the words that the progress shows."""
    ask = "const texts = JSON.parse(document.getElementById('texts').textContent);"
    ask += "return Object.keys(texts).filter((name) => texts[name].heading === arguments[0])"
    return page.browser.execute_script(ask, page.text("#progress-heading"))


def test_a_screen_reader_hears_each_step_once(page: Any) -> None:
    page.open("/en/")
    page.browser.execute_script(
        """
        window.heard = [];
        const live = document.querySelectorAll("[role=status], [role=alert]");
        const listen = ([{target}]) => target.textContent && window.heard.push(target.textContent);
        for (const place of live) new MutationObserver(listen).observe(place, {childList: true});
        """
    )
    page.type(new_phone())
    page.cut_network()
    page.press()
    eventually(lambda: "offline" in page.text("#problem"))
    eventually(lambda: page.posts() >= 2)  # the second try says nothing new
    page.mend_network()
    page.wait_for("Registered")
    assert page.browser.execute_script("return window.heard") == [
        "Sending…",
        "You are offline. We will send the number as soon as you are back.",
        "We have your number. We are registering it now; this usually takes a moment.",
        "You are registered. Your place is kept. We will let you know when the campaign opens.",
    ]
    assert page.browser.switch_to.active_element.get_attribute("id") == "progress-heading"


def test_the_keyboard_alone_is_enough(page: Any) -> None:
    page.open("/en/")
    phone = new_phone()
    ActionChains(page.browser).send_keys(Keys.TAB, Keys.ENTER).perform()  # "Go to the registration form"
    ActionChains(page.browser).send_keys(Keys.TAB, phone, Keys.ENTER).perform()
    page.wait_for("Registered")
    assert page.stack.submissions_of(phone) == 1
