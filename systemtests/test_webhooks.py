"""Webhooks beside the whole stack: a registration reaches a receiver, also through a courier that is killed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from systemtests import receiver as receivers
from systemtests.stack import ROOT, Stack, eventually, new_phone
from systemtests.test_admin_page import Admin

SECRET = "whsec_" + "bmFtZXMgbm9ib2R5LCBhbmQgaXMgbG9uZyBlbm91Z2g="


class Courier:
    """`manage.py courier` with a webhooks.toml of one receiver."""

    def __init__(self, stack: Stack, directory: Path, url: str) -> None:
        self.stack, self.directory = stack, directory
        (directory / "page.toml").write_text("")
        (directory / "webhooks.toml").write_text(
            f'[[webhook]]\nname = "crm"\nurl = "{url}"\nsecret = "{SECRET}"\n'
        )
        self.environment = (
            stack.shell
            | stack.settings
            | {
                "LANDING_DIR": str(directory),
                "CODE_GATEWAY": "off",
                "COURIER_ALLOW": "127.0.0.1",
            }
        )
        self.start()

    def start(self) -> None:
        with (self.directory / "output").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "courier"],
                cwd=ROOT,
                env=self.environment,
                stdout=out,
                stderr=out,
            )
        eventually(lambda: '"crm"' in self.run("status", "--json").stdout, within=30)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", "courier", *words]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    @property
    def output(self) -> str:
        return (self.directory / "output").read_text()


@pytest.fixture(scope="module")
def receiver() -> Iterator[receivers.Receiver]:
    with receivers.running() as running:
        yield running


@pytest.fixture(scope="module")
def courier(
    stack: Stack, receiver: receivers.Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Courier]:
    running = Courier(stack, tmp_path_factory.mktemp("webhooks"), receiver.url)
    yield running
    running.process.terminate()
    assert running.process.wait(30) == 0, running.output
    # What the stack's other tests register is told to nobody.
    code = "from courier import deliveries; deliveries.subscribe([])"
    assert stack.manage("shell", "-c", code).returncode == 0


def told_of(receiver: receivers.Receiver, phone: str) -> list[Any]:
    submissions = [one for call in receiver.taken for one in call.told["data"]["submissions"]]
    return [one for one in submissions if one["phone_number"] == phone]


def test_a_registration_reaches_the_receiver_and_its_trace_says_so(
    stack: Stack, courier: Courier, receiver: receivers.Receiver
) -> None:
    phone = new_phone()
    task_id = stack.register(phone).json()["task_id"]
    eventually(lambda: told_of(receiver, phone), within=20)
    [told] = told_of(receiver, phone)
    assert (told["request_id"], told["first"], told["campaign"]) == (task_id, True, "default")
    eventually(lambda: '"delivered"' in stack.manage("trace", task_id, "--json").stdout, within=20)
    assert phone not in courier.output


def test_a_receiver_that_fails_and_a_killed_courier_lose_nobody(
    stack: Stack, courier: Courier, receiver: receivers.Receiver
) -> None:
    receiver.mode = {500: 0.3, "reset": 0.2}
    code = (
        "from landing.storing import registrations; from landing.submission import Submission;"
        "from lib import request_ids; from lib.clock import now\n"
        "for n in range(20): registrations.store([Submission(f'0911{n:02}{k:05}', request_ids.new(b'x'), '', '', '',"
        " now()) for k in range(50)])"
    )
    assert stack.manage("shell", "-c", code).returncode == 0
    eventually(lambda: len(receiver.calls) > 3, within=30)
    courier.process.kill()
    courier.process.wait()
    courier.start()

    def have_arrived() -> bool:
        # A test that succeeds has what waits sent at once, and not in five minutes.
        courier.run("test", "crm")
        phones = [one for call in receiver.taken for one in call.told["data"]["submissions"]]
        return len({one["request_id"] for one in phones if one["phone_number"].startswith("0911")}) == 1_000

    eventually(have_arrived, within=120)
    receiver.mode = 204
    assert receiver.most_open <= 2  # the courier's own, and that of `courier test`


def test_a_person_who_is_erased_while_a_message_waits_is_not_sent(
    stack: Stack, courier: Courier, receiver: receivers.Receiver
) -> None:
    receiver.mode = 503
    gone, stays = new_phone(), new_phone()
    for phone in (gone, stays):
        stack.register(phone)
    eventually(lambda: receiver.calls and not receiver.calls[-1].is_taken, within=30)
    eventually(lambda: json.loads(stack.manage("tell", gone).stdout)["webhooks"], within=30)
    assert stack.manage("erase", gone, "--yes", "--settle", "0").returncode == 0
    receiver.mode = 204
    assert courier.run("test", "crm").returncode == 0
    eventually(lambda: told_of(receiver, stays), within=30)
    assert not told_of(receiver, gone)


def test_staff_see_each_call_in_the_admin(
    stack: Stack, courier: Courier, receiver: receivers.Receiver, chromium: WebDriver
) -> None:
    receiver.mode, calls = 503, len(receiver.calls)
    stack.register()
    eventually(lambda: len(receiver.calls) > calls, within=30)
    receiver.mode = 204
    assert courier.run("test", "crm").returncode == 0
    admin = Admin(chromium, stack)
    admin.log_in()
    eventually(lambda: "HTTP 204" in admin.open("/admin/courier/attempt/").text(), within=20)
    assert "HTTP 503" in admin.text()
    assert admin.complaints() == []
