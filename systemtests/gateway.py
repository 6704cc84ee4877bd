"""A gateway for SMS that misbehaves on demand. No real one can be called from a test.

It speaks as kavenegar, sms.ir, Ghasedak and Twilio do, by the address that is asked for, and keeps each SMS that it
has "sent" with its time: what counts is what a phone would have received.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from systemtests import loopback

MODES = (
    *(
        "accept",
        "refuse",
        "no credit",
        "429",
        "500 before",
        "500 after",
        "hang",
        "reset before",
        "reset after",
    ),
    *("twice", "html", "slow", "redirect"),
)
SLOW = 0.4
"""Seconds that a slow gateway takes."""


@dataclass
class Sms:
    """One SMS that went out."""

    phone: str
    code: str
    at: float


@dataclass
class FakeGateway:
    """One gateway. mode: what it does, or by chances: {"hang": 0.2}. requests: all calls, as (path, headers, body)."""

    url: str = ""
    mode: str | dict[str, float] = "accept"
    sent: list[Sms] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        try:
            while request := await loopback.read(reader):
                path, headers, body = request
                self.requests.append((path, headers, body.decode()))
                await self._answer(path, body.decode(), writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, path: str, body: str, writer: asyncio.StreamWriter) -> None:
        mode = self._mode()
        phone, code = _in(path, body)
        if mode == "reset before":
            loopback.reset(writer)
            return
        if mode in ("accept", "500 after", "hang", "reset after", "twice", "html", "slow"):
            self.sent += [Sms(phone, code, time.time())] * (2 if mode == "twice" else 1)
        if mode == "hang":
            await asyncio.sleep(60)
        if mode in ("hang", "reset after"):
            loopback.reset(writer)
            return
        if mode == "slow":
            await asyncio.sleep(SLOW)
        status, told = _told(path, mode)
        head = f"HTTP/1.1 {status} x\r\nLocation: {self.url}{path}\r\nContent-Length: {len(told)}\r\n\r\n"
        writer.write(head.encode() + told)
        await writer.drain()

    def _mode(self) -> str:
        if isinstance(self.mode, str):
            return self.mode
        others = 1 - sum(self.mode.values())
        [mode] = self.chance.choices([*self.mode, "accept"], [*self.mode.values(), others])
        return mode


@contextmanager
def running(port: int = 0) -> Iterator[FakeGateway]:
    """Run a gateway on 127.0.0.1 in a thread."""
    gateway = FakeGateway()
    with loopback.served(gateway.serve, port) as gateway.url:
        yield gateway


def _in(path: str, body: str) -> tuple[str, str]:
    """Return the phone number and the code in a request."""
    if "kavenegar" in path or "/verify/lookup" in path:
        form = parse_qs(body)
        return form["receptor"][0], form["token"][0]
    if "Messages.json" in path:
        form = parse_qs(body)
        return form["To"][0], form["Body"][0].split("#")[-1]
    sent = json.loads(body)
    if "SendOtpSMS" in path:
        return sent["receptors"][0]["mobile"], sent["inputs"][0]["value"]
    return sent["mobile"], sent["parameters"][0]["value"]


_CODES = {"refuse": 411, "no credit": 418, "429": 429, "500 before": 500, "500 after": 500}
_SMSIR = {"refuse": 104, "no credit": 102, "429": 20, "500 before": 0, "500 after": 0}
_TWILIO = {"refuse": 21211, "no credit": 20003, "429": 20429, "500 before": 20500, "500 after": 20500}


def _told(path: str, mode: str) -> tuple[int, bytes]:
    if mode == "html":
        return 200, b"<html><body>Please wait</body></html>"
    if mode == "redirect":
        return 302, b""
    is_good = mode in ("accept", "twice", "slow")
    status = 200 if is_good else {"429": 429, "500 before": 500, "500 after": 500}.get(mode, 400)
    if "/verify/lookup" in path:
        entries = [{"messageid": 8792343}] if is_good else None
        told: object = {"return": {"status": 200 if is_good else _CODES[mode]}, "entries": entries}
    elif "Messages.json" in path:
        told = {"sid": "SM1"} if is_good else {"code": _TWILIO[mode]}
        status = 201 if is_good else status
    elif "SendOtpSMS" in path:
        told = {"isSuccess": is_good, "data": {"items": [{"messageId": 5}]} if is_good else None}
    else:
        told = {"status": 1, "data": {"messageId": 77}} if is_good else {"status": _SMSIR[mode], "data": None}
    return status, json.dumps(told).encode()
