"""The servers that all contenders share, and the processes of the one that is on."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import amqp
import psycopg
import pymongo
import redis
from psycopg import sql

from local import servers, state
from local.processes import Child, end, leftovers
from tools.bench import phones
from tools.bench.contenders import BY_NAME, OURS, Command, Contender

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
READY_WITHIN = 40.0
STILL = 20.0
"""Seconds without progress after which nothing more is expected to be stored."""


class StageFailed(Exception):
    """Something did not start or never finished; the message is for a person."""


class Stage:
    """One set of servers in a directory of its own, emptied for each turn."""

    def __init__(self, state_dir: Path) -> None:
        """Start the servers on empty directories."""
        end(leftovers(state_dir.resolve()), patience=5)
        shutil.rmtree(state_dir, ignore_errors=True)
        self.state_dir = state.open_dir(state_dir)
        self.servers = servers.start(self.state_dir)
        self.variables = self.servers.environment()
        self.secret = state.load_secrets(self.state_dir)["SECRET_KEY"]
        self.page = self.state_dir / "tmp" / "page.html.gz"
        self._prepared: set[tuple[str, str]] = set()

    def close(self) -> None:
        """Stop the servers and remove their data."""
        self.servers.stop()
        end(leftovers(self.state_dir), patience=2)
        shutil.rmtree(self.state_dir, ignore_errors=True)

    @contextlib.contextmanager
    def web(self, contender: Contender, database: str = "") -> Iterator["Web"]:
        """Run a contender's web server, on empty stores."""
        database = database or database_of(contender)
        self.prepare(contender, database)
        web = Web(self, contender, database, free_port())
        try:
            web.start()
            yield web
        finally:
            web.child.stop(8)

    @contextlib.contextmanager
    def worker(self, contender: Contender, database: str = "") -> Iterator[Child]:
        """Run a contender's workers. It ends them at once: call it off only when all is stored."""
        child = Child(f"{contender.name}-worker", self.state_dir)
        try:
            self.spawn(child, contender.worker, contender, database or database_of(contender))
            yield child
        finally:
            child.kill()

    def prepare(self, contender: Contender, database: str) -> None:
        """Make the contender's database and queue, the first time."""
        if (contender.name, database) in self._prepared:
            return
        with self.sql("postgres") as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
            if not known:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        if contender.queue and contender.name != OURS:
            self._declare_dead(f"{contender.queue}.dead")
        for command in contender.prepare:
            self.run(command, contender, database)
        self._prepared.add((contender.name, database))

    def run(self, command: Command, contender: Contender, database: str = "") -> str:
        """Run one command of a contender to its end and return what it printed."""
        done = subprocess.run(  # noqa: S603  our own command
            [sys.executable, "-m", *command],
            env=self.environment(contender, database or database_of(contender)),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise StageFailed(f"{contender.title}: {' '.join(command)} failed:\n{done.stderr[-800:]}")
        return done.stdout

    def spawn(
        self, child: Child, command: Command, contender: Contender, database: str, port: int = 0
    ) -> None:
        """Start a long-lived process of a contender."""
        environment = self.environment(contender, database) | {"PORT": str(port)}
        child.spawn([sys.executable, "-m", *command], environment, cwd=ROOT)

    def environment(self, contender: Contender, database: str) -> dict[str, str]:
        """What a contender's processes see: nothing of the caller's but the path."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.state_dir / "tmp"),
            "STATE_DIR": str(self.state_dir),
            "SECRET_KEY": self.secret,
            **self.variables,
            "POSTGRES_DB": database,
            "MONGODB_DB": database_of(contender),
            "BENCH_QUEUE": contender.queue,
            "BENCH_PAGE": str(self.page) if self.page.exists() else "",
            **contender.environment,
        }

    def sql(self, database: str) -> "psycopg.Connection[tuple[Any, ...]]":
        """Open a connection of which each statement commits."""
        v = self.variables
        return psycopg.connect(
            host=v["POSTGRES_HOST"],
            port=v["POSTGRES_PORT"],
            user=v["POSTGRES_USER"],
            password=v["POSTGRES_PASSWORD"],
            dbname=database,
            autocommit=True,
        )

    def mongo(self) -> "pymongo.MongoClient[dict[str, Any]]":
        v = self.variables
        return pymongo.MongoClient(
            v["MONGODB_HOST"],
            int(v["MONGODB_PORT"]),
            username=v["MONGODB_USER"],
            password=v["MONGODB_PASSWORD"],
        )

    def redis(self) -> "redis.Redis":
        return redis.Redis(HOST, int(self.variables["REDIS_PORT"]), password=self.variables["REDIS_PASSWORD"])

    def keep_page(self) -> None:
        """Keep the product's landing page, compressed, for the peers to serve, unless that was done."""
        if self.page.exists():
            return
        with self.web(BY_NAME[OURS]) as web:
            site = HTTPConnection(HOST, web.port, timeout=10)
            with contextlib.closing(site):
                site.request("GET", "/fa/", headers={"Accept-Encoding": "gzip"})
                self.page.write_bytes(site.getresponse().read())

    def purge(self, queue: str) -> None:
        """Empty a queue and Redis."""
        with self._channel() as channel, contextlib.suppress(amqp.exceptions.NotFound):
            channel.queue_purge(queue)
        with self.redis() as client:
            client.flushall()

    def broker_megabytes(self) -> float:
        return max((process.memory_info().rss / 1e6 for process in self.servers.rabbitmq.family()), default=0)

    def management(self, path: str) -> Any:
        v = self.variables
        login = b64encode(f"{v['RABBITMQ_USER']}:{v['RABBITMQ_PASSWORD']}".encode()).decode()
        api = HTTPConnection(v["RABBITMQ_MANAGEMENT_URL"].partition("://")[2], timeout=5)
        with contextlib.closing(api):
            api.request("GET", f"/api/{path}", headers={"Authorization": f"Basic {login}"})
            return json.load(api.getresponse())

    @contextlib.contextmanager
    def _channel(self) -> Iterator[amqp.Channel]:
        v = self.variables
        with amqp.Connection(
            f"{HOST}:{v['RABBITMQ_PORT']}",
            v["RABBITMQ_USER"],
            v["RABBITMQ_PASSWORD"],
            virtual_host=v["RABBITMQ_VHOST"],
        ) as connection:
            yield connection.channel()

    def _declare_dead(self, name: str) -> None:
        with self._channel() as channel:
            channel.exchange_declare(name, "direct", durable=True, auto_delete=False)
            channel.queue_declare(name, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
            channel.queue_bind(name, name, name)


class Web:
    """A contender's web server."""

    def __init__(self, stage: Stage, contender: Contender, database: str, port: int) -> None:
        self.stage = stage
        self.contender = contender
        self.database = database
        self.port = port
        self.child = Child(f"{contender.name}-web", stage.state_dir)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"

    def start(self) -> None:
        """Start it and wait until a registration is taken."""
        self.stage.spawn(self.child, self.contender.web, self.contender, self.database, self.port)
        until = time.monotonic() + READY_WITHIN
        while not (answer := self.register()):
            if not self.child.alive or time.monotonic() > until:
                last = self.child.last_log_line()
                raise StageFailed(f"{self.contender.title} did not start: {last} (log: {self.child.log})")
            time.sleep(0.05)
        if not 200 <= answer < 300:
            raise StageFailed(f"{self.contender.title} answers {answer} (log: {self.child.log})")

    def register(self) -> int:
        """Register one phone number; return the status, 0 if there is no answer."""
        body = json.dumps({"phone_number": phones.spelled(phones.take(1))})
        site = HTTPConnection(HOST, self.port, timeout=10)
        with contextlib.closing(site), contextlib.suppress(OSError, HTTPException):
            site.request("POST", "/api/register/", body, {"Content-Type": "application/json"})
            return site.getresponse().status
        return 0


class Stored:
    """How much of a contender's work is in both databases, counted from now on."""

    def __init__(self, stage: Stage, contender: Contender, database: str = "") -> None:
        self._rows = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(contender.rows))
        self._ids = sql.SQL("SELECT coalesce(max(id), 0) FROM {}").format(sql.Identifier(contender.ids))
        self._sql = stage.sql(database or database_of(contender))
        self._mongo = stage.mongo()
        self._documents = self._mongo[database_of(contender)][contender.documents]
        self._before = self._number(self._ids)
        self._before_in_both = self._in_both()

    def __enter__(self) -> "Stored":
        return self

    def __exit__(self, *_: object) -> None:
        self._sql.close()
        self._mongo.close()

    def rows(self) -> int:
        """Registrations since the beginning, by their serial numbers: a count of millions would be a load."""
        return self._number(self._ids) - self._before

    def wait(self, expected: int, deadline: float) -> list[tuple[float, int]]:
        """Wait until there are that many rows; return what was there when.

        The documents follow each batch of rows within the same task; `confirm` counts them afterwards,
        since counting slows the MongoDB stand-in down.
        """
        seen: list[tuple[float, int]] = []
        until = time.monotonic() + deadline
        while not seen or seen[-1][1] < expected:
            seen.append((time.perf_counter(), self.rows()))
            if time.monotonic() > until or _still(seen):
                raise StageFailed(f"only {seen[-1][1]} of {expected} were stored")
            time.sleep(0.05)
        return seen

    def confirm(self, expected: int) -> None:
        """Make sure, by counting, that so many are in both databases."""
        until = time.monotonic() + STILL
        while True:
            rows, documents = (
                now - before for now, before in zip(self._in_both(), self._before_in_both, strict=True)
            )
            if min(rows, documents) >= expected:
                return
            if time.monotonic() > until:
                raise StageFailed(f"of {expected} there are {rows} rows and {documents} documents")
            time.sleep(0.3)

    def _in_both(self) -> tuple[int, int]:
        return self._number(self._rows), self._documents.estimated_document_count()

    def _number(self, query: sql.Composed) -> int:
        row = self._sql.execute(query).fetchone()
        assert row
        return int(row[0])


def database_of(contender: Contender) -> str:
    """The name of a contender's databases."""
    return f"bench_{contender.name}"


def empty(stage: Stage, contender: Contender) -> None:
    """Empty a contender's queue and both its databases."""
    if contender.queue:
        stage.purge(contender.queue)
    if contender.rows:
        with stage.sql(database_of(contender)) as connection:
            connection.execute(
                sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(sql.Identifier(contender.ids))
            )
    if contender.documents:
        with stage.mongo() as client:
            client[database_of(contender)][contender.documents].drop()


def _still(seen: list[tuple[float, int]]) -> bool:
    recent = [count for moment, count in seen if moment > seen[-1][0] - STILL]
    return seen[-1][0] - seen[0][0] > STILL and recent[0] == recent[-1]


def free_port() -> int:
    """Choose a port below the range for outgoing connections (see local/state.py)."""
    while True:
        port = random.choice(state.PORT_RANGE)  # noqa: S311  not secret
        if state.is_free(port):
            return port
