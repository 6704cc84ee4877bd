"""What a visitor's browser sends: the page, a preflight, the form, and polls as landing/static/landing/embed.js polls."""

import gzip
import random
import re
import time
import zlib
from urllib.parse import urlencode
from uuid import UUID

import orjson

from lib import load
from lib.load import Answer

REGISTER = "/api/register/"
ORIGIN = "https://campaign.example"
"""Another site, whose pages carry the form."""

PATIENCE = 60.0
FIRST_PAUSE, GROWTH, LONGEST_PAUSE, LONGEST_LATER = 0.3, 1.5, 3.0, 15.0
"""Seconds between two polls: they grow to the one until PATIENCE is over, and to the other after it."""

_KEY = re.compile(rb'name="key"[^>]* value="([^"]+)"')
_ID = re.compile(rb'"task_id": ?"([0-9a-f-]{36})"')
_PROGRESS = re.compile(r"/registration/([0-9a-f-]{36})/$")
_HEADERS = {
    "Host": "127.0.0.1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept-Language": "fa",
}
_API = _HEADERS | {"Accept": "application/json, application/problem+json"}
_PAGE = _HEADERS | {"Accept": "text/html,*/*;q=0.8", "Accept-Encoding": "gzip, deflate, br"}


def api(slug: str = "") -> str:
    """Return the address that takes registrations for a campaign; "": the default one."""
    return f"{REGISTER}{slug}/" if slug else REGISTER


def home(slug: str = "") -> str:
    """Return the address of a campaign's page."""
    return f"/c/{slug}/fa/" if slug else "/fa/"


def page(path: str = "/fa/") -> bytes:
    """Ask for the landing page, or for the page of a registration's progress."""
    return load.request("GET", path, _PAGE)


def preflight(slug: str = "") -> bytes:
    """Ask whether another site's page may post to a campaign."""
    wanted = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,idempotency-key",
    }
    return load.request("OPTIONS", api(slug), _HEADERS | wanted)


def register(phone: str, *, address: str, key: str = "", origin: str = "", slug: str = "") -> bytes:
    """Post a number to a campaign as the page's script does, from this address."""
    headers = _API | {"Content-Type": "application/json", "X-Forwarded-For": address}
    headers |= {"Idempotency-Key": key} if key else {}
    headers |= {"Origin": origin} if origin else {}
    return load.request("POST", api(slug), headers, orjson.dumps({"phone_number": phone}))


def submit(phone: str, *, address: str, key: str, slug: str = "") -> bytes:
    """Post the form of a campaign's page as a browser without JavaScript does."""
    headers = _PAGE | {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": address}
    fields = {"phone_number": phone, "key": key, "consent": "on"}
    return load.request("POST", home(slug), headers, urlencode(fields).encode())


def poll(task_id: str) -> bytes:
    """Ask what became of a registration."""
    return load.request("GET", f"{REGISTER}{task_id}/", _API)


def ask_code(task_id: str, *, address: str) -> bytes:
    """Ask for a code by SMS, or say that the page is still open."""
    return load.request("POST", f"{REGISTER}{task_id}/code/", _API | {"X-Forwarded-For": address})


def type_code(task_id: str, code: str, *, address: str, key: str) -> bytes:
    """Send a code as the page does when it was typed. key: the same for the same press of the button."""
    headers = _API | {"Content-Type": "application/json", "X-Forwarded-For": address, "Idempotency-Key": key}
    return load.request("POST", f"{REGISTER}{task_id}/confirm/", headers, orjson.dumps({"code": code}))


def next_pause(pause: float, waited: float, answer: Answer | None) -> float:
    """Return the seconds to the next poll, after a pause and its answer (None: there was none)."""
    longest = LONGEST_LATER if waited > PATIENCE else LONGEST_PAUSE
    return max(min(longest, pause * GROWTH), answer.retry_after if answer else 0.0)


def new_key(chance: random.Random) -> str:
    """Return an Idempotency-Key as the page makes it: a UUID version 7."""
    value = int(time.time() * 1000) << 80 | chance.getrandbits(80)
    return str(UUID(int=value & ~(0xF << 76 | 0b11 << 62) | 7 << 76 | 0b10 << 62))


def address(chance: random.Random) -> str:
    return ".".join(str(chance.randrange(11, 127)) for _ in range(4))


def form_key(answer: Answer) -> str:
    """Return the key in the form of a landing page, "" if it has none or cannot be read."""
    is_compressed = answer.headers.get("content-encoding") == "gzip"
    try:
        found = _KEY.search(gzip.decompress(answer.body) if is_compressed else answer.body)
    except (OSError, EOFError, zlib.error):
        return ""
    return found[1].decode() if found else ""


def progress_id(answer: Answer) -> str:
    """Return the id to whose progress a form's answer leads, "" if it leads elsewhere."""
    found = _PROGRESS.search(answer.headers.get("location", ""))
    return found[1] if found else ""


def receipt_id(answer: Answer) -> str:
    """Return the id in the answer to an accepted registration, "" if there is none."""
    found = _ID.search(answer.body) if answer.status == 202 else None
    return found[1].decode() if found else ""
