"""The network of the cluster: a namespace for each host, and a bridge between them."""

import contextlib
import subprocess
from collections.abc import Iterable
from itertools import product
from pathlib import Path

from tools.drills import room

PREFIX = "10.77.0."
HERE = f"{PREFIX}1"
"""Our own address on the bridge, from which visitors come."""
NOBODY = "02:00:00:00:00:01"
"""A hardware address that no host has."""


class Bridge:
    """All of it is in the drill's own room, and goes with it."""

    def __init__(self) -> None:
        namespaces = Path("/run/netns")
        namespaces.mkdir(exist_ok=True)
        room.run("mount", "-t", "tmpfs", "none", str(namespaces))  # in our own mount namespace
        room.run("ip", "link", "add", "bridge", "type", "bridge")
        room.run("ip", "address", "add", f"{HERE}/24", "dev", "bridge")
        room.run("ip", "link", "set", "bridge", "up")
        self._numbers: dict[str, int] = {}

    def add(self, host: str, number: int) -> str:
        """Add a host, and return its address."""
        room.run("ip", "netns", "add", host)
        room.run("ip", "link", "add", "name", host, "type", "veth", "peer", "name", "eth0", "netns", host)
        room.run("ip", "link", "set", "dev", host, "master", "bridge", "up")
        self._within(host, "address", "add", f"{PREFIX}{number}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            self._within(host, "link", "set", device, "up")
        self._numbers[host] = number
        return f"{PREFIX}{number}"

    def part(self, some: Iterable[str], others: Iterable[str]) -> None:
        """Let nothing through between two groups of hosts, and say so to nobody: packets vanish.

        Each is sent to a hardware address that nobody has. A route that leads nowhere would be told to the sender.
        """
        for one, other in product(some, others):
            for sender, receiver in ((one, other), (other, one)):
                address = f"{PREFIX}{self._numbers[receiver]}"
                self._within(
                    sender, "neigh", "replace", address, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent"
                )

    def mend(self) -> None:
        """Let everything through again."""
        for host in self._numbers:
            with contextlib.suppress(subprocess.CalledProcessError):
                self._within(host, "neigh", "flush", "dev", "eth0", "nud", "permanent")

    def _within(self, host: str, *command: str) -> None:
        room.run("ip", "-n", host, *command)


def inside(host: str) -> tuple[str, ...]:
    """Return the command that starts another one on a host."""
    return ("ip", "netns", "exec", host)
