"""A campaign with places: what visitors see of theirs, and a thousand places while workers and RabbitMQ are killed."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from campaigns.line import Line
from lib import load
from systemtests import axe
from systemtests.second_web import web_beside
from systemtests.stack import ROOT, Stack, eventually, family_of, new_phone, new_sender
from systemtests.test_embed import Host
from systemtests.visitor import Page

FILES = {
    "gala": "[campaign]\nplaces = true\n",
    "dinner": "[campaign]\nplaces = true\nline = 1\n",
    "hosted": "[campaign]\nplaces = true\n",
    "wave": "[campaign]\nplaces = true\n",
}
NUMBERS = """
SELECT number FROM landing_registration JOIN campaigns_campaign AS campaign ON campaign.id = campaign_id
WHERE slug = 'wave' ORDER BY number
"""
SOON = "const real = setTimeout; setTimeout = (act, ms, ...more) => real(act, ms > 20000 ? ms / 20 : ms, ...more)"
"""Half a minute is a second and a half."""


@pytest.fixture(scope="module")
def campaigns(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    directory = tmp_path_factory.mktemp("landing")
    (directory / "page.toml").write_text("")
    for slug, text in FILES.items():
        (directory / "campaigns" / slug).mkdir(parents=True)
        (directory / "campaigns" / slug / "page.toml").write_text(text)
    command = [sys.executable, str(ROOT / "manage.py"), "migrate"]
    subprocess.run(
        command, env=stack.shell | {"LANDING_DIR": str(directory)}, cwd=ROOT, check=True, capture_output=True
    )
    with web_beside(stack, directory) as url:
        yield SimpleNamespace(url=url, host=stack.host, host_port=stack.host_port)


@pytest.fixture
def page(chromium: WebDriver, campaigns: Any) -> Any:
    return Page(chromium, campaigns)


def campaign(stack: Stack, *arguments: str) -> Any:
    done = stack.manage("campaign", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def register(page: Any, slug: str, language: str = "en") -> str:
    phone = new_phone()
    page.comes_from(new_sender())
    page.open(f"/c/{slug}/{language}/").type(phone)
    page.press()
    page.wait_for("Registered")
    return phone


def test_a_visitor_who_waits_sees_the_position_and_moves_up_by_themselves(stack: Stack, page: Any) -> None:
    page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": SOON})
    campaign(stack, "set", "gala", "--capacity", "1")
    first = register(page, "gala")
    eventually(lambda: "You have a place. Your number is 1." in page.text("#progress-sentence"))
    page.in_a_new_tab()
    page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": SOON})
    register(page, "gala", "fa")
    eventually(lambda: "نفر ۱ در صف" in page.text("#progress-sentence"))
    assert axe.violations(page.browser) == []
    campaign(stack, "cancel", "gala", first)
    eventually(lambda: "شمارهٔ شما ۲ است" in page.text("#progress-sentence"), within=20)
    page.browser.refresh()
    eventually(lambda: "شمارهٔ شما ۲ است" in page.text("#progress-sentence"))
    assert page.complaints() == []


def test_when_the_line_is_full_the_page_says_so_in_both_languages(stack: Stack, page: Any) -> None:
    campaign(stack, "set", "dinner", "--capacity", "0")
    register(page, "dinner")
    page.in_a_new_tab()
    for language, sentence in (("fa", "پر شده است"), ("en", "All places are taken")):
        eventually(lambda: sentence in page.open(f"/c/dinner/{language}/").text(".shut"), within=20)  # noqa: B023
        assert axe.violations(page.browser) == []


def test_a_form_on_another_page_tells_the_place(stack: Stack, page: Any) -> None:
    campaign(stack, "set", "hosted", "--capacity", "0")
    with Host(page) as host:
        Host.html = Host.html.replace("/api/register/", "/api/register/hosted/")
        page.browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})
        host.open().send(new_phone())
        eventually(lambda: host.status == "All places are taken. You are number 1 in line.")


def test_a_thousand_places_while_workers_and_rabbitmq_are_killed(stack: Stack, campaigns: Any) -> None:
    """5,000 people, 64 connections, every worker process killed three times, RabbitMQ once."""
    campaign(stack, "set", "wave", "--capacity", "1000")
    with ThreadPoolExecutor(1) as pool:
        wave = pool.submit(asyncio.run, sent(campaigns.url, 5000))
        for _ in range(3):
            time.sleep(1)
            stack.kill(*family_of(stack.leader("worker"))[1:])
        stack.kill(*family_of(stack.leader("rabbitmq")))
        assert set(wave.result()) == {202}
    eventually(lambda: stack.count(f"({NUMBERS}) AS number") >= 5000, within=120)
    numbers = [number for (number,) in stack.rows(NUMBERS)]
    assert numbers == list(range(1, len(numbers) + 1))
    shown = campaign(stack, "show", "wave")
    assert (shown["placed"], shown["waiting"]) == (1000, len(numbers) - 1000)
    line = Line(last_number=len(numbers)).with_capacity(1000)
    assert [line.position_of(n) for n in numbers[1000:]] == list(range(1, len(numbers) - 999))


async def sent(url: str, count: int) -> list[int]:
    """Register so many people over 64 connections; return the statuses."""
    sender = load.Sender(url, connections=64, deadline=60)

    async def register() -> int:
        headers = {"Host": "localhost", "Content-Type": "application/json", "X-Forwarded-For": new_sender()}
        body = json.dumps({"phone_number": new_phone()}).encode()
        answer = await sender.ask(load.request("POST", "/api/register/wave/", headers, body))
        return answer.status

    try:
        return await asyncio.gather(*(register() for _ in range(count)))
    finally:
        sender.close()
