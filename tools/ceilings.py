"""How much one queue, several queues, a kept copy and the limiter's Redis take: `python -m tools.ceilings`.

Everything runs on this machine, so a rate says little. The cost does: CPU seconds of a server for 1,000
registrations. docs/scaling.md makes machines of it. It takes about four minutes and ends by itself.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local import state
from local.processes import Child, end, leftovers
from local.servers import Server, Valkey
from tools.bench import usage
from tools.drills import room
from tools.drills.cluster.bridge import Bridge, inside
from tools.drills.cluster.servers import PORTS, Node

STATE_DIR = Path(".local/ceilings")
VARIANTS: tuple[dict[str, str], ...] = ({}, {"KEEP_DAYS": "7"}, {"QUEUES": "3"})


def main() -> int:
    """Start the servers one set after the other, load them, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of load for each line (8)")
    given = parser.parse_args()
    room.enter(sys.argv[1:], "tools.ceilings")
    if not room.is_ours():
        sys.stderr.write(f"Several nodes cannot run here: {room.no_network()}\n")
        return 1
    room.furnish()
    table = Table("what", "registrations/s", "MB/s", "CPU s for 1,000, each server", box=None)
    try:
        for row in _measure(given.seconds):
            table.add_row(*row)
    finally:
        end(leftovers(STATE_DIR.resolve()), patience=1)
    Console(width=110).print(table)
    return 0


def _measure(seconds: float) -> list[tuple[str, ...]]:
    end(leftovers(STATE_DIR.resolve()), patience=1)
    shutil.rmtree(STATE_DIR, ignore_errors=True)
    directory = state.open_dir(STATE_DIR)
    passwords = state.load_secrets(directory)
    bridge = Bridge()
    names = ("b1", "b2", "b3")
    hosts = [bridge.add(name, number) for number, name in enumerate(names, 11)]
    rows = []
    for count in (1, 3):
        nodes = [
            Node(f"{name}-{count}", directory, passwords, host, hosts[:count])
            for name, host in zip(names[:count], hosts, strict=False)
        ]
        for node, name in zip(nodes, names, strict=False):
            node.inside = inside(name)
            node.start()
        for variant in VARIANTS:
            what = ", ".join(f"{name}={value}" for name, value in variant.items()) or "one queue"
            _row("the first is slower", "publish", 2, nodes, variant)
            rows.append(_row(f"RabbitMQ, {count} nodes, {what}", "publish", seconds, nodes, variant))
        for node in nodes:
            node.stop()
    shards = [_valkey(directory, passwords, host, name) for host, name in zip(hosts, names, strict=True)]
    for count in (1, 2, 3):
        several = {"REDIS_LIMIT_HOSTS": ",".join(hosts[:count])}
        rows.append(_row(f"limiter, {count} Redis", "limit", seconds, shards[:count], several))
    return rows


def _valkey(directory: Path, passwords: dict[str, str], host: str, name: str) -> Valkey:
    one = Valkey(f"redis-{name}", directory, PORTS, passwords)
    one.inside, one.host = inside(name), host
    one.start()
    return one


def _row(
    what: str, load: str, seconds: float, servers: Sequence[Server], variant: dict[str, str]
) -> tuple[str, ...]:
    environment = os.environ | servers[0].environment() | variant
    environment |= {"SECRET_KEY": "x" * 50, "DJANGO_SETTINGS_MODULE": "config.settings"}
    if load == "publish":
        environment["RABBITMQ_HOST"] = ",".join(one.host for one in servers)
    before = [_cpu(one) for one in servers]
    command = [sys.executable, "-m", "tests.measure_ceilings", load, str(seconds)]
    done = subprocess.run(  # noqa: S603  ours
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=120
    )
    told = json.loads(done.stdout.splitlines()[-1])
    costs = [(_cpu(one) - cpu) / told["count"] * 1000 for one, cpu in zip(servers, before, strict=True)]
    rate = told["count"] / told["seconds"]
    written = f"{rate * told['bytes'] / 1e6:.0f}" if told["bytes"] else ""
    return what, f"{rate:,.0f}", written, " ".join(f"{cost:.4f}" for cost in costs)


def _cpu(child: Child) -> float:
    return usage.cpu_seconds([child])


if __name__ == "__main__":
    sys.exit(main())
