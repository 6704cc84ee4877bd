"""The product on trial: its servers behind proxies, its processes, its disks, and what can be seen of them."""

import base64
import contextlib
import os
import random
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import redis

from local import servers, state
from local.processes import Child, end, leftovers
from local.servers import Server, Valkey
from local.stack import App
from tools.drills import room
from tools.drills.disks import Disk
from tools.drills.ground import HOST, LANDING_DIR, READY_WITHIN, Ground, Piped
from tools.drills.proxy import Link, Network

GATEWAY = Path(__file__).with_name("gateway.toml")
BUDGET = 1_000_000
"""Parts of SMS a day."""
FAILING_DISK = Path(__file__).with_name("failing_disk.c")

# Sparse: only what is written takes room. RabbitMQ's free-space alarm is at 200 MB.
DISKS = {"postgres": 3000, "rabbitmq": 1500, "spool": 300}

# PORT in the product's environment -> our server.
LINKED = {
    "POSTGRES_PORT": "postgres",
    "RABBITMQ_PORT": "rabbitmq",
    "REDIS_PORT": "redis",
    "MONGODB_PORT": "mongodb",
}


class Site(Ground):
    """Everything that one drill needs, in a directory of its own."""

    def __init__(self, state_dir: Path) -> None:
        end(leftovers(state_dir.resolve()), patience=5)
        shutil.rmtree(state_dir, ignore_errors=True)
        super().__init__(state.open_dir(state_dir), self._free_port(()))
        self.disks = self._make_disks()
        self.servers = servers.start(self.state_dir)
        self.gateway_port = self._free_port({self.port})
        self.receiver_port = self._free_port({self.port, self.gateway_port})
        self.links = self._make_links()
        self.disk_flag = self.state_dir / "disk-fails"
        """What failing_disk.c reads; nothing happens where it could not be compiled."""
        self.preloaded = "" if room.no_compiler() else room.compiled(FAILING_DISK, self.state_dir)
        self.web = self._app(
            "web", 20, "gunicorn", "-c", "config/gunicorn.conf.py", "config.asgi:application"
        )
        self.worker = self._app(
            "worker", 25, "celery", "-q", "-A", "config.celery", "worker", "-E", "-P", "prefork", "-c", "2"
        )
        self.courier = self._app("courier", 15, "manage", "courier")
        self.settings = self._settings()

    # -- from start to end

    def open(self) -> None:
        """Prepare the stores, start the product and wait until it is ready."""
        self.manage("migrate", "--verbosity", "0")
        self.run("-m", "local.static_files")
        self.declare_queues()
        # What an installation has behind it for long before its first power cut.
        for disk in self.disks.values():
            disk.sync()
        for app in (self.web, self.worker, self.courier):
            self.start(app)
        self.wait_for(self.is_ready, READY_WITHIN, "/readyz")

    def close(self) -> None:
        """End everything at once and remove the disks; the logs stay."""
        for app in (self.web, self.worker, self.courier):
            app.kill()
        self.servers.stop()
        end(leftovers(self.state_dir), patience=2)
        for disk in self.disks.values():
            disk.unmount()
            disk.image.unlink(missing_ok=True)

    @property
    def children(self) -> tuple[Server | App, ...]:
        return (*self.servers.all, self.web, self.worker, self.courier)

    def start(self, child: Child) -> None:
        self.down.discard(child.name)
        if isinstance(child, App):
            child.environment = self.settings
            child.start()
        elif isinstance(child, Server):
            if link := self.links.get(child.name):
                link.mend()
            child.start(READY_WITHIN)

    def kill(self, child: Child) -> None:
        """`kill -9` of a process and all that it started; it stays down until it is started."""
        self.down.add(child.name)
        child.kill()
        if link := self.links.get(child.name):
            link.refuse()

    def straight(self) -> dict[str, str]:
        return self.servers.environment()

    # -- all of it at once

    def kill_all(self) -> None:
        for child in self.children:
            self.down.add(child.name)
        # Frozen first: nobody sees another die.
        for child in reversed(self.children):
            child.pause()
        for child in self.children:
            self.kill(child)

    def start_all(self, order: Sequence[str]) -> None:
        """Start everything in this order."""
        for name in order:
            self.start(self.child(name))

    def cut_power(self) -> None:
        """End everything; the disks have only what was synced."""
        for child in self.children:
            self.down.add(child.name)
        # The web first: a 202 that was sent is then on the disks that are photographed.
        for child in reversed(self.children):
            child.pause()
        # Their end writes nothing, and visitors need not wait for the photographs.
        self.kill(self.web)
        self.kill(self.worker)
        self.kill(self.courier)
        photographs = {disk: disk.photograph() for disk in self.disks.values()}
        for server in self.servers.all:
            self.kill(server)
        for disk, photograph in photographs.items():
            disk.unmount()
            disk.replace(photograph)
            disk.mount()

    # -- commands

    def declare_queues(self) -> None:
        """Make the queues, and let RabbitMQ write them down.

        A node of 3.10 that is killed within two seconds of a declaration has forgotten the queue.
        """
        self.manage("declare_queues")
        self.servers.rabbitmq.ctl("eval", "[dets:sync(T) || T <- dets:all()].")

    # -- what can be seen

    def redis(self, server: Valkey) -> "redis.Redis":
        """Connect to one of our Redis servers on the straight way."""
        login = server.environment()
        return redis.Redis(HOST, int(login["REDIS_PORT"]), password=login["REDIS_PASSWORD"], socket_timeout=5)

    def spare_redis(self) -> Valkey:
        """Prepare a second Redis, of which the product's processes know nothing."""
        of = self.servers.redis
        ports = replace(of.ports, redis=self._free_port({self.port}))
        return Valkey("redis-spare", self.state_dir, ports, of.passwords)

    # -- how it is put up

    def _make_disks(self) -> dict[str, Disk]:
        if room.no_disks():
            return {}
        return {name: Disk(self.state_dir / name, megabytes) for name, megabytes in DISKS.items()}

    def _make_links(self) -> dict[str, Link]:
        ours = {"gateway": self.gateway_port, "receiver": self.receiver_port}
        network, taken, links = Network(), {self.port, *ours.values()}, {}
        addresses = self.servers.environment()
        behind = {name: int(addresses[variable]) for variable, name in LINKED.items()}
        for name, port in (behind | ours).items():
            front = self._free_port(taken)
            taken.add(front)
            links[name] = Link(network, front, port)
        return links

    def _settings(self) -> dict[str, str]:
        return {
            **self.usual_settings(),
            "PORT": str(self.port),
            "SPOOL_DIR": str(self.state_dir / "spool"),
            # Every second group takes the spool, so that what is wrong with it shows while RabbitMQ is well.
            "SPOOL_SHARE": "0.5",
            "LD_PRELOAD": self.preloaded,
            "FAILING_DISK": str(self.state_dir / "spool"),
            "FAILING_DISK_FLAG": str(self.disk_flag),
            "TRUSTED_PROXIES": HOST,
            "CODE_GATEWAY": str(GATEWAY),
            "CODE_GATEWAY_URL": f"http://{HOST}:{self.links['gateway'].front}",
            "CODE_GATEWAY_KEY": "drill",
            "CODE_KEY": state.load_secrets(self.state_dir)["CODE_KEY"],
            "CODE_BUDGET": str(BUDGET),
            "CODE_RATE": "1000",
            "LANDING_DIR": str(self._make_landing_dir()),
            "COURIER_ALLOW": HOST,
            **self.servers.environment(),
            **{variable: str(self.links[name].front) for variable, name in LINKED.items()},
        }

    def _make_landing_dir(self) -> Path:
        """The drill's pages, and a webhook for all of them."""
        directory = self.state_dir / "landing"
        shutil.copytree(LANDING_DIR, directory)
        secret = f"whsec_{base64.b64encode(os.urandom(32)).decode()}"
        url = f"http://{HOST}:{self.links['receiver'].front}/"
        (directory / "webhooks.toml").write_text(
            f'[[webhook]]\nname = "drill"\nurl = "{url}"\nsecret = "{secret}"\n'
        )
        return directory

    def _app(self, name: str, patience: float, *arguments: str) -> "Piped":
        return Piped(name, self.state_dir, list(arguments), patience)

    def _free_port(self, taken: "set[int] | tuple[()]") -> int:
        while True:
            port = random.choice(state.PORT_RANGE)  # noqa: S311  not secret
            if port not in taken and state.is_free(port):
                return port


def signal_all(child: Child, number: signal.Signals) -> None:
    """Signal a process and all that it started."""
    for process in child.family():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
