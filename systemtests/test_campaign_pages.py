"""A campaign's page in a real browser: its fields, and what it does before the opening and after the close."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.support.select import Select

from systemtests import axe
from systemtests.second_web import web_beside
from systemtests.stack import ROOT, Stack, eventually, new_phone, new_sender
from systemtests.visitor import Page

EXAMPLE = ROOT / "docs/examples/campaigns"
CLOSED = '[campaign]\ncloses = "2020-01-01"\n'


@pytest.fixture(scope="module")
def campaigns(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The example of the documentation, and a campaign that is over."""
    directory = copied(EXAMPLE, tmp_path_factory.mktemp("landing"))
    (directory / "campaigns/over").mkdir()
    (directory / "campaigns/over/page.toml").write_text(CLOSED)
    with web_beside(stack, directory) as url:
        yield SimpleNamespace(url=url, submissions_of=stack.submissions_of, rows=stack.rows)


def copied(source: Path, target: Path) -> Path:
    for file in source.rglob("page.toml"):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    return target


@pytest.fixture
def page(chromium: WebDriver, campaigns: Any) -> Any:
    return Page(chromium, campaigns)


def details_of(page: Any, phone: str) -> Any:
    [(details,)] = page.stack.rows(
        "SELECT details FROM landing_submission JOIN landing_registration ON id = registration_id "
        "WHERE phone_number = %s",
        phone,
    )
    return details


def test_what_the_fields_hold_is_registered_with_the_first_advertisement(page: Any) -> None:
    phone = new_phone()
    page.open("/?utm_source=sms&utm_campaign=spring")
    page.open("/c/nowruz/en/?utm_source=other").type(phone)
    page.find("[name=name]").send_keys("Sara")
    Select(page.find("[name=city]")).select_by_visible_text("شیراز")
    page.find("[name=news]").click()
    page.find("[name=consent]").click()
    page.press()
    page.wait_for("Registered")
    details = details_of(page, phone)
    assert (details["name"], details["city"], details["news"]) == ("Sara", "شیراز", "yes")
    assert details["source"] == {"utm_source": "sms", "utm_campaign": "spring"}
    assert len(details["consent"]) == 12
    assert page.complaints() == []


@pytest.mark.parametrize(
    ("language", "sentence"), [("fa", "شهر: این لازم است."), ("en", "City: this is needed.")]
)
def test_a_field_that_is_needed_is_asked_for_and_everybody_can_use_the_form(
    page: Any, language: str, sentence: str
) -> None:
    page.open(f"/c/nowruz/{language}/").type(new_phone())
    page.press()
    eventually(lambda: page.text("#problem") == sentence)
    assert page.browser.switch_to.active_element.get_attribute("name") == "city"
    assert page.posts() == 0
    assert axe.violations(page.browser) == []


def test_what_was_filled_in_is_there_after_a_reload(page: Any) -> None:
    page.open("/c/early-birds/en/").type("0912 345 6789")
    page.press()
    eventually(lambda: "has not begun" in page.text("#problem"))
    page.browser.refresh()
    assert page.find("#phone_number").get_attribute("value") == "0912 345 6789"
    assert page.posts() == 0


@pytest.mark.parametrize(("language", "sentence"), [("fa", "به پایان رسیده"), ("en", "Registration is over")])
def test_after_the_close_the_page_says_so(page: Any, language: str, sentence: str) -> None:
    page.open(f"/c/over/{language}/")
    assert sentence in page.text(".shut")
    assert axe.violations(page.browser) == []


def test_pages_that_were_filled_in_before_send_when_it_opens(
    stack: Stack, chromium: WebDriver, tmp_path: Path
) -> None:
    """Many tabs, since a crowd must not come in one moment. None may come before, all within six seconds."""
    phones = [new_phone() for _ in range(12)]
    folder = tmp_path / "campaigns/soon"
    folder.mkdir(parents=True)
    (tmp_path / "page.toml").write_text("")
    opens = datetime.now(UTC) + timedelta(seconds=25)
    (folder / "page.toml").write_text(f"[campaign]\nopens = {opens.isoformat()}\n")
    with web_beside(stack, tmp_path) as url:
        page = Page(chromium, SimpleNamespace(url=url))
        for phone in phones:
            chromium.switch_to.new_window("tab")
            page.comes_from(new_sender())
            page.open("/c/soon/en/")
            # One tab would take what another has left for it to send.
            page.browser.execute_script(
                "const n = window.Breakwater; n.register(n.keep(...arguments), () => {})",
                f"{url}/api/register/soon/",
                phone,
                {},
                int(opens.timestamp() * 1000),
            )
        assert datetime.now(UTC) < opens
        times = lambda: [time for phone in phones for (time,) in accepted(stack, phone)]  # noqa: E731
        eventually(lambda: len(times()) == len(phones), within=60)
    after = sorted((one - opens).total_seconds() for one in times())
    assert after[0] >= 0
    assert after[-1] <= 6
    assert after[-1] - after[0] > 1


def accepted(stack: Stack, phone: str) -> Any:
    return stack.rows(
        "SELECT accepted_at FROM landing_submission JOIN landing_registration ON id = registration_id "
        "WHERE phone_number = %s",
        phone,
    )
