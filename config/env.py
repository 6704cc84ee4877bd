"""Settings come from the environment, each read once, each with a default and a meaning.

Ours: with pydantic-settings the remedy that is told with each fault, NAME_FILE and the written documents would
still be code of ours, beside a compiled dependency.

What is read here is remembered, so that .env.example and docs/configuration.md are written from
the code (`manage.py settings_reference`) and cannot drift from it.

`NAME_FILE` names a file that holds the value, as container secrets are handed over. Where STATE_DIR
is set, as manage.py does beside a running `make run`, the variables in STATE_DIR/stack.env count as set.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured

from lib.client_ip import Networks

Value = TypeVar("Value")

PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True)
class Variable:
    """One environment variable: what stands in .env.example and in docs/configuration.md."""

    name: str
    default: str
    meaning: str
    section: str

    @property
    def shared(self) -> bool:
        """Whether processes that differ in it are misconfigured. Each has its own port, size and login."""
        own = ("PORT", "BIND", "LANDING_DIR", "WEB_", "WORKER_", "FLOWER_", "SPOOL_", "LOG_LEVEL", "OTEL_")
        courier = (
            "CODE_KEY",
            "CODE_GATEWAY_",
            "CODE_TEMPLATE",
            "CODE_BUDGET",
            "CODE_TTL",
            "CODE_RATE",
            "COURIER_",
        )
        return not (self.name.startswith((*own, *courier)) or self.name.endswith(("_USER", "_PASSWORD")))


@dataclass(frozen=True)
class Rate:
    """At most `count` in `period` seconds."""

    count: int
    period: int


@dataclass(frozen=True)
class Host:
    """Where one of the servers of a kind listens."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"{f'[{self.name}]' if ':' in self.name else self.name}:{self.port}"


VARIABLES: dict[str, Variable] = {}
_faults: list[str] = []
_section = ""


def load_state() -> bool:
    """Take over the settings of the stack in STATE_DIR, if that is set; the environment's own win.

    Returns whether there is one. manage.py sets STATE_DIR beside a running stack; a server never looks
    into whatever directory it was started from.
    """
    directory = os.environ.get("STATE_DIR")
    if not directory or not (path := Path(directory, "stack.env")).is_file():
        return False
    for line in path.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            os.environ.setdefault(name.strip(), value)
    return True


def section(title: str) -> None:
    """Begin a section of the settings' documentation."""
    global _section  # noqa: PLW0603  settings.py is read from top to bottom, once
    _section = title


def text(name: str, default: str, meaning: str) -> str:
    """Return a variable, or what the file named by NAME_FILE holds, or the default."""
    VARIABLES.setdefault(name, Variable(name, default, meaning, _section))
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            _faults.append(f"{name}_FILE={path!r} cannot be read: {reason}.")
    return os.environ.get(name) or default


def required(name: str, meaning: str, hint: str) -> str:
    """Return a variable that has no sensible default."""
    value = text(name, "", meaning)
    if not value:
        _faults.append(f"{name} is not set. {hint}")
    return value


def flag(name: str, default: str, meaning: str) -> bool:
    words = {"on": True, "true": True, "yes": True, "1": True}
    words |= {"off": False, "false": False, "no": False, "0": False}
    return _read(name, default, meaning, lambda value: words[value.lower()], "on or off")


def integer(name: str, default: str, meaning: str, *, least: int = 0) -> int:
    """Return a variable that is a whole number, `least` or more."""
    return _read(
        name, default, meaning, lambda value: _natural(value, least), f"a whole number, {least} or more"
    )


def seconds(name: str, default: str, meaning: str) -> float:
    """Return a variable that is a positive time in seconds."""
    return _read(name, default, meaning, _positive, "a number of seconds above zero, such as 0.5")


def share(name: str, default: str, meaning: str) -> float:
    """Return a variable that is a share, from 0 to 1."""
    return _read(name, default, meaning, _share, "a number from 0 to 1")


def names(name: str, default: str, meaning: str) -> list[str]:
    """Return a comma-separated variable as a list."""
    value = text(name, default, meaning)
    return [part.strip() for part in value.split(",") if part.strip()]


def hosts(name: str, default: str, meaning: str, port: int) -> list[Host]:
    """Return a comma-separated list of hosts, each with the port that stands behind it, or else `port`."""
    want = "host names such as a.example or a.example:5672, separated by commas"
    return _read(name, default, meaning, lambda value: _hosts(value, port), want)


def headers(name: str, default: str, meaning: str) -> list[str]:
    """Return a comma-separated list of HTTP header names, in lower case."""
    return _read(name, default, meaning, _headers, "names of HTTP headers, separated by commas")


def addresses(name: str, default: str, meaning: str) -> Networks:
    """Return a comma-separated list of IP addresses and CIDR ranges."""
    want = "IP addresses or ranges such as 10.0.0.0/8, separated by commas"
    return _read(name, default, meaning, _networks, want)


def choice(name: str, default: str, meaning: str, options: tuple[str, ...]) -> str:
    """Return a variable that is one of the options."""
    return _read(name, default, meaning, lambda value: options[options.index(value)], " or ".join(options))


def rate(name: str, default: str, meaning: str) -> Rate | None:
    """Return a rate such as 10/minute, or None for "off"."""
    return _read(name, default, meaning, _rate, "a rate such as 10/minute, or off")


def hsts(name: str, default: str, meaning: str) -> str:
    """Return a Strict-Transport-Security header's value, "" for "off"."""
    want = "max-age=SECONDS, which ; includeSubDomains and ; preload may follow, or off"
    return _read(name, default, meaning, _hsts, want)


def zone(name: str, default: str, meaning: str) -> ZoneInfo:
    """Return a time zone by its name in the tz database."""
    return _read(name, default, meaning, _zone, "a time zone such as Asia/Tehran or UTC")


def fingerprint(key: str) -> dict[str, str]:
    """Return a short hash of each setting that all processes must share, keyed, so that it tells no value."""
    return {
        variable.name: blake2b(
            f"{variable.name}={text(variable.name, variable.default, variable.meaning)}".encode(),
            key=key.encode()[:64],
            digest_size=6,
        ).hexdigest()
        for variable in list(VARIABLES.values())
        if variable.shared
    }


def raise_faults() -> None:
    """Raise ImproperlyConfigured naming every wrong variable at once, if there is one."""
    if _faults:
        lines = "\n".join(f"  {fault}" for fault in _faults)
        raise ImproperlyConfigured(f"These settings are wrong (docs/configuration.md):\n{lines}")


def _read(name: str, default: str, meaning: str, parse: Callable[[str], Value], want: str) -> Value:
    value = text(name, default, meaning)
    try:
        return parse(value)
    except (ValueError, KeyError):
        _faults.append(f"{name}={value!r} is not {want}.")
        return parse(default)


def _natural(value: str, least: int) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", value) or int(value) < least:
        raise ValueError(value)
    return int(value)


def _positive(value: str) -> float:
    if not re.fullmatch(r"[0-9]{0,6}\.?[0-9]{0,6}", value) or float(value) <= 0:
        raise ValueError(value)
    return float(value)


def _share(value: str) -> float:
    if not re.fullmatch(r"0(\.[0-9]{1,6})?|1(\.0{1,6})?", value):
        raise ValueError(value)
    return float(value)


def _hosts(value: str, port: int) -> list[Host]:
    # A path is the directory of PostgreSQL's Unix socket.
    matches = [
        re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+|/[^,]+?))(?::([0-9]{1,5}))?", part.strip())
        for part in value.split(",")
        if part.strip()
    ]
    if (value and not matches) or not all(matches):
        raise ValueError(value)
    return [Host(match[1] or match[2], int(match[3] or port)) for match in matches if match]


def _headers(value: str) -> list[str]:
    found = [part.strip().lower() for part in value.split(",") if part.strip()]
    if not all(re.fullmatch(r"[a-z0-9-]{1,100}", one) for one in found):
        raise ValueError(value)
    return found


def _networks(value: str) -> Networks:
    return Networks([part.strip() for part in value.split(",") if part.strip()])


def _hsts(value: str) -> str:
    if value == "off":
        return ""
    if not re.fullmatch(r"max-age=[0-9]{1,10}(; includeSubDomains)?(; preload)?", value):
        raise ValueError(value)
    return value


def _zone(value: str) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (OSError, KeyError) as error:  # a directory of the database, or a name that it lacks
        raise ValueError(value) from error


def _rate(value: str) -> Rate | None:
    if value == "off":
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,5})/(second|minute|hour|day)", value)
    if not match:
        raise ValueError(value)
    return Rate(int(match[1]), PERIODS[match[2]])
