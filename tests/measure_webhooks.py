"""What webhooks cost, and a receiver and a courier that fail again and again.

Not a test, run by hand: python -m tests.measure_webhooks kills | away | store
The courier is the real one; the receiver is systemtests/receiver.py. `kills` has the pauses of the schedule go by at once.
"""

import base64
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import standardwebhooks

from lib import request_ids
from systemtests.receiver import Receiver, running
from tests.measuring import stores

PEOPLE, REPEATS, KILLS = 10_000, 2_000, 5
CHANCES = {500: 0.3, "hang": 0.1, "reset": 0.05}
WORKERS, BATCH, BATCHES, ROUNDS = 2, 500, 40, 5
LONGEST = 1_800.0
SPAWN = get_context("spawn")
"""Not forked: two processes would share a connection."""
_prefixes = count()
SECRETS = ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]


def main(what: str) -> None:
    os.environ |= {"COURIER_ALLOW": "127.0.0.1", "CODE_GATEWAY": "off", "HTTPS": "off"}
    with running() as receiver, stores(["migrate", "-v0"]) as state_dir:
        os.environ["LANDING_DIR"] = str(state_dir)
        write(state_dir, receiver.url, "summer")
        _begin()
        {"kills": kills, "away": away, "store": store}[what](receiver)


def kills(receiver: Receiver) -> None:
    """Store ten thousand, some twice, while receiver and courier fail; then look what has arrived."""
    from courier import deliveries
    from courier.models import Delivery
    from courier.models import Receiver as Known

    chance = random.Random(7)
    receiver.mode, process = CHANCES, start_courier()
    subscribed()
    batches = made(PEOPLE)
    repeats = [one for batch in batches for one in chance.sample(batch, REPEATS * len(batch) // PEOPLE)]
    arrived: set[str] = set()
    killed, started, until = 0, time.monotonic(), time.monotonic() + LONGEST
    while time.monotonic() < until:
        if batches:
            keep(batches.pop())
        elif repeats:
            keep(repeats[:BATCH])
            del repeats[:BATCH]
        # A day passes, and somebody looks after what has failed for good.
        deliveries.replay_failed("crm")
        Delivery.objects.filter(state="waiting", tries__gt=0).update(next_at=datetime.now(UTC))
        Known.objects.update(wait_until=None)
        arrived = {one for call in receiver.taken for one in call.ids}
        if killed < KILLS and len(arrived) > PEOPLE * (killed + 1) // (KILLS + 2):
            process.kill()
            process.wait()
            process, killed = start_courier(), killed + 1
        if len(arrived) == PEOPLE and not Delivery.objects.filter(state="waiting").exists() and not batches:
            break
        time.sleep(0.3)
    process.terminate()
    process.wait(30)
    calls = Counter(str(one.is_taken) for one in receiver.calls)
    say(
        f"{PEOPLE:,} registered, {REPEATS:,} repeats, courier killed {killed} times, {time.monotonic() - started:.0f} s"
    )
    say(f"{len(receiver.calls)} calls, {calls['True']} taken, at most {receiver.most_open} open at a time")
    say(f"different request_ids that arrived: {len(arrived):,}; messages not delivered: {undelivered()}")
    say(
        f"largest message {max(len(one.body) for one in receiver.calls):,} bytes, "
        f"{max(len(one.ids) for one in receiver.calls)} submissions; verified with each secret: {verified(receiver):,}"
    )


def away(receiver: Receiver) -> None:
    """Compare the store rate beside 1,000/s for a receiver that answers nothing with that without a courier."""
    receiver.mode = "hang"
    rates: dict[str, list[float]] = {"no courier": [], "receiver away": []}
    with ProcessPoolExecutor(WORKERS, SPAWN, initializer=_begin) as pool, told_of_all_the_time():
        for number in range(ROUNDS + 1):
            for name in random.sample(list(rates), 2):
                courier = start_courier() if name == "receiver away" else None
                time.sleep(5)  # it is up, and calls
                rate = _rate(pool, "plain")
                if courier:
                    courier.kill()
                    courier.wait()
                if number:  # the first round warms up
                    rates[name].append(rate)
    tell(rates)
    say(f"calls {len(receiver.calls)}, at most {receiver.most_open} open at a time")


@contextmanager
def told_of_all_the_time() -> Iterator[None]:
    """1,000 people a second register in the campaign of the webhook meanwhile."""
    from courier import deliveries, webhooks

    deliveries.subscribe(webhooks.load(os.environ["LANDING_DIR"]) or [])
    stopping, phones = threading.Event(), count()

    def store() -> None:
        while not stopping.wait(0.1):
            keep([_submission("summer", f"0999{next(phones):07}") for _ in range(100)])

    thread = threading.Thread(target=store, name="summer")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def store(_: Receiver) -> None:
    """Compare the store rate of a campaign without webhooks with that of one that is told of."""
    from courier import deliveries, webhooks
    from landing.models import Event

    rates: dict[str, list[float]] = {"nobody subscribed": [], "another campaign": [], "this campaign": []}
    listed = webhooks.load(os.environ["LANDING_DIR"]) or []
    with ProcessPoolExecutor(WORKERS, SPAWN, initializer=_begin) as pool:
        for number in range(ROUNDS + 1):
            for name in random.sample(list(rates), 3):
                deliveries.subscribe([] if name == "nobody subscribed" else listed)
                rate = _rate(pool, "summer" if name == "this campaign" else "plain")
                if number:
                    rates[name].append(rate)
            Event.objects.all().delete()
    tell(rates)


def tell(rates: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(found) for name, found in rates.items()}
    base, *_ = medians.values()
    for name, rate in medians.items():
        say(f"{name:18} {rate:8,.0f} registrations/s, {rate / base:.2f}")


def write(directory: Path, url: str, slug: str) -> None:
    (directory / "page.toml").write_text("")
    listed = ", ".join(f'"{one}"' for one in SECRETS)
    (directory / "webhooks.toml").write_text(
        f'[[webhook]]\nname = "crm"\nurl = "{url}"\nsecret = [{listed}]\ncampaigns = ["{slug}"]\n'
    )


def made(people: int) -> list[list[Any]]:
    ids = [_submission("summer", f"09{n:09}") for n in range(people)]
    return [ids[start : start + BATCH] for start in range(0, people, BATCH)]


def keep(batch: list[Any]) -> None:
    from landing.storing import registrations

    registrations.store(batch)


def start_courier() -> subprocess.Popen[bytes]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "manage.py", "courier"], **quiet)  # type: ignore[call-overload]


def subscribed() -> None:
    from landing.models import Subscription

    until = time.monotonic() + 30
    while not Subscription.objects.exists():
        if time.monotonic() > until:
            raise SystemExit("the courier does not start")
        time.sleep(0.1)


def undelivered() -> int:
    from courier.models import Delivery

    return Delivery.objects.exclude(state="delivered").count()


def verified(receiver: Receiver) -> int:
    for call in receiver.calls:
        for secret in SECRETS:
            # The standard's package refuses what is older than five minutes: it is judged as of its arrival.
            with _clock_at(call.at):
                standardwebhooks.Webhook(secret).verify(call.body, call.headers)
    return len(receiver.calls)


@contextmanager
def _clock_at(moment: float) -> Iterator[None]:
    import standardwebhooks.webhooks as package

    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.fromtimestamp(moment, tz)

    before = package.datetime
    package.datetime = Then
    try:
        yield
    finally:
        package.datetime = before


def _begin() -> None:
    import django

    django.setup()


def _rate(pool: ProcessPoolExecutor, slug: str) -> float:
    starts = [(slug, next(_prefixes)) for _ in range(WORKERS)]
    started = time.monotonic()
    list(pool.map(_store, starts))
    return WORKERS * BATCHES * BATCH / (time.monotonic() - started)


def _store(told: tuple[str, int]) -> None:
    slug, prefix = told
    for batch in range(BATCHES):
        first = batch * BATCH
        keep([_submission(slug, f"09{prefix:03}{n:06}") for n in range(first, first + BATCH)])


def _submission(slug: str, phone: str) -> Any:
    from landing.submission import Submission

    return Submission(phone, request_ids.new(b"any"), "192.0.2.1", "", "", datetime.now(UTC), slug)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "kills")
