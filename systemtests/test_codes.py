"""Proving a phone number: the page, the same without JavaScript, and a courier that is killed."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import redis
from selenium.webdriver.chrome.webdriver import WebDriver

from systemtests import axe
from systemtests.second_web import web_beside
from systemtests.stack import ROOT, Stack, eventually, new_phone, new_sender
from systemtests.test_embed import Host
from systemtests.visitor import Page

PERSIAN = {48 + n: 0x06F0 + n for n in range(10)}


@pytest.fixture(scope="module")
def campaigns(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    directory = tmp_path_factory.mktemp("landing")
    (directory / "page.toml").write_text("")
    (directory / "campaigns" / "proven").mkdir(parents=True)
    (directory / "campaigns" / "proven" / "page.toml").write_text('[campaign]\nconfirm = "sms"\n')
    command = [sys.executable, str(ROOT / "manage.py"), "migrate"]
    environment = stack.shell | {"LANDING_DIR": str(directory)}
    subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
    with web_beside(stack, directory) as url:
        yield SimpleNamespace(url=url, host=stack.host, host_port=stack.host_port)


@pytest.fixture
def page(chromium: WebDriver, campaigns: Any) -> Any:
    return Page(chromium, campaigns)


@pytest.fixture
def plain_page(chromium_without_scripts: Any, campaigns: Any) -> Any:
    return Page(chromium_without_scripts, campaigns)


def sms_to(stack: Stack, phone: str) -> list[dict[str, str]]:
    """What a phone has received so far."""
    log = stack.state_dir / "sms.log"
    lines = map(json.loads, log.read_text().splitlines()) if log.exists() else []
    return [one for one in lines if one["phone"] == phone]


def code_of(stack: Stack, phone: str) -> str:
    eventually(lambda: sms_to(stack, phone), within=20)
    return sms_to(stack, phone)[-1]["code"]


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


def is_confirmed(stack: Stack, phone: str) -> bool:
    query = "landing_registration WHERE phone_number = %s AND status = 'confirmed'"
    return stack.count(query, phone) == 1


def register(page: Any, language: str) -> str:
    phone = new_phone()
    page.comes_from(new_sender())
    page.open(f"/c/proven/{language}/").type(phone)
    page.press()
    eventually(lambda: "/registration/" in page.browser.current_url, within=20)
    return phone


def type_code(page: Any, code: str) -> None:
    field = page.find("#code")
    field.clear()
    field.send_keys(code)
    page.find("#type-code button").click()


@pytest.mark.parametrize("language", ["fa", "en"])
def test_a_visitor_gets_a_code_types_it_wrong_and_then_right(stack: Stack, page: Any, language: str) -> None:
    phone = register(page, language)
    code = code_of(stack, phone)
    eventually(lambda: page.browser.find_elements("css selector", "#code"), within=20)
    assert axe.violations(page.browser) == []
    assert page.text("#sent-to") == f"{phone[:4]}***{phone[-4:]}"
    type_code(page, "123")
    eventually(lambda: page.find("#code").get_attribute("aria-invalid") == "true")
    assert page.find("#code").get_property("value") == "123"
    type_code(page, wrong(code))
    eventually(lambda: page.text("#problem") != "", within=20)
    assert ("۹" if language == "fa" else "9") in page.text("#problem")
    type_code(page, code.translate(PERSIAN))
    told = "شماره تأیید شد" if language == "fa" else "Your number is confirmed"
    eventually(lambda: page.text("#progress-heading") == told, within=20)
    assert is_confirmed(stack, phone)
    assert axe.violations(page.browser) == []
    page.browser.refresh()
    assert page.text("#progress-heading") == told
    assert [one for one in page.complaints() if "400 (Bad Request)" not in one] == []  # 123 is no code


def test_without_javascript_the_same_page_works_by_its_forms(stack: Stack, plain_page: Any) -> None:
    phone = register(plain_page, "en")
    eventually(lambda: plain_page.browser.find_elements("css selector", "#ask-code button"), within=20)
    plain_page.find("#ask-code button").click()
    code = code_of(stack, phone)
    eventually(lambda: plain_page.browser.find_elements("css selector", "#code"), within=20)
    type_code(plain_page, "12")
    eventually(lambda: plain_page.text("#problem") == "The code is too short: it has six digits.")
    type_code(plain_page, code)
    eventually(lambda: plain_page.text("#progress-heading") == "Your number is confirmed", within=20)
    assert is_confirmed(stack, phone)


def test_a_form_on_another_page_takes_the_code_too(stack: Stack, page: Any) -> None:
    with Host(page) as host:
        Host.html = Host.html.replace("/api/register/", "/api/register/proven/").replace(
            "<form ", "<form data-confirm data-code-confirmed='Yours!' "
        )
        host.browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})
        host.open()
        host.browser.execute_script(
            "window.seen = []; addEventListener('breakwater', ({detail}) => seen.push(detail.state))"
        )
        phone = new_phone()
        host.send(phone)
        box = "[data-breakwater-code]"
        code = code_of(stack, phone)
        eventually(lambda: page.find(f"{box} input").is_displayed(), within=20)
        assert sms_to(stack, phone)[0]["text"].endswith(f"@127.0.0.1 #{code}")
        page.find(f"{box} input").send_keys(wrong(code))
        page.find(f"{box} div button").click()
        eventually(lambda: page.text(f"{box} [role=status]") == "This is not the code.", within=20)
        page.find(f"{box} input").clear()
        page.find(f"{box} input").send_keys(code)
        page.find(f"{box} div button").click()
        eventually(lambda: page.text(f"{box} [role=status]") == "Yours!", within=20)
        assert is_confirmed(stack, phone)
        states = host.browser.execute_script("return seen")
        assert [one for one in states if one in ("code-sent", "code-wrong", "confirmed")] == [
            "code-sent",
            "code-wrong",
            "confirmed",
        ]


def ask(campaigns: Any, phone: str) -> str:
    """Register by the API, and ask for a code; return the task's id."""
    with httpx.Client(base_url=campaigns.url, headers={"X-Forwarded-For": new_sender()}) as client:
        answer = client.post("/api/register/proven/", json={"phone_number": phone})
        task_id = str(answer.raise_for_status().json()["task_id"])
        client.post(f"/api/register/{task_id}/code/").raise_for_status()
    return task_id


def test_a_killed_courier_sends_nothing_twice_and_its_successor_goes_on(stack: Stack, campaigns: Any) -> None:
    phones = [new_phone() for _ in range(30)]
    for number, phone in enumerate(phones):
        ask(campaigns, phone)
        if number % 10 == 5:
            eventually(lambda: stack.leader("courier") > 1)
            stack.kill(stack.leader("courier"))
    # Those who asked while no courier worked are here for half a minute; a page would ask again.
    eventually(lambda: sum(bool(sms_to(stack, phone)) for phone in phones) >= 27, within=60)
    assert max(len(sms_to(stack, phone)) for phone in phones) == 1


def test_what_was_typed_while_postgresql_was_away_is_judged_afterwards(stack: Stack, campaigns: Any) -> None:
    phone = new_phone()
    task_id = ask(campaigns, phone)
    code = code_of(stack, phone)
    with stack.paused("postgres"):
        answer = httpx.post(
            f"{campaigns.url}/api/register/{task_id}/confirm/",
            json={"code": code},
            headers={"X-Forwarded-For": new_sender()},
            timeout=20,
        )
        assert answer.status_code == 202, answer.text
        time.sleep(3)
    eventually(lambda: is_confirmed(stack, phone), within=40)


def dumps(stack: Stack) -> Iterator[tuple[str, str]]:
    """All that the stores, the logs and Flower hold, as text."""
    for name in ("web", "worker", "courier", "flower", "redis", "rabbitmq", "postgres"):
        yield f"log of {name}", "\n".join(stack.log_lines(name))
    for (table,) in stack.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        yield table, str(stack.rows(f"SELECT t::text FROM {table} AS t"))
    yield "Flower", stack.flower("/api/tasks").text
    yield "MongoDB", str(list(stack.mongo["request_logs"].find()))
    settings = stack.settings
    login = (settings["REDIS_HOST"], int(settings["REDIS_PORT"]), 0, settings["REDIS_PASSWORD"])
    with redis.Redis(*login, decode_responses=True) as store:
        values = [store.get(key) for key in store.scan_iter("*") if store.type(key) == "string"]
        yield "Redis", str(values)


def test_no_store_no_log_and_not_flower_have_a_code(stack: Stack, campaigns: Any) -> None:
    phones = [new_phone() for _ in range(3)]
    codes = []
    for phone in phones:
        task_id = ask(campaigns, phone)
        codes.append(code_of(stack, phone))
        address = f"{campaigns.url}/api/register/{task_id}/confirm/"
        sender = {"X-Forwarded-For": new_sender()}
        httpx.post(address, json={"code": codes[-1]}, headers=sender).raise_for_status()
        eventually(lambda: is_confirmed(stack, phone), within=20)  # noqa: B023
    # Not behind a point, as microseconds are, and not inside an id.
    code = re.compile(rf"(?<![.\w-])({'|'.join(codes)})(?!\w)")
    assert [name for name, text in dumps(stack) if code.search(text)] == []
