"""What every drill stands on: processes that are looked after, and what can be seen of the product."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import amqp
import psycopg

from local import state
from local.processes import Child, open_log
from local.servers import ServerFailed
from local.stack import App
from tools import visits

ROOT = Path(__file__).resolve().parents[2]
LANDING_DIR = Path(__file__).with_name("landing")
HOST = "127.0.0.1"
READY_WITHIN = 60.0
QUEUE, CODES_QUEUE = "registrations", "confirmations"


class SiteFailed(Exception):
    """The product does not run or does not come back; the message is for a person."""


class Ground:
    """The product on trial, wherever its processes run.

    port: where visitors come in. gateway_port: where their phones are reached; receiver_port: where a webhook goes; 0:
    there is no courier. settings: what the product's processes see. down: the names of those that a fault has ended.
    restarts: how often each was started again. complaints: what faults have found missing. notes: what they have
    measured beside the visitors' answers. erased: the phone numbers of people who were erased, and when.
    """

    def __init__(self, state_dir: Path, port: int) -> None:
        self.state_dir = state_dir
        self.port = port
        self.gateway_port = self.receiver_port = 0
        self.settings: dict[str, str] = {}
        self.down: set[str] = set()
        self.restarts: dict[str, int] = {}
        self.complaints: list[str] = []
        self.notes: list[str] = []
        self.erased: dict[str, object] = {}

    @property
    def children(self) -> tuple[Child, ...]:
        """All processes, servers first."""
        raise NotImplementedError

    def start(self, child: Child) -> None:
        raise NotImplementedError

    def straight(self) -> dict[str, str]:
        """The settings that lead to the servers without anything that misbehaves in between."""
        raise NotImplementedError

    def spools(self) -> list[Path]:
        """The directories of spools."""
        return [self.state_dir / "spool"]

    def usual_settings(self) -> dict[str, str]:
        """What the product's processes see everywhere: nothing of the caller's but the path."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.state_dir / "tmp"),
            "STATE_DIR": str(self.state_dir),
            "SECRET_KEY": state.load_secrets(self.state_dir)["SECRET_KEY"],
            "PYTHONUNBUFFERED": "1",
            "HTTPS": "off",
            "WEB_CONCURRENCY": "2",
            # On, so that Redis is on the way of each request, and out of reach.
            "RATE_LIMIT": "100000/minute",
            "CORS_ALLOWED_ORIGINS": visits.ORIGIN,
            "LANDING_DIR": str(LANDING_DIR),
        }

    def child(self, name: str) -> Child:
        """One of our processes by name."""
        return next(child for child in self.children if child.name == name)

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

    def manage(self, *arguments: str, statuses: Sequence[int] = (0,), within: float = 180) -> str:
        """Run a command of the product, on the straight way to the servers, and return what it prints."""
        return self.run("manage.py", *arguments, statuses=statuses, within=within)

    def run(
        self,
        *arguments: str,
        statuses: Sequence[int] = (0,),
        within: float = 180,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run Python in the same way, with these settings beside the product's."""
        done = subprocess.run(  # noqa: S603  our own command
            [sys.executable, *arguments],
            env=self.settings | self.straight() | dict(environment or {}),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        if done.returncode not in statuses:
            raise SiteFailed(f"{' '.join(arguments)} failed:\n{done.stderr[-800:]}")
        return done.stdout

    def reconcile(self, witness: Path, *options: str) -> dict[str, object]:
        """Ask the product's auditor what is lost, duplicated or unexpected."""
        command = ["reconcile", "--accepted", str(witness), "--json", *options]
        told = self.manage(*command, statuses=(0, 1), within=600)
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
        login = self.straight()
        with psycopg.connect(
            host=login["POSTGRES_HOST"],
            port=login["POSTGRES_PORT"],
            user=login["POSTGRES_USER"],
            password=login["POSTGRES_PASSWORD"],
            dbname=login["POSTGRES_DB"],
            connect_timeout=2,
            autocommit=True,
            target_session_attrs="read-write",
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

    def numbers(self) -> tuple[object, ...]:
        """How many registrations are in the campaign with places, how many different numbers, and the last one."""
        return self.sql(
            "SELECT count(*), count(DISTINCT number), max(last_number) FROM campaigns_campaign AS campaign "
            "LEFT JOIN landing_registration ON campaign_id = campaign.id WHERE is_numbered"
        )[0]

    def parked(self) -> int | None:
        """Documents that wait in PostgreSQL for MongoDB; None while nobody can tell."""
        with contextlib.suppress(psycopg.Error):
            ((number,),) = self.sql("SELECT count(*) FROM landing_parked_log")
            assert isinstance(number, int)
            return number
        return None

    def queued(self) -> int | None:
        """Registrations' messages that no worker has yet; None while nobody can tell."""
        return self.ready_in(QUEUE)

    def ready_in(self, queue: str) -> int | None:
        """Messages of a queue that no worker has yet; None while nobody can tell."""
        with contextlib.suppress(OSError, amqp.exceptions.AMQPError), self.broker() as connection:
            told = connection.channel().queue_declare(queue, passive=True)
            return int(told[1]) if told else None
        return None

    def broker(self) -> amqp.Connection:
        """Connect to the first node of RabbitMQ that lets us in, on the straight way."""
        login = self.straight()
        failure: Exception = SiteFailed("RABBITMQ_HOST is empty")
        for host in login["RABBITMQ_HOST"].split(","):
            connection = amqp.Connection(
                f"{host}:{login['RABBITMQ_PORT']}",
                login["RABBITMQ_USER"],
                login["RABBITMQ_PASSWORD"],
                virtual_host=login["RABBITMQ_VHOST"],
                connect_timeout=2,
                read_timeout=2,
            )
            try:
                connection.connect()
            except (OSError, amqp.exceptions.AMQPError) as error:
                failure = error
            else:
                return connection
        raise failure

    def accepted(self) -> int:
        """How many registrations visitors have seen accepted so far."""
        return (self.state_dir / "accepted.ids").stat().st_size // len(f"{UUID(int=0)}\n")

    def sms_written(self) -> int:
        """A number that grows with each SMS that has come."""
        return (self.state_dir / "sms.jsonl").stat().st_size

    def spooled(self) -> int:
        total = 0
        for path in (file for spool in self.spools() for file in spool.glob("*.spool")):
            address = f"{path.as_uri()}?mode=ro"
            with (
                contextlib.suppress(sqlite3.Error),
                contextlib.closing(sqlite3.connect(address, uri=True)) as database,
            ):
                total += database.execute("SELECT count(*) FROM spool").fetchone()[0]
        return total


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

    def __init__(self, site: Ground, rate: float, seed: int) -> None:
        self.answers, self.accepted = site.state_dir / "answers.jsonl", site.state_dir / "accepted.ids"
        self._child = Child("visitors", site.state_dir)
        arguments = [str(site.port), str(rate), str(seed), str(site.state_dir), str(site.gateway_port)]
        command = [sys.executable, "-m", "tools.drills.load", *arguments]
        self._child.spawn(command, {"PATH": os.environ.get("PATH", os.defpath)}, cwd=ROOT)

    @property
    def alive(self) -> bool:
        return self._child.alive

    def stop(self) -> None:
        """Let no more come, and wait for the answers to those who are there."""
        self._child.stop(20)
