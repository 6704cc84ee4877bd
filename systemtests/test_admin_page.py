"""The admin in a real browser, as an operator uses it, with a worker that writes the exports."""

import csv
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from systemtests.stack import Stack, eventually, new_phone, new_sender
from systemtests.visitor import open_browser


class Admin:
    """What an operator does and sees."""

    def __init__(self, browser: Any, stack: Stack) -> None:
        self.browser = browser
        self.stack = stack

    def open(self, path: str = "/admin/") -> Any:
        self.browser.get(f"{self.stack.url}{path}")
        return self

    def all(self, selector: str) -> Any:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> Any:
        self.browser.find_element(By.CSS_SELECTOR, selector).click()
        return self

    def type(self, selector: str, text: str) -> Any:
        self.browser.find_element(By.CSS_SELECTOR, selector).send_keys(text)
        return self

    def text(self) -> Any:
        return self.browser.execute_script("return document.body.innerText")

    def language(self) -> Any:
        return self.browser.execute_script("return document.documentElement.lang")

    def log_in(self) -> None:
        lines = (self.stack.state_dir / "secrets").read_text().splitlines()
        password = dict(line.split("=", 1) for line in lines if "=" in line)["ADMIN_PASSWORD"]
        self.open().type("#id_username", "admin").type("#id_password", password)
        self.click("#login-form [type=submit]")

    def complaints(self) -> Any:
        """What the console has said: errors, refusals by the CSP."""
        return [one["message"] for one in self.browser.get_log("browser") if one["level"] != "INFO"]


@pytest.fixture(scope="module")
def admin(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Any:
    browser = open_browser(tmp_path_factory.mktemp("admin"))
    admin = Admin(browser, stack)
    admin.log_in()
    yield admin
    browser.quit()


def test_the_language_can_be_switched_and_stays(admin: Any) -> None:
    before = admin.open().language()
    admin.click("#language-form button")
    eventually(lambda: admin.language() != before)
    other = admin.language()
    assert admin.open("/admin/landing/registration/").language() == other
    assert admin.complaints() == []


def test_a_phone_is_found_masked_and_revealed(admin: Any) -> None:
    phone = new_phone()
    admin.stack.registered(phone)
    admin.open(f"/admin/landing/registration/?q={phone}").click("#result_list th a")
    eventually(lambda: admin.all("button.reveal"))
    assert phone not in admin.text()
    admin.click("button.reveal")
    eventually(lambda: phone in admin.text())
    admin.open("/admin/dashboard/auditentry/")
    assert phone not in admin.text()
    assert len(admin.all("#result_list tbody tr")) >= 1
    assert admin.complaints() == []


def test_an_export_is_written_in_the_background_and_downloaded(admin: Any, tmp_path: Path) -> None:
    phone = new_phone()
    admin.stack.registered(phone)
    admin.browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    admin.open("/admin/dashboard/export/add/").click("#id_format option[value=csv]").click("[name=_save]")
    eventually(lambda: admin.open("/admin/dashboard/export/").all("td.field-file a"), within=40)
    admin.click("td.field-file a")
    path = eventually(lambda: next(iter(tmp_path.glob("registrations-*.csv")), None))
    with path.open(encoding="utf-8-sig", newline="") as file:
        phones = [row["phone_number"].replace("-", "") for row in csv.DictReader(file)]
    assert phone in phones
    assert admin.complaints() == []


def test_a_person_is_erased_by_typing_the_number_twice_in_each_language_and_on_a_phone(admin: Any) -> None:
    phone = new_phone()
    admin.stack.registered(phone)
    for width in (390, 1280):
        admin.browser.set_window_size(width, 900)
        before = admin.open("/admin/dashboard/erasurerequest/add/").language()
        admin.click("#language-form button")
        eventually(lambda before=before: admin.language() != before)
        admin.open("/admin/dashboard/erasurerequest/add/").type("#id_phone_number", phone)
        admin.click("form.erase button")
        eventually(lambda: admin.all("#id_again"))
        assert phone not in admin.text()
        assert admin.browser.execute_script("return document.body.scrollWidth <= window.innerWidth")
    admin.type("#id_again", phone).click("form.erase button")
    eventually(lambda: admin.all(".messagelist .success"))
    assert admin.complaints() == []
    done = admin.stack.manage("erase", "--asked", "--yes", "--settle", "0")
    assert done.returncode == 0, done.stderr
    assert admin.stack.submissions_of(phone) == 0


def test_the_qr_code_of_a_second_factor_is_shown_in_both_languages_and_nothing_is_blocked(admin: Any) -> None:
    admin.open("/admin/second-factor/own/")
    first = admin.language()
    assert admin.all(".qr svg path")
    admin.click("#language-form button")
    eventually(lambda: admin.language() != first)
    [picture] = admin.all(".qr svg")
    assert picture.size["width"] > 150
    assert admin.complaints() == []
    admin.click("#language-form button")
    eventually(lambda: admin.language() == first)


def test_the_eleventh_wrong_password_is_refused_on_a_page(stack: Stack) -> None:
    stack.http.get("/admin/login/")
    form = {"csrfmiddlewaretoken": stack.http.cookies["csrftoken"], "username": "admin", "password": "wrong"}
    sender = {"X-Forwarded-For": new_sender()}
    answers = [stack.http.post("/admin/login/", data=form, headers=sender) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert answers[-1].headers["Content-Type"].startswith("text/html")
