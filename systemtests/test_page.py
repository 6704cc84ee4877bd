"""The landing page in a real browser, with and without JavaScript."""

import re
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains

from systemtests.crowd import spellings
from systemtests.stack import eventually, new_phone, new_sender
from tests.spellings import LANDLINES, REFUSALS, SPELLINGS


@pytest.mark.parametrize(("language", "direction"), [("fa", "rtl"), ("en", "ltr")])
def test_a_number_in_persian_digits_is_registered_in_view(page: Any, language: str, direction: Any) -> None:
    phone = new_phone()
    page.open(f"/{language}/").type(spellings(phone)[6])
    assert page.find("html").get_attribute("dir") == direction
    page.press()
    page.wait_for("Registered")
    heading = {"fa": "ثبت شد", "en": "You are registered"}[language]
    assert page.find("#progress-heading").text == heading
    task_id = page.find("#reference").text
    assert page.stack.status_of(task_id) == "Registered"
    assert page.stack.submissions_of(phone) == 1
    assert page.complaints() == []
    asked = page.addresses()
    assert f"{page.stack.url}/api/register/" in asked
    assert [url for url in asked if not url.startswith((f"{page.stack.url}/", "data:"))] == []


@pytest.mark.parametrize("language", ["fa", "en"])
def test_one_request_brings_all_but_the_font(page: Any, language: str) -> None:
    page.open(f"/{language}/")
    asked = [url.removeprefix(page.stack.url) for url in page.addresses() if not url.startswith("data:")]
    assert asked[0] == f"/{language}/"
    assert asked[1:] == [url for url in asked if url.endswith(".woff2")]
    assert page.complaints() == []


def test_the_pages_own_requests_take_the_express_lane(page: Any) -> None:
    page.open("/en/").type(new_phone())
    page.press()
    page.wait_for("Registered")
    task_id = page.find("#reference").text
    by_django = [event for event in page.stack.events("web") if event.get("logger") == "breakwater.request"]
    assert not [event for event in by_django if event["request_id"] == task_id]
    assert not [event for event in by_django if event["path"] == f"/api/register/{task_id}/"]


def test_the_visitors_language_opens_at_the_door(page: Any) -> None:
    page.browser.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": "x", "acceptLanguage": "en"})
    assert page.open("/").find("html").get_attribute("lang") == "en"
    page.browser.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": "x", "acceptLanguage": "fa"})
    assert page.open("/").find("html").get_attribute("lang") == "fa"


@pytest.mark.parametrize(("language", "sentence"), [("fa", "کوتاه"), ("en", "short")])
def test_what_is_wrong_is_said_and_what_was_typed_is_kept(page: Any, language: str, sentence: Any) -> None:
    page.open(f"/{language}/").type("0912")
    page.press()
    eventually(lambda: sentence in page.text("#problem"))
    assert page.typed == "0912"
    page.press()  # the page's own rule is a hint; the server has the last word
    eventually(lambda: f"{page.stack.url}/api/register/" in page.addresses())
    eventually(lambda: sentence in page.text("#problem"))
    assert page.typed == "0912"


@pytest.mark.parametrize("path", ["/fa/", "/en/"])
def test_behind_an_address_that_is_used_up_it_registers_by_itself_at_once(page: Any, path: str) -> None:
    phone, sender = new_phone(), new_sender()
    page.comes_from(sender)
    eventually(lambda: page.stack.register(sender=sender).status_code == 429)
    page.open(path).type(phone)
    page.press()
    eventually(lambda: page.stack.submissions_of(phone) == 1, within=10)
    page.wait_for("Registered")
    assert page.posts() == 2
    assert [line for line in page.complaints() if "429" not in line] == []
    asked = page.addresses()
    assert [url for url in asked if not url.startswith((f"{page.stack.url}/", "data:"))] == []


def looks_right(page: Any, spellings: Any) -> Any:
    """For each way to write a number: whether the page's hint finds it right."""
    return page.browser.execute_script(
        """const field = document.querySelector("#phone_number");
        return arguments[0].map((typed) => {
          field.value = typed;
          field.dispatchEvent(new Event("input", {bubbles: true}));
          return document.querySelector(".field").classList.contains("is-good");
        });""",
        list(spellings),
    )


def test_the_pages_hint_finds_right_what_the_server_takes_and_nothing_else(page: Any) -> None:
    page.open("/en/")
    right = [*SPELLINGS.values(), *LANDLINES.values()]
    wrong = [raw for raw, _ in REFUSALS.values() if isinstance(raw, str) and "\ud800" not in raw]
    assert [one for one, good in zip(right, looks_right(page, right), strict=True) if not good] == []
    assert [one for one, good in zip(wrong, looks_right(page, wrong), strict=True) if good] == []


def test_the_pages_hint_passes_over_the_same_marks_as_the_server(page: Any) -> None:
    page.open("/en/")
    schemas = page.stack.http.get("/api/schema/?format=json").json()["components"]["schemas"]
    published = schemas["Registration"]["properties"]["phone_number"]["pattern"]
    marks = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]
    spelled = [f"{mark}0912345{mark}6789" for mark in marks]
    taken = [bool(re.search(published, spelling)) for spelling in spelled]
    said = looks_right(page, spelled)
    assert [ascii(mark) for mark, one, other in zip(marks, taken, said, strict=True) if one != other] == []


def test_pressing_twice_registers_once(page: Any) -> None:
    phone = new_phone()
    page.open("/en/").type(phone)
    ActionChains(page.browser).double_click(page.find("#register button")).perform()
    page.wait_for("Registered")
    page.stack.registered()  # whatever stood behind it in the queue
    assert page.stack.submissions_of(phone) == 1


def test_a_broken_network_is_waited_out_and_registers_once(page: Any) -> None:
    phone = new_phone()
    page.open("/en/").type(phone)
    page.cut_network()
    page.press()
    eventually(lambda: "offline" in page.text("#problem"))
    page.mend_network()
    page.wait_for("Registered")
    assert page.stack.submissions_of(phone) == 1


def test_after_one_number_comes_another(page: Any) -> None:
    first, second = new_phone(), new_phone()
    page.open("/en/").type(first)
    page.press()
    page.wait_for("Registered")
    page.find("#progress-action").click()
    assert page.typed == ""
    page.type(second)
    page.press()
    eventually(lambda: page.stack.submissions_of(second) == 1)


@pytest.mark.parametrize(("language", "heading"), [("fa", "ثبت شد"), ("en", "You are registered")])
def test_without_scripts_the_form_leads_to_the_end_by_itself(
    plain_page: Any, language: str, heading: Any
) -> None:
    phone = new_phone()
    plain_page.open(f"/{language}/").type(spellings(phone)[6])
    plain_page.press()
    eventually(lambda: "/registration/" in plain_page.browser.current_url)
    plain_page.wait_for("Registered")
    assert plain_page.text("#progress-heading") == heading
    assert plain_page.stack.submissions_of(phone) == 1
    assert plain_page.complaints() == []


def test_without_scripts_what_is_wrong_is_said_and_what_was_typed_is_kept(plain_page: Any) -> None:
    plain_page.open("/en/").type("0912")
    plain_page.press()
    assert "too short" in eventually(lambda: plain_page.text("#problem"))
    assert plain_page.typed == "0912"
    assert plain_page.find("#register").is_displayed()


@pytest.mark.parametrize("path", ["/api/docs/", "/api/register/", "/admin/login/"])
def test_the_other_pages_break_no_rule_of_their_own(page: Any, path: str) -> None:
    page.open(path)
    complaints = [line for line in page.complaints() if "405" not in line]
    assert complaints == []
    assert [url for url in page.addresses() if not url.startswith((f"{page.stack.url}/", "data:"))] == []
