"""Many visitors at once, each on a connection of its own."""

import asyncio
import json
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from lib import load
from lib.load import Answer
from systemtests.stack import REGISTER

# 1,000 connections are more than some systems allow by default.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(_hard, max(_soft, 8192)), _hard))


@dataclass(frozen=True)
class Visitor:
    phone: str
    sender: str
    key: str = ""
    form: bool = False

    @property
    def request(self) -> bytes:
        fields = {"phone_number": self.phone}
        headers = {
            "Host": "localhost",
            "Connection": "close",
            "Content-Type": "application/x-www-form-urlencoded" if self.form else "application/json",
            "X-Forwarded-For": self.sender,
        }
        if self.key:
            headers["Idempotency-Key"] = self.key
        body = urlencode(fields) if self.form else json.dumps(fields)
        return load.request("POST", REGISTER, headers, body.encode())


def _sender(port: int) -> load.Sender:
    return load.Sender(f"http://127.0.0.1:{port}", connections=4096, deadline=30)


async def ask_until_accepted(port: int, visitor: Visitor) -> str:
    """Do as the page does when it is told to try again or the network breaks; return the id."""
    sender = _sender(port)
    for _ in range(100):
        try:
            answer = await sender.ask(visitor.request)
        except OSError:
            pass
        else:
            if answer.status == 202:
                return answer.json()["task_id"]
            assert answer.status == 503, answer
        await asyncio.sleep(0.3)
    raise AssertionError("never accepted")


def all_at_once(port: int, visitors: Sequence[Visitor]) -> list[Answer]:
    async def crowd() -> Any:
        sender = _sender(port)
        return await asyncio.gather(*(sender.ask(visitor.request) for visitor in visitors))

    return asyncio.run(crowd())


def spellings(phone: str) -> list[str]:
    """One number in twenty spellings, the first canonical."""
    national = phone[1:]
    persian, arabic, wide = (_in_digits(phone, zero) for zero in (0x06F0, 0x0660, 0xFF10))
    return [
        phone,
        f"+98{national}",
        f"0098{national}",
        f"98{national}",
        national,
        f"+980{national}",
        persian,
        arabic,
        wide,
        f"+{_in_digits('98' + national, 0x06F0)}",
        f"\uff0b{_in_digits('98' + national, 0xFF10)}",
        persian[:4] + phone[4:8] + arabic[8:],
        f"{phone[:4]} {phone[4:7]} {phone[7:]}",
        f"{phone[:4]}-{phone[4:7]}-{phone[7:]}",
        f"{phone[:4]}\u2013{phone[4:]}",
        f"{phone[:4]}\u200c{phone[4:]}",
        f"\u202a{phone}\u202c",
        f"{phone}\n",
        f"  {phone}\t",
        f"{phone[:4]}\u00a0{phone[4:]}",
    ]


def _in_digits(phone: str, zero: int) -> str:
    return "".join(chr(zero + int(digit)) for digit in phone)
