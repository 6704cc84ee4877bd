"""The gateways that send nothing: into a file, for `make run`, and onto the terminal."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from confirmations.claims import Errand, Outcome
from lib.clock import now

FILE = "sms.log"


class FileGateway:
    """Appends each SMS to STATE_DIR/sms.log as a line of JSON."""

    name = "file"

    def __init__(self) -> None:
        self._path = Path(os.environ.get("STATE_DIR") or ".") / FILE

    async def send(self, _client: Any, errand: Errand) -> Outcome:
        """Write an SMS down."""
        with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
            file.write(_line(errand))
        return Outcome("accepted", self.name)


class ConsoleGateway:
    """Prints each SMS."""

    name = "console"

    async def send(self, _client: Any, errand: Errand) -> Outcome:
        """Print an SMS."""
        sys.stdout.write(_line(errand))
        sys.stdout.flush()
        return Outcome("accepted", self.name)


GATEWAYS: dict[str, type[FileGateway] | type[ConsoleGateway]] = {
    "file": FileGateway,
    "console": ConsoleGateway,
}


def _line(errand: Errand) -> str:
    told = {
        "time": now().isoformat(),
        "phone": errand.phone_number,
        "code": errand.code,
        "text": errand.text,
    }
    return json.dumps(told, ensure_ascii=False) + "\n"
