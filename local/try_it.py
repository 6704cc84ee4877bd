"""`make try`: one registration at the running stack, and every hop that it took.

In a campaign that asks for a code (CAMPAIGN=slug) it reads the code from sms.log, and confirms.
"""

import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from local import state

PHONE_NUMBER = "۰۹۱۲ ۳۴۵ ۶۷۸۹"
STORED_WITHIN = 30.0
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Register, wait until it is stored, and let `manage.py trace` tell the way."""
    address = f"http://127.0.0.1:{_port()}/api/register/"
    campaign = f"{os.environ['CAMPAIGN']}/" if os.environ.get("CAMPAIGN") else ""
    try:
        task_id = _answer(address + campaign, json.dumps({"phone_number": PHONE_NUMBER}).encode())["task_id"]
        _say(f"{PHONE_NUMBER} was accepted as {task_id}")
        _wait_until_stored(f"{address}{task_id}/")
        if "confirmation" in _answer(f"{address}{task_id}/"):
            _confirm(f"{address}{task_id}/")
    except HTTPError as error:
        sys.exit(f"{error}: {json.load(error)['detail']}")
    except (URLError, TimeoutError) as error:
        sys.exit(
            f"Nobody answers at {address}: {error}\nStart the product first, in another terminal: make run"
        )
    os.execv(sys.executable, [sys.executable, str(ROOT / "manage.py"), "trace", task_id])  # noqa: S606


def _port() -> str:
    return state.read_env(_state_dir() / "stack.env").get("PORT", "8000")


def _state_dir() -> Path:
    return Path(os.environ.get("STATE_DIR") or ".local")


def _answer(address: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310  our own
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=10) as answer:
        return json.load(answer)


def _wait_until_stored(address: str) -> None:
    until = time.monotonic() + STORED_WITHIN
    while _answer(address)["status"] == "Processing":
        if time.monotonic() > until:
            sys.exit(f"It is kept, but not stored yet. Does the worker run? See {address}")
        time.sleep(0.1)


def _confirm(address: str) -> None:
    """Ask for a code, read it where CODE_GATEWAY=file writes it, and type it."""
    log = _state_dir() / "sms.log"
    before = log.stat().st_size if log.exists() else 0
    _answer(f"{address}code/", b"{}")
    until = time.monotonic() + STORED_WITHIN
    while not log.exists() or log.stat().st_size == before:
        if time.monotonic() > until:
            sys.exit(f"No code came. See {address} and {_state_dir()}/logs/courier.log")
        time.sleep(0.1)
    code = json.loads(log.read_text().splitlines()[-1])["code"]
    _answer(f"{address}confirm/", json.dumps({"code": code}).encode())
    while (told := _answer(address)["confirmation"])["status"] in ("sent", "checking"):
        time.sleep(0.1)
    _say(f"The code in {log} was {code}: {told['status']}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
