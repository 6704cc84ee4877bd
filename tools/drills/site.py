"""The product on trial: its servers behind proxies, its processes, its disks, and what can be seen of them."""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import amqp
import psycopg
import redis

from local import servers, state
from local.processes import Child, end, leftovers, open_log
from local.servers import Server, ServerFailed, Valkey
from local.stack import App
from tools import visits
from tools.drills import room
from tools.drills.disks import Disk
from tools.drills.proxy import Link, Network

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
FAILING_DISK = Path(__file__).with_name("failing_disk.c")
READY_WITHIN = 60.0
QUEUE = "registrations"

# Sparse: only what is written takes room. RabbitMQ's free-space alarm is at 200 MB.
DISKS = {"postgres": 3000, "rabbitmq": 1500, "spool": 300}

# PORT in the product's environment -> our server.
LINKED = {
    "POSTGRES_PORT": "postgres",
    "RABBITMQ_PORT": "rabbitmq",
    "REDIS_PORT": "redis",
    "MONGODB_PORT": "mongodb",
}


class SiteFailed(Exception):
    """The product does not run or does not come back; the message is for a person."""


class Site:
    """Everything that one drill needs, in a directory of its own."""

    def __init__(self, state_dir: Path) -> None:
        end(leftovers(state_dir.resolve()), patience=5)
        shutil.rmtree(state_dir, ignore_errors=True)
        self.state_dir = state.open_dir(state_dir)
        self.disks = self._make_disks()
        self.port = self._free_port(())
        self.down: set[str] = set()
        self.restarts: dict[str, int] = {}
        self.complaints: list[str] = []
        self.servers = servers.start(self.state_dir)
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
        for app in (self.web, self.worker):
            self.start(app)
        self.wait_for(self.is_ready, READY_WITHIN, "/readyz")

    def close(self) -> None:
        """End everything at once and remove the disks; the logs stay."""
        for app in (self.web, self.worker):
            app.kill()
        self.servers.stop()
        end(leftovers(self.state_dir), patience=2)
        for disk in self.disks.values():
            disk.unmount()
            disk.image.unlink(missing_ok=True)

    def child(self, name: str) -> Child:
        """One of our processes by name."""
        return next(child for child in self.children if child.name == name)

    @property
    def children(self) -> tuple[Server | App, ...]:
        return (*self.servers.all, self.web, self.worker)

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

    def wait(self, seconds: float) -> None:
        """Let time pass, and do a supervisor's work meanwhile: start again what has ended by itself."""
        until = time.monotonic() + seconds
        while True:
            self._look_after()
            if (left := until - time.monotonic()) <= 0:
                return
            time.sleep(min(0.2, left))

    def wait_for(self, condition: Callable[[], bool], within: float, what: str) -> None:
        """Wait for something; SiteFailed if it does not come."""
        until = time.monotonic() + within
        while not condition():
            if time.monotonic() > until:
                raise SiteFailed(f"{what}: not in {within:.0f} s (logs: {self.state_dir / 'logs'})")
            self.wait(0.1)

    def _look_after(self) -> None:
        for child in self.children:
            if child.alive or child.name in self.down:
                continue
            self.restarts[child.name] = self.restarts.get(child.name, 0) + 1
            with contextlib.suppress(ServerFailed):  # the next look tries again
                self.start(child)

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
        photographs = {disk: disk.photograph() for disk in self.disks.values()}
        for server in self.servers.all:
            self.kill(server)
        for disk, photograph in photographs.items():
            disk.unmount()
            disk.replace(photograph)
            disk.mount()

    # -- commands

    def manage(self, *arguments: str, statuses: Sequence[int] = (0,), within: float = 180) -> str:
        """Run a command of the product, on the straight way to the servers, and return what it prints."""
        return self.run("manage.py", *arguments, statuses=statuses, within=within)

    def run(self, *arguments: str, statuses: Sequence[int] = (0,), within: float = 180) -> str:
        """Run Python in the same way."""
        done = subprocess.run(  # noqa: S603  our own command
            [sys.executable, *arguments],
            env=self.settings | self.servers.environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        if done.returncode not in statuses:
            raise SiteFailed(f"{' '.join(arguments)} failed:\n{done.stderr[-800:]}")
        return done.stdout

    def declare_queues(self) -> None:
        """Make the queues, and let RabbitMQ write them down.

        A node of 3.10 that is killed within two seconds of a declaration has forgotten the queue.
        """
        self.manage("declare_queues")
        self.servers.rabbitmq.ctl("eval", "[dets:sync(T) || T <- dets:all()].")

    def reconcile(self, witness: Path) -> dict[str, object]:
        """Ask the product's auditor what is lost, duplicated or unexpected."""
        told = self.manage("reconcile", "--accepted", str(witness), "--json", statuses=(0, 1), within=600)
        report: dict[str, object] = json.loads(told.strip().splitlines()[-1])
        return report

    # -- what can be seen

    def is_ready(self) -> bool:
        """Whether the web server sees nothing wrong."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://{HOST}:{self.port}/readyz"
        with contextlib.suppress(OSError, ValueError), direct.open(url, timeout=5) as answer:
            return bool(json.load(answer)["status"] == "ready")
        return False

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement; it commits at once."""
        login = self.servers.environment()
        with psycopg.connect(
            host=HOST,
            port=login["POSTGRES_PORT"],
            user=login["POSTGRES_USER"],
            password=login["POSTGRES_PASSWORD"],
            dbname=login["POSTGRES_DB"],
            connect_timeout=2,
            autocommit=True,
            options="-c default_transaction_read_only=off -c statement_timeout=5000",
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def stored(self) -> int | None:
        """A number that grows with each new phone that is stored; None while nobody can tell."""
        with contextlib.suppress(psycopg.Error):
            ((number,),) = self.sql("SELECT coalesce(max(id), 0) FROM landing_registration")
            assert isinstance(number, int)
            return number
        return None

    def parked(self) -> int | None:
        """Documents that wait in PostgreSQL for MongoDB; None while nobody can tell."""
        with contextlib.suppress(psycopg.Error):
            ((number,),) = self.sql("SELECT count(*) FROM landing_parked_log")
            assert isinstance(number, int)
            return number
        return None

    def queued(self) -> int | None:
        """Messages that no worker has yet; None while nobody can tell."""
        with contextlib.suppress(OSError, amqp.exceptions.AMQPError), self.broker() as connection:
            told = connection.channel().queue_declare(QUEUE, passive=True)
            return int(told[1]) if told else None
        return None

    def broker(self) -> amqp.Connection:
        """Connect to RabbitMQ on the straight way."""
        login = self.servers.environment()
        connection = amqp.Connection(
            f"{HOST}:{login['RABBITMQ_PORT']}",
            login["RABBITMQ_USER"],
            login["RABBITMQ_PASSWORD"],
            virtual_host=login["RABBITMQ_VHOST"],
            connect_timeout=2,
            read_timeout=2,
        )
        connection.connect()
        return connection

    def accepted(self) -> int:
        """How many registrations visitors have seen accepted so far."""
        return (self.state_dir / "accepted.ids").stat().st_size // len(f"{UUID(int=0)}\n")

    def redis(self, server: Valkey) -> "redis.Redis":
        """Connect to one of our Redis servers on the straight way."""
        login = server.environment()
        return redis.Redis(HOST, int(login["REDIS_PORT"]), password=login["REDIS_PASSWORD"], socket_timeout=5)

    def spare_redis(self) -> Valkey:
        """Prepare a second Redis, of which the product's processes know nothing."""
        of = self.servers.redis
        ports = replace(of.ports, redis=self._free_port({self.port}))
        return Valkey("redis-spare", self.state_dir, ports, of.passwords)

    def spooled(self) -> int:
        total = 0
        for path in (self.state_dir / "spool").glob("*.spool"):
            address = f"{path.as_uri()}?mode=ro"
            with (
                contextlib.suppress(sqlite3.Error),
                contextlib.closing(sqlite3.connect(address, uri=True)) as database,
            ):
                total += database.execute("SELECT count(*) FROM spool").fetchone()[0]
        return total

    # -- how it is put up

    def _make_disks(self) -> dict[str, Disk]:
        if room.no_disks():
            return {}
        return {name: Disk(self.state_dir / name, megabytes) for name, megabytes in DISKS.items()}

    def _make_links(self) -> dict[str, Link]:
        network, taken, links = Network(), {self.port}, {}
        addresses = self.servers.environment()
        for variable, name in LINKED.items():
            front = self._free_port(taken)
            taken.add(front)
            links[name] = Link(network, front, int(addresses[variable]))
        return links

    def _settings(self) -> dict[str, str]:
        """What the product's processes see: nothing of the caller's but the path."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.state_dir / "tmp"),
            "STATE_DIR": str(self.state_dir),
            "SECRET_KEY": state.load_secrets(self.state_dir)["SECRET_KEY"],
            "PYTHONUNBUFFERED": "1",
            "HTTPS": "off",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "2",
            "SPOOL_DIR": str(self.state_dir / "spool"),
            # On, so that Redis is on the way of each request, and out of reach.
            "RATE_LIMIT": "100000/minute",
            "CORS_ALLOWED_ORIGINS": visits.ORIGIN,
            # Every second group takes the spool, so that what is wrong with it shows while RabbitMQ is well.
            "SPOOL_SHARE": "0.5",
            "LD_PRELOAD": self.preloaded,
            "FAILING_DISK": str(self.state_dir / "spool"),
            "FAILING_DISK_FLAG": str(self.disk_flag),
            "TRUSTED_PROXIES": HOST,
            **self.servers.environment(),
            **{variable: str(self.links[name].front) for variable, name in LINKED.items()},
        }

    def _app(self, name: str, patience: float, *arguments: str) -> "Piped":
        return Piped(name, self.state_dir, list(arguments), patience)

    def _free_port(self, taken: "set[int] | tuple[()]") -> int:
        while True:
            port = random.choice(state.PORT_RANGE)  # noqa: S311  not secret
            if port not in taken and state.is_free(port):
                return port


class Piped(App):
    """A process whose output goes through a pipe, as a container's does, whose reader may stall.

    is_read: cleared, nobody reads the pipe any more.
    """

    def __init__(self, name: str, state_dir: Path, arguments: list[str], patience: float) -> None:
        super().__init__(name, state_dir, arguments, patience)
        self.is_read = threading.Event()
        self.is_read.set()

    def output(self) -> BinaryIO:
        """Open the pipe, and let it be read until its writers have gone."""
        reader, writer = os.pipe()
        threading.Thread(target=self._read, args=[reader], name=f"{self.name}-log", daemon=True).start()
        return os.fdopen(writer, "wb")

    def _read(self, pipe: int) -> None:
        with os.fdopen(pipe, "rb", buffering=0) as source, open_log(self.log) as log:
            while self.is_read.wait() and (data := source.read(65536)):
                log.write(data)
                log.flush()


class Load:
    """The visitors' process and its files."""

    def __init__(self, site: Site, rate: float, seed: int) -> None:
        self.answers, self.accepted = site.state_dir / "answers.jsonl", site.state_dir / "accepted.ids"
        self._child = Child("visitors", site.state_dir)
        arguments = [str(site.port), str(rate), str(seed), str(site.state_dir)]
        command = [sys.executable, "-m", "tools.drills.load", *arguments]
        self._child.spawn(command, {"PATH": os.environ.get("PATH", os.defpath)}, cwd=ROOT)

    @property
    def alive(self) -> bool:
        return self._child.alive

    def stop(self) -> None:
        """Let no more come, and wait for the answers to those who are there."""
        self._child.stop(20)


def signal_all(child: Child, number: signal.Signals) -> None:
    """Signal a process and all that it started."""
    for process in child.family():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
