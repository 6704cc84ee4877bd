"""The product on many machines: three brokers, two databases, two Redis, two hosts of webs, two of workers."""

import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from local import state
from local.processes import Child, end, leftovers
from local.servers import MongoDB, Server
from local.stack import App
from tools.drills.cluster.balancer import Balancer
from tools.drills.cluster.bridge import HERE, Bridge, inside
from tools.drills.cluster.servers import (
    MASTER,
    PORTS,
    SENTINEL_PORT,
    Node,
    Replicated,
    ReplicatedRedis,
    Sentinel,
)
from tools.drills.ground import QUEUE, READY_WITHIN, Ground, Piped
from tools.drills.proxy import Network

HOSTS = {"b1": 11, "b2": 12, "b3": 13, "p1": 21, "p2": 22, "r1": 31, "r2": 32, "m": 41}
HOSTS |= {"w1": 51, "w2": 52, "k1": 61, "k2": 62}
"""The name and the number of each host: brokers, databases, Redis, MongoDB, webs, workers."""

WEB = ("gunicorn", "-c", "config/gunicorn.conf.py", "config.asgi:application")
WORKER = ("celery", "-q", "-A", "config.celery", "worker", "-E", "-P", "prefork", "-c", "2")
WEB_PORT, FRONT = 8000, 8080


class Cluster(Ground):
    """Everything that one drill needs, in a directory of its own. primary: the PostgreSQL that takes writes."""

    def __init__(self, state_dir: Path) -> None:
        end(leftovers(state_dir.resolve()), patience=5)
        shutil.rmtree(state_dir, ignore_errors=True)
        super().__init__(state.open_dir(state_dir), FRONT)
        self.bridge = Bridge()
        self.addresses = {host: self.bridge.add(host, number) for host, number in HOSTS.items()}
        passwords = state.load_secrets(self.state_dir)
        addresses = [self.addresses[name] for name in ("b1", "b2", "b3")]
        self.nodes = [
            Node(name, self.state_dir, passwords, self.addresses[name], addresses)
            for name in ("b1", "b2", "b3")
        ]
        self.databases = [
            Replicated(name, self.state_dir, passwords, self.addresses[name]) for name in ("p1", "p2")
        ]
        self.primary = self.databases[0]
        first = self.addresses["r1"]
        self.redis = [
            ReplicatedRedis(name, self.state_dir, passwords, self.addresses[name], first)
            for name in ("r1", "r2")
        ]
        self.sentinels = [
            Sentinel(host, self.state_dir, self.addresses[host], first, passwords["REDIS_PASSWORD"])
            for host in ("r1", "r2", "m")
        ]
        self.mongodb = MongoDB("m", self.state_dir, PORTS, passwords)
        self.mongodb.inside, self.mongodb.host = inside("m"), self.addresses["m"]
        self.webs = [self._app(host, 20, WEB) for host in ("w1", "w2")]
        self.workers = [self._app(host, 25, WORKER) for host in ("k1", "k2")]
        self.settings = self.usual_settings() | {"SPOOL_DIR": str(self.state_dir / "spool")}

    # -- from start to end

    def open(self) -> None:
        """Start and join the servers, prepare the stores, start the product and wait until it is ready."""
        self._start_servers()
        self.manage("migrate", "--verbosity", "0")
        self.run("-m", "local.static_files")
        self.manage("declare_queues")
        self.wait_for(lambda: len(self.queue().get("members", [])) == len(self.nodes), 30, "three members")
        self.nodes[0].ctl("eval", "[dets:sync(T) || T <- dets:all()].")
        for app in (*self.webs, *self.workers):
            self.start(app)
        webs = [(self.addresses[web.name], WEB_PORT) for web in self.webs]
        self.wait_for(self.is_ready, READY_WITHIN, "/readyz")
        balancer = Balancer(Network(), FRONT, webs)
        self.wait_for(
            lambda: len(balancer.living) == len(webs), READY_WITHIN, "a load balancer that sees both webs"
        )

    def _start_servers(self) -> None:
        first, *others = self.nodes
        with ThreadPoolExecutor(6) as pool:
            ways: list[Any] = [
                pool.submit(one.start) for one in (first, self.primary, *self.redis, self.mongodb)
            ]
            for way in ways:
                way.result()
            # Alone at first: nodes that begin together would found a cluster each.
            ways = [pool.submit(node.start) for node in others]
            self.primary.make_database()
            self.databases[1].follow(self.primary)
            self.primary.wait_for_standby(wanted=True)
            for way in ways:
                way.result()
        for sentinel in self.sentinels:
            sentinel.start()

    def close(self) -> None:
        """End everything at once; the logs stay. The network goes with the drill's room."""
        for child in self.children:  # a Sentinel writes its title over what leftovers() knows it by
            child.kill()
        end(leftovers(self.state_dir), patience=1)

    @property
    def children(self) -> tuple[Child, ...]:
        servers = (*self.nodes, *self.databases, *self.redis, *self.sentinels, self.mongodb)
        return (*servers, *self.webs, *self.workers)

    def start(self, child: Child) -> None:
        self.down.discard(child.name)
        if isinstance(child, (App, Sentinel)):
            child.start()
        elif isinstance(child, Server):
            child.start(READY_WITHIN)

    def kill(self, child: Child) -> None:
        """`kill -9` of a process and all that it started; it stays down until it is started."""
        self.down.add(child.name)
        child.kill()

    def restart(self, child: Child) -> None:
        """Ask a process to end, wait, and start it again, as an upgrade does."""
        self.down.add(child.name)
        child.stop()
        self.start(child)

    # -- hosts

    def isolate(self, hosts: Iterable[str]) -> None:
        """Let nothing through between these hosts and the others. We still reach all of them."""
        some = set(hosts)
        self.bridge.part(some, set(HOSTS) - some)

    def fail_over(self) -> None:
        """Make the standby of PostgreSQL the primary; the old one is dead."""
        assert not self.primary.alive
        self.promote_standby()

    def promote_standby(self) -> None:
        """Make the standby of PostgreSQL the primary, whatever the old one does."""
        self.standby.promote()
        self.primary = self.standby

    def rejoin(self) -> None:
        """Make the old primary a standby of the new one, and wait for it again."""
        self.down.discard(self.standby.name)
        self.standby.follow(self.primary)
        self.primary.wait_for_standby(wanted=True)

    @property
    def standby(self) -> Replicated:
        return self.databases[1] if self.primary is self.databases[0] else self.databases[0]

    # -- what can be seen

    def straight(self) -> dict[str, str]:
        several = {
            "RABBITMQ_HOST": ",".join(node.host for node in self.nodes),
            "RABBITMQ_MANAGEMENT_URL": ",".join(
                node.environment()["RABBITMQ_MANAGEMENT_URL"] for node in self.nodes
            ),
            # The one that counts first: with two primaries we reach both.
            "POSTGRES_HOST": f"{self.primary.host},{self.standby.host}",
            "REDIS_SENTINELS": ",".join(
                f"{self.addresses[host]}:{SENTINEL_PORT}" for host in ("r1", "r2", "m")
            ),
            "REDIS_MASTER": MASTER,
        }
        servers = (self.nodes[0], self.primary, self.redis[0], self.mongodb)
        return {name: value for one in servers for name, value in one.environment().items()} | several

    def spools(self) -> list[Path]:
        return [self.spool_of(web) for web in self.webs]

    def spool_of(self, web: Child) -> Path:
        return self.state_dir / f"spool-{web.name}"

    def reconcile(self, witness: Path, *options: str) -> dict[str, object]:
        """Ask the product's auditor, as an operator would: with what waits on each host of a web."""
        lists = []
        for web in self.webs:
            lists.append(self.state_dir / f"{web.name}.ids")
            spool = {"SPOOL_DIR": str(self.spool_of(web))}
            lists[-1].write_text(self.run("manage.py", "spooled", environment=spool))
        return super().reconcile(witness, *(f"--spooled={path}" for path in lists), *options)

    def is_ready(self) -> bool:
        """Whether every web sees nothing wrong."""
        return all(self._says(web) == "ready" for web in self.webs)

    def _says(self, web: Child) -> str:
        with suppress(httpx.HTTPError, ValueError):
            url = f"http://{self.addresses[web.name]}:{WEB_PORT}/readyz"
            return str(httpx.get(url, timeout=5, trust_env=False).json()["status"])
        return ""

    def queue(self) -> dict[str, Any]:
        """What the first node that answers tells of the live queue; nothing if none does."""
        for node in self.nodes:
            of = node.environment()
            login = (of["RABBITMQ_USER"], of["RABBITMQ_PASSWORD"])
            url = f"{of['RABBITMQ_MANAGEMENT_URL']}/api/queues/{of['RABBITMQ_VHOST']}/{QUEUE}"
            with suppress(httpx.HTTPError, ValueError):
                told = httpx.get(url, auth=login, timeout=3, trust_env=False)
                if told.status_code == httpx.codes.OK:
                    return dict(told.json())
        return {}

    def queued(self) -> int | None:
        """Messages that are not acknowledged, whether a worker has them or not; None while nobody can tell."""
        told = self.queue()
        return int(told["messages"]) if "messages" in told else None

    def leader(self) -> Node:
        """The node that leads the live queue; the first one if nobody tells."""
        name = self.queue().get("leader")
        return next((node for node in self.nodes if node.node == name), self.nodes[0])

    def redis_primary(self) -> str:
        """The name of the host whose Redis the Sentinels call the primary."""
        for host in ("r1", "r2", "m"):
            with (
                suppress(Exception),
                Redis(self.addresses[host], SENTINEL_PORT, socket_timeout=2) as sentinel,
            ):
                address = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)[0]
                return next(name for name, one in self.addresses.items() if one == str(address, "ascii"))
        return "r1"

    def log_of(self, children: Sequence[Child]) -> str:
        """What these processes have said so far."""
        return "".join(child.log.read_text(errors="replace") for child in children if child.log.exists())

    # -- how it is put up

    def _app(self, host: str, patience: float, arguments: Sequence[str]) -> Piped:
        app = Piped(host, self.state_dir, list(arguments), patience)
        app.inside = inside(host)
        app.environment = self.usual_settings() | self.straight()
        app.environment |= {
            "BIND": self.addresses[host],
            "PORT": str(WEB_PORT),
            "SPOOL_DIR": str(self.spool_of(app)),
            # As each group that RabbitMQ confirms: what is wrong with the spool shows here too.
            "SPOOL_SHARE": "0.1",
            "TRUSTED_PROXIES": HERE,
            "WEB_CONCURRENCY": "2",
        }
        return app
