"""What a wave of people who want a code meets, and a courier that is killed again and again.

Not a test, run by hand: python -m tests.measure_codes wave | kills | verdicts [COUNT]
The courier is the real one; the gateway is systemtests/gateway.py; pages are played, with the pauses of confirm.js.
`verdicts` runs the whole stack, and times the way from a typed code to its verdict, alone and beside a wave.
"""

import asyncio
import heapq
import os
import random
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from lib import load
from systemtests.gateway import FakeGateway, running
from systemtests.stack import free_port
from tests.measuring import stores

ASKS, WITHIN, RATE, LEAVE, AFTER = 3_000, 30.0, 10, 0.6, 20.0
"""People, seconds in which they come, SMS a second, the share that leaves and after how many seconds."""
LONGEST = 300.0
BUDGET = 100_000


@dataclass
class Page:
    """Somebody's page. Moments are Unix times."""

    request_id: str
    phone: str
    comes_at: float
    leaves_at: float
    place: int = 0
    spoke_at: float = 0.0
    told_at: float = 0.0
    told_wait: int = 0
    sent_at: float = 0.0


def main(what: str, count: int) -> None:
    if what == "verdicts":
        verdicts(count)
        return
    os.environ |= {"CODE_GATEWAY": "smsir", "CODE_KEY": secrets.token_urlsafe(40), "CODE_BUDGET": str(BUDGET)}
    os.environ |= {"CODE_GATEWAY_KEY": "k", "CODE_TEMPLATE": "1", "CODE_RATE": str(RATE), "HTTPS": "off"}
    with running() as gateway, stores(["migrate", "-v0"]):
        os.environ["CODE_GATEWAY_URL"] = gateway.url
        import django

        django.setup()
        {"wave": wave, "kills": kills}[what](gateway, count)


def wave(gateway: FakeGateway, count: int) -> None:
    """Let them come, leave and be called; then judge by what the gateway was given."""
    chance = random.Random(7)
    pages = register(count, chance)
    by_phone = {page.phone: page for page in pages}
    spoken: dict[str, list[float]] = {page.phone: [] for page in pages}
    with courier():
        play(pages, by_phone, spoken, gateway)
    silent = [
        sms for sms in gateway.sent if not any(0 <= sms.at - moment <= 31 for moment in spoken[sms.phone])
    ]
    gone = [sms for sms in gateway.sent if sms.at > by_phone[sms.phone].leaves_at]
    stayed = [page for page in pages if page.leaves_at - page.comes_at > AFTER]
    served = [page for page in stayed if page.sent_at]
    say(
        f"{count:,} asked in {WITHIN:.0f} s, {RATE} SMS/s, {len(pages) - len(stayed):,} left after {AFTER:.0f} s"
    )
    say(
        f"SMS {len(gateway.sent):,}: to a page silent for more than 30 s {len(silent)}, to one that had left {len(gone)}"
    )
    say(
        f"of those who stayed {len(served):,} of {len(stayed):,} got one, each {max(Counter(sms.phone for sms in gateway.sent).values())}"
    )
    say(
        f"inversions (somebody here with a lower place was served more than 2 s later): {inversions(served, spoken)}"
    )
    waits = [(page.told_wait, page.sent_at - page.told_at) for page in served if page.told_wait > 10]
    within = sum(told / 2 <= real <= told * 2 for told, real in waits)
    say(f"the wait first told, when above 10 s, was within x2 for {within} of {len(waits)}")


def play(
    pages: list[Page], by_phone: dict[str, Page], spoken: dict[str, list[float]], gateway: FakeGateway
) -> None:
    from confirmations.line import Line
    from dashboard.live import codes

    started, seen = time.time(), 0
    for page in pages:
        page.comes_at, page.leaves_at = page.comes_at + started, page.leaves_at + started
    due = [(page.comes_at, number) for number, page in enumerate(pages)]
    heapq.heapify(due)
    while due and time.time() < started + LONGEST:
        speaks, told = [], codes.told_line() or Line()
        while due and due[0][0] <= time.time():
            _, number = heapq.heappop(due)
            if pages[number].sent_at or time.time() > pages[number].leaves_at:
                continue
            speak, pause = look(pages[number], told)
            speaks += [pages[number]] * speak
            heapq.heappush(due, (time.time() + pause * random.uniform(0.9, 1.1), number))
        for page in speaks:
            spoken[page.phone].append(time.time())
        if speaks:
            note(speaks)
        for sms in gateway.sent[seen:]:
            by_phone[sms.phone].sent_at = sms.at
        seen = len(gateway.sent)
        time.sleep(0.1)


def look(page: Page, told: Any) -> tuple[bool, float]:
    """Return whether the page speaks, and after how many seconds it looks again."""
    if not page.place:
        return True, 1.0
    wait = told.wait(page.place)
    if not page.told_at:
        page.told_at, page.told_wait = time.time(), wait
    is_called = told.calls(page.place) and time.time() - page.spoke_at > 10
    return is_called, min(60, max(3, wait / 10))


def note(pages: list[Page]) -> None:
    """Let pages ask, or say that they are here, and learn their places."""
    from confirmations.models import Ask

    ask(pages)
    ids = [page.request_id for page in pages]
    places = {
        str(one): place
        for one, place in Ask.objects.filter(request_id__in=ids).values_list("request_id", "id")
    }
    for page in pages:
        page.spoke_at, page.place = time.time(), places[page.request_id]


def inversions(served: list[Page], spoken: dict[str, list[float]]) -> int:
    """Count who was served while somebody with a lower place was here, too, and was served later."""
    found = 0
    ordered = sorted(served, key=lambda page: page.sent_at)
    for number, page in enumerate(ordered):
        found += any(
            other.place < page.place
            and other.sent_at > page.sent_at + 2
            and any(1 < page.sent_at - moment < 28 for moment in spoken[other.phone])
            for other in ordered[number + 1 :]
        )
    return found


def kills(gateway: FakeGateway, count: int) -> None:
    """kill -9 the courier at random moments, with a gateway that hangs, resets and doubles."""
    from confirmations.models import Ask, Budget

    gateway.mode = {"hang": 0.07, "reset after": 0.07, "twice": 0.06}
    chance = random.Random(11)
    pages, killed, asked = register(count * 10, chance), 0, 0
    while killed < count:
        with courier() as process:
            time.sleep(chance.uniform(0.8, 2.5))
            ask(pages[asked : asked + 10])
            asked += 10
            time.sleep(chance.uniform(0, 1.5))
            process.kill()
        killed += 1
    for page in pages[:asked]:
        page.spoke_at = 0
    with courier():
        time.sleep(75)
    calls = Counter(body.split('"mobile":')[1].split(",")[0] for _, _, body in gateway.requests)
    states = Counter(Ask.objects.values_list("state", flat=True))
    codes = {sms.phone: {one.code for one in gateway.sent if one.phone == sms.phone} for sms in gateway.sent}
    say(
        f"{killed} kills, {asked:,} asks, {len(gateway.requests):,} calls, {len(gateway.sent):,} SMS: {dict(states)}"
    )
    say(f"most calls of our own making for one ask: {max(calls.values())}")
    say(f"numbers that got two different codes: {sum(len(one) > 1 for one in codes.values())}")
    budget = sum(Budget.objects.values_list("parts", flat=True))
    say(
        f"parts in the budget {budget:,}, calls {len(gateway.requests):,}: {'never less' if budget >= len(gateway.requests) else 'LESS'}"
    )


def ask(pages: list[Page]) -> None:
    from confirmations import asks
    from confirmations.asks import Asked
    from lib.clock import now

    asks.note([Asked(page.request_id, now(), "fa", "a.example", page.phone) for page in pages])


def verdicts(count: int) -> None:
    """Time so many typed codes on a stack of their own, alone and beside 1,000 registrations a second."""
    with tempfile.TemporaryDirectory() as directory:
        pages = Path(directory, "pages", "campaigns", "gala")
        pages.mkdir(parents=True)
        Path(directory, "pages", "page.toml").touch()
        (pages / "page.toml").write_text('[campaign]\nconfirm = "sms"\n')
        url = f"http://127.0.0.1:{free_port()}"
        settings = {
            "STATE_DIR": f"{directory}/state",
            "LANDING_DIR": f"{directory}/pages",
            "PORT": url.rpartition(":")[2],
            "FLOWER_PORT": str(free_port()),
            "RATE_LIMIT": "off",
            "CODE_RATE": "1000",
            # An address group gets 30 an hour: every visitor has an address here.
            "TRUSTED_PROXIES": "127.0.0.1",
        }
        stack = subprocess.Popen([sys.executable, "-m", "local.stack"], env=os.environ | settings)
        try:
            asyncio.run(_time_verdicts(url, Path(directory, "state", "sms.log"), count))
        finally:
            stack.terminate()
            stack.wait(60)


async def _time_verdicts(url: str, log: Path, count: int) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        while True:
            try:
                (await client.get("/readyz")).raise_for_status()
                break
            except httpx.HTTPError:
                await asyncio.sleep(0.5)
        await asyncio.sleep(3)
        _say_times("alone", [await _verdict(client, log) for _ in range(count)])
        wave = asyncio.create_task(_wave(url, seconds=count * 0.2 + 5))
        await asyncio.sleep(3)
        beside = []
        for _ in range(count):
            beside.append(asyncio.create_task(_verdict(client, log)))
            await asyncio.sleep(0.2)
        _say_times("beside 1,000 registrations/s", [await one for one in beside])
        say(f"registrations beside: {await wave}")


async def _verdict(client: httpx.AsyncClient, log: Path) -> float:
    """Return the seconds from a typed code to "confirmed"."""
    phone = f"09{random.randrange(10**9):09}"
    headers = {
        "X-Forwarded-For": f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(256)}"
    }
    sent = await client.post("/api/register/gala/", json={"phone_number": phone}, headers=headers)
    path = f"/api/register/{sent.json()['task_id']}/"
    while (await client.get(path)).json()["status"] != "Registered":
        await asyncio.sleep(0.1)
    await client.post(f"{path}code/", headers=headers)
    while not (
        code := re.search(rf'"phone": "{phone}", "code": "(\d+)"', log.read_text() if log.exists() else "")
    ):
        await asyncio.sleep(0.1)
    started = time.monotonic()
    await client.post(f"{path}confirm/", json={"code": code[1]}, headers=headers)
    while (await client.get(path)).json()["confirmation"]["status"] != "confirmed":
        await asyncio.sleep(0.02)
    return time.monotonic() - started


async def _wave(url: str, seconds: float) -> Counter[int]:
    sender, answers = load.Sender(url, connections=200), Counter[int]()

    async def one() -> None:
        body = b'{"phone_number": "09%09d"}' % random.randrange(10**9)
        headers = {"Host": "localhost", "Content-Type": "application/json"}
        answers[(await sender.ask(load.request("POST", "/api/register/", headers, body))).status] += 1

    async with asyncio.TaskGroup() as group:
        async for _ in load.arrivals(1000, seconds=seconds):
            group.create_task(one())
    return answers


def _say_times(what: str, times: list[float]) -> None:
    say(
        f"from typed to confirmed, {what}: p50 {load.percentile(times, 0.5):.3f} s, "
        f"p99 {load.percentile(times, 0.99):.3f} s, of {len(times)}"
    )


def register(count: int, chance: random.Random) -> list[Page]:
    """Store so many registrations, with different prefixes, and say when each comes and leaves."""
    from campaigns.models import CampaignRow
    from landing.storing import registrations
    from landing.submission import Submission
    from lib import request_ids
    from lib.clock import now

    CampaignRow.objects.update_or_create(slug="gala", defaults={"confirms": True})
    pages = []
    for number in range(count):
        comes = WITHIN * number / count
        stays = AFTER if chance.random() < LEAVE else LONGEST
        phone = f"09{(number * 618_033_989 + 1) % 10**9:09}"
        pages.append(Page(request_ids.new(b"any"), phone, comes, comes + stays))
    for start in range(0, count, 500):
        batch = [
            Submission(one.phone, one.request_id, "", "", "", now(), "gala")
            for one in pages[start : start + 500]
        ]
        registrations.store(batch)
    return pages


@contextmanager
def courier() -> Iterator[Any]:
    """Run `manage.py courier`."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "courier"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(20)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(
        sys.argv[1],
        int(sys.argv[2]) if len(sys.argv) > 2 else {"wave": ASKS, "kills": 200, "verdicts": 100}[sys.argv[1]],
    )
