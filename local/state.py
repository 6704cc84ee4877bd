"""What a state directory keeps between runs: the generated secrets and the chosen ports."""

import dataclasses
import json
import os
import random
import secrets
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

SECRETS = (
    "SECRET_KEY",
    "POSTGRES_PASSWORD",
    "RABBITMQ_PASSWORD",
    "REDIS_PASSWORD",
    "MONGODB_PASSWORD",
    "ADMIN_PASSWORD",
    "FLOWER_PASSWORD",
    "CODE_KEY",
)

# Below every system's range for outgoing connections: a client that keeps dialling a stopped server
# on a port inside that range can end up connected to itself and hold the port.
PORT_RANGE = range(15_000, 32_000)


@dataclasses.dataclass(frozen=True)
class Ports:
    """The ports of the private servers, all on 127.0.0.1."""

    postgres: int
    redis: int
    mongodb: int
    rabbitmq: int
    rabbitmq_management: int
    rabbitmq_dist: int
    epmd: int

    @classmethod
    def pick(cls, wanted: Mapping[str, int] | None = None, reserved: Iterable[int] = ()) -> "Ports":
        """Keep each wanted port that is free and choose a free one for every other, none of them reserved."""
        taken = set(reserved)
        chosen: dict[str, int] = {}
        for field in dataclasses.fields(cls):
            port = (wanted or {}).get(field.name, 0)
            chosen[field.name] = port if port not in taken and is_free(port) else _free_port(taken)
            taken.add(chosen[field.name])
        return cls(**chosen)


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1."""
    if not port:
        return False
    with socket.socket() as probe:
        # As the servers do: a connection that lingers in TIME_WAIT does not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port(taken: set[int]) -> int:
    """Choose at random, so that two stacks that start together rarely try the same port."""
    candidates = random.sample(PORT_RANGE, len(PORT_RANGE))
    return next(port for port in candidates if port not in taken and is_free(port))


def open_dir(state_dir: Path) -> Path:
    """Make the state directory if need be and return its absolute path."""
    state_dir = state_dir.expanduser().resolve()
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("logs", "tmp"):
        (state_dir / name).mkdir(mode=0o700, exist_ok=True)
    return state_dir


def load_secrets(state_dir: Path) -> dict[str, str]:
    """Read the secrets of this state directory; make those it lacks."""
    file = state_dir / "secrets"
    known = read_env(file)
    missing = [name for name in SECRETS if name not in known]
    if missing:
        known |= {
            name: secrets.token_urlsafe(36 if name in ("SECRET_KEY", "CODE_KEY") else 15) for name in missing
        }
        write_env(file, known)
    return known


def load_ports(state_dir: Path, reserved: Iterable[int] = ()) -> Ports:
    """Return the ports of the last run, those that have been taken or reserved since then replaced."""
    file = state_dir / "ports.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    ports = Ports.pick(kept, reserved)
    file.write_text(json.dumps(dataclasses.asdict(ports), indent=1) + "\n")
    return ports


def read_env(file: Path) -> dict[str, str]:
    """Read NAME=value lines; a missing file has none."""
    if not file.exists():
        return {}
    lines = (line for line in file.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def write_env(file: Path, values: Mapping[str, str]) -> None:
    """Write NAME=value lines that only the owner can read, whole or not at all."""
    draft = file.with_name(file.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.writelines(f"{name}={value}\n" for name, value in values.items())
    draft.replace(file)
