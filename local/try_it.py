"""`make try`: one registration at the running stack, and every hop that it took."""

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
    try:
        task_id = _answer(address, json.dumps({"phone_number": PHONE_NUMBER}).encode())["task_id"]
        _say(f"{PHONE_NUMBER} was accepted as {task_id}")
        _wait_until_stored(f"{address}{task_id}/")
    except HTTPError as error:
        sys.exit(f"{error}: {json.load(error)['detail']}")
    except (URLError, TimeoutError) as error:
        sys.exit(
            f"Nobody answers at {address}: {error}\nStart the product first, in another terminal: make run"
        )
    os.execv(sys.executable, [sys.executable, str(ROOT / "manage.py"), "trace", task_id])  # noqa: S606


def _port() -> str:
    path = Path(os.environ.get("STATE_DIR") or ".local") / "stack.env"
    return state.read_env(path).get("PORT", "8000")


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


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
