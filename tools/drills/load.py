"""The visitors: `python -m tools.drills.load PORT RATE SEED DIRECTORY GATEWAY`, until SIGTERM or the end of its parent.

A process of its own, so that it sees the product as visitors do and is nobody's victim. An open model: visits
begin at a fixed mean rate, whatever the answers do. Each answer becomes a line of `answers.jsonl`; `at` is on this
machine's monotonic clock. The ids of what was accepted are in `accepted.ids`, the witness that `manage.py
reconcile --accepted` reads.

GATEWAY is the port on which their phones are reached, 0: no codes are sent. Each SMS that came is in `sms.jsonl`, each
right code that was answered 202 in `typed.jsonl`.
"""

import asyncio
import contextlib
import os
import random
import resource
import signal
import sys
import time
from collections import deque
from pathlib import Path

import orjson

from lib import load
from lib.load import Answer
from local.processes import end, leftovers
from systemtests.gateway import FakeGateway
from tools import visits

HOST = "127.0.0.1"
HUNG = 10.0
"""Seconds without an answer after which a request counts as hanging, and its visitor leaves."""

TRIES = 4
"""A refused or cut visitor comes back this often, as the page does."""

POLLS = 40
"""A visitor asks this often what became of the registration, unless told before."""

FORM, EMBEDDED, WRONG = 0.15, 0.3, 0.15
"""Shares of visits: without JavaScript; on another site's page; with a wrong number first."""

CAMPAIGN, IN_CAMPAIGN = "gala", 0.3
"""A campaign with places (tools/drills/landing), and the share of visits to it; the others are to the default one."""

PROVEN, IN_PROVEN = "proven", 0.1
"""A campaign whose visitors prove their number, and the share of visits to it."""

ASKS, ASK_AGAIN = 4, 12.0
"""Somebody who waits for an SMS asks so often, and so many seconds apart."""

WITH_KEY, TWICE, KNOWN_PHONE = 0.8, 0.05, 0.1
"""Shares: with an Idempotency-Key; sent twice at once with the same key; with a phone seen before."""

CODES = ("ask code", "type code")
KINDS = ("page", "preflight", "wrong number", "json", "form", "progress", "poll", "readyz", *CODES)
CUT, HANGS, DISAGREE = "cut", "hangs", "two receipts"
WRONG_NUMBER = "0912"
READYZ = load.request("GET", "/readyz", {"Host": HOST})

MOST_CONNECTIONS = 1500

STEP, ALL = 618_033_989, 1_000_000_000
"""Without a common divisor, so that the walk by steps comes to every mobile number (09…) once. Numbers of all kinds
would come to phones.SYNTHETIC too, which take no place."""


class Visitors:
    """Visit, come back when refused, and write down every answer."""

    def __init__(self, port: int, rate: float, seed: int, directory: Path, gateway: int) -> None:
        self.sender = load.Sender(f"http://{HOST}:{port}", connections=MOST_CONNECTIONS, deadline=HUNG)
        self.rate = rate
        self.chance = random.Random(seed)  # noqa: S311  not secret
        self.number = self.chance.randrange(ALL)
        self.answers = (directory / "answers.jsonl").open("ab", buffering=1 << 16)
        self.accepted = (directory / "accepted.ids").open("a", buffering=1)
        self.typed = (directory / "typed.jsonl").open("ab", buffering=0)
        self.sms = (directory / "sms.jsonl").open("ab", buffering=0)
        self.gateway, self.gateway_port = FakeGateway(), gateway
        self.received: dict[str, str] = {}
        self.known: deque[str] = deque(maxlen=1000)
        self.leaving = asyncio.Event()
        self.parent = os.getppid()

    async def run(self) -> None:
        """Send until told to stop, then wait for the answers that are missing."""
        if self.gateway_port:
            await asyncio.start_server(self.gateway.serve, HOST, self.gateway_port)
        async with asyncio.TaskGroup() as all_of_them:
            probe = all_of_them.create_task(self.probe())
            async for due in load.arrivals(self.rate, chance=self.chance):
                if self.leaving.is_set() or os.getppid() != self.parent:
                    break
                all_of_them.create_task(self.visit(due))
            self.leaving.set()
            probe.cancel()
        self.look_at_phones()
        self.answers.close()

    async def probe(self) -> None:
        """Ask once a second whether the product is ready, as a load balancer does."""
        while True:
            began = time.monotonic()
            await self.ask("readyz", READYZ)
            await asyncio.sleep(max(0.0, began + 1.0 - time.monotonic()))

    async def visit(self, due: float) -> None:
        """Visit once, in one of the ways in which people do."""
        address = visits.address(self.chance)
        slug = self.campaign()
        if self.chance.random() < FORM:
            await self.visit_without_script(due, address, slug)
            return
        origin = visits.ORIGIN if self.chance.random() < EMBEDDED else ""
        if origin:
            await self.ask("preflight", visits.preflight(slug), due)
        else:
            await self.ask("page", visits.page(visits.home(slug)), due)
        if self.chance.random() < WRONG:
            key = visits.new_key(self.chance)
            wrong = visits.register(WRONG_NUMBER, address=address, key=key, origin=origin, slug=slug)
            await self.ask("wrong number", wrong)
        phone = self.new_phone() if slug == PROVEN else self.phone()
        if task_id := await self.register(phone, address, origin, slug):
            await self.follow(task_id, b'"Registered"')
            if slug == PROVEN:
                await self.prove(task_id, phone, address)

    async def visit_without_script(self, due: float, address: str, slug: str) -> None:
        """Register by the page's form, and look at the page of its progress."""
        page = await self.ask("page", visits.page(visits.home(slug)), due)
        if page is None or page.status != 200:
            return
        key = visits.form_key(page)
        if self.chance.random() < WRONG:
            await self.ask("wrong number", visits.submit(WRONG_NUMBER, address=address, key=key, slug=slug))
        form = visits.submit(self.phone(), address=address, key=key, slug=slug)
        for _ in range(TRIES):
            answer = await self.ask("form", form)
            if answer and visits.progress_id(answer):
                await self.ask("progress", visits.page(answer.headers["location"]))
                return
            if await self.has_left(after=self.chance.uniform(0.3, 1.5)):
                return

    async def register(self, phone: str, address: str, origin: str, slug: str) -> str:
        """Register a phone as the script does; return the id, "" if it was not accepted."""
        twice = self.chance.random() < TWICE
        key = visits.new_key(self.chance) if twice or self.chance.random() < WITH_KEY else ""
        request = visits.register(phone, address=address, key=key, origin=origin, slug=slug)
        if not twice:
            return await self.post(request, TRIES if key else 1)
        receipts = {*await asyncio.gather(*(self.post(request, TRIES) for _ in range(2)))} - {""}
        if len(receipts) > 1:
            self.note("json", time.monotonic(), DISAGREE, "")
        return min(receipts, default="")

    async def post(self, request: bytes, tries: int) -> str:
        """Send until accepted or tired; return the id."""
        for _ in range(tries):
            answer = await self.ask("json", request)
            if answer and (task_id := _id_in("json", answer)):
                return task_id
            if await self.has_left(after=self.chance.uniform(0.3, 1.5)):
                break
        return ""

    async def prove(self, task_id: str, phone: str, address: str) -> None:
        """Wait for a code and type it, some a wrong one first; a right one that was taken is written down."""
        code = await self.code(task_id, phone, address)
        if not code:
            return
        if self.chance.random() < WRONG:
            wrong, key = f"{(int(code) + 1) % 1_000_000:06}", visits.new_key(self.chance)
            await self.ask("type code", visits.type_code(task_id, wrong, address=address, key=key))
        right = visits.type_code(task_id, code, address=address, key=visits.new_key(self.chance))
        for _ in range(TRIES):
            answer = await self.ask("type code", right)
            if answer and answer.status == 202:
                line = {"at": time.monotonic(), "task_id": task_id, "phone": phone}
                self.typed.write(orjson.dumps(line) + b"\n")
                await self.follow(task_id, b'"confirmed"')
                return
            if await self.has_left(after=self.chance.uniform(0.3, 1.5)):
                return

    async def code(self, task_id: str, phone: str, address: str) -> str:
        """Ask for a code, and again while none has come; return it, "" if the visitor has left without."""
        for _ in range(ASKS):
            await self.ask("ask code", visits.ask_code(task_id, address=address))
            until = time.monotonic() + ASK_AGAIN
            while time.monotonic() < until:
                self.look_at_phones()
                if phone in self.received:
                    return self.received[phone]
                if await self.has_left(after=0.2):
                    return ""
        return ""

    def look_at_phones(self) -> None:
        """Write down each SMS that has come since the last look. question: the id that the courier gave."""
        news, self.gateway.requests = self.gateway.requests, []
        for _, _, body in news:
            sent = orjson.loads(body)
            phone, code = sent["mobile"], sent["parameters"][0]["value"]
            self.received[phone] = code
            self.sms.write(orjson.dumps({"question": sent["id"], "phone": phone, "code": code}) + b"\n")

    async def follow(self, task_id: str, end: bytes) -> None:
        """Ask what became of it, as often as the page does, until the answer has these bytes."""
        began, pause = time.monotonic(), visits.FIRST_PAUSE
        for _ in range(POLLS):
            if await self.has_left(after=pause):
                return
            answer = await self.ask("poll", visits.poll(task_id))
            if answer and end in answer.body:
                return
            pause = visits.next_pause(pause, time.monotonic() - began, answer)

    async def has_left(self, after: float) -> bool:
        """Wait, and return whether all visitors have been told to leave meanwhile."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.leaving.wait(), after)
        return self.leaving.is_set()

    async def ask(self, kind: str, request: bytes, due: float = 0.0) -> Answer | None:
        """Send one request and write its answer down; `due`: when it was to be sent, if not now."""
        due = due or time.monotonic()
        try:
            answer = await self.sender.ask(request)
        except OSError as error:
            self.note(kind, due, HANGS if isinstance(error, TimeoutError) else CUT, "")
            return None
        self.note(kind, due, _told(kind, answer), _id_in(kind, answer))
        return answer

    def note(self, kind: str, due: float, status: int | str, accepted: str) -> None:
        """Write an answer down, and the id of what it has accepted."""
        took = round(time.monotonic() - due, 4)
        line = {"at": round(due, 4), "took": took, "kind": kind, "status": status, "accepted": accepted}
        self.answers.write(orjson.dumps(line) + b"\n")
        if accepted:
            self.accepted.write(f"{accepted}\n")

    def campaign(self) -> str:
        """Return the slug of a visitor's campaign, "" for the default one."""
        drawn = self.chance.random()
        if drawn < IN_CAMPAIGN:
            return CAMPAIGN
        return PROVEN if self.gateway_port and drawn < IN_CAMPAIGN + IN_PROVEN else ""

    def phone(self) -> str:
        """Return a new number, or now and then one that was there before."""
        if self.known and self.chance.random() < KNOWN_PHONE:
            return self.chance.choice(self.known)
        return self.new_phone()

    def new_phone(self) -> str:
        """Return a number that was not there before."""
        self.number = (self.number + STEP) % ALL
        self.known.append(f"09{self.number:09}")
        return self.known[-1]


def _id_in(kind: str, answer: Answer) -> str:
    """Return the id of what an answer has accepted, "" if that is nothing."""
    if kind == "form":
        return visits.progress_id(answer)
    return visits.receipt_id(answer) if kind == "json" else ""


def _told(kind: str, answer: Answer) -> int | str:
    """Return the status, with what is wrong with the rest of the answer."""
    status = answer.status
    if kind == "page" and status == 200 and not visits.form_key(answer):
        return "200 without a form"
    if kind == "preflight" and answer.headers.get("access-control-allow-origin") != visits.ORIGIN:
        return f"{status} without CORS"
    if kind in ("json", "form") and status == 503 and not answer.retry_after:
        return "503 without Retry-After"
    if kind in ("json", "form") and status < 400 and not _id_in(kind, answer):
        return f"{status} without an id"
    if kind == "poll" and status == 200 and b'"Failed"' in answer.body:
        return "200 Failed"
    return status


async def _main(port: int, rate: float, seed: int, directory: Path, gateway: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 16_384), most))
    visitors = Visitors(port, rate, seed, directory, gateway)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, visitors.leaving.set)
    await visitors.run()
    if os.getppid() != visitors.parent:
        # The drill was killed: nothing of it may stay behind.
        end(leftovers(directory), patience=0)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        port, rate, seed, where, gateway_port = sys.argv[1:]
        asyncio.run(_main(int(port), float(rate), int(seed), Path(where), int(gateway_port)))
