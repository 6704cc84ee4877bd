"""The product as a person starts it: one process, two addresses, one state directory. No product code."""

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pymongo
import redis

ROOT = Path(__file__).resolve().parent.parent
REGISTER = "/api/register/"
CAMPAIGN = "https://campaign.example"

_numbers = itertools.count(1)


def new_phone() -> str:
    """A number that no other test uses."""
    return f"0912{next(_numbers):07}"


def new_sender() -> str:
    """An address that no other test sends from."""
    number = next(_numbers)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def eventually(condition: Any, within: float = 15.0) -> Any:
    """Return the condition's value once it holds; fail if it does not in time (seconds)."""
    end = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < end, f"it did not happen in {within:.0f} s"
        time.sleep(0.05)
    return value


class Stack:
    """`python -m local.stack` and what can be seen of it from outside."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.output = state_dir / "output"
        self.port, self.flower_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Another site, whose pages may call the API.
        self.host_port = free_port()
        self.host = f"http://127.0.0.1:{self.host_port}"
        self.is_disturbed = False
        self.http = httpx.Client(base_url=self.url, timeout=20, trust_env=False)

    # -- from start to end

    def start(self) -> None:
        environment = self.shell | {
            "PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "RATE_LIMIT": "10/minute",
            "HTTPS": "off",
            "TRUSTED_PROXIES": "127.0.0.1",
            "CORS_ALLOWED_ORIGINS": f"{CAMPAIGN},{self.host}",
            "WEB_CONCURRENCY": "2",
            # The machine of the tests is busy with the tests: its pauses are no outages.
            "REDIS_TIMEOUT": "0.5",
            "PUBLISH_TIMEOUT": "2",
            # Which of its two homes a registration takes first is not for a test to know, unless it says so.
            "SPOOL_SHARE": self.shell.get("SPOOL_SHARE", "0.3"),
        }
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local.stack"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(self._is_up, within=100)

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        return "Try it:" in self.output.read_text()

    def interrupt(self) -> int:
        """Do what Ctrl-C does, and return the exit status."""
        self.http.close()
        if "mongo" in vars(self):
            self.mongo.client.close()
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill(self.process.pid, *self.processes())
            raise

    @property
    def shell(self) -> dict[str, str]:
        """The environment of somebody who has exported nothing but STATE_DIR."""
        kept = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH")
        return {name: os.environ[name] for name in kept if name in os.environ} | {
            "STATE_DIR": str(self.state_dir)
        }

    def manage(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        return subprocess.run(
            command, env=self.shell, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )

    # -- over HTTP

    def register(self, phone: str = "", sender: Any = "", headers: Any = None) -> httpx.Response:
        return self.http.post(
            REGISTER,
            json={"phone_number": phone or new_phone()},
            headers={"X-Forwarded-For": sender or new_sender(), **(headers or {})},
        )

    def status_of(self, task_id: str) -> str:
        return self.http.get(f"{REGISTER}{task_id}/").json().get("status")

    def registered(self, phone: str = "", headers: Any = None) -> str:
        """Register, wait until it is stored, and return the id."""
        answer = self.register(phone, headers=headers)
        assert answer.status_code == 202, answer.text
        task_id = answer.json()["task_id"]
        eventually(lambda: self.status_of(task_id) == "Registered")
        eventually(lambda: self.document(task_id))
        return task_id

    def ready(self) -> dict:
        return self.http.get("/readyz", headers={"Connection": "close"}).json()

    def is_well(self) -> bool:
        """Whether Flower is up and both web processes, as far as eight connections meet both, see nothing wrong."""
        try:
            self.flower("/healthcheck").raise_for_status()
            return all(self.ready()["status"] == "ready" for _ in range(8))
        except httpx.TransportError:
            return False

    def recover(self) -> None:
        """Wait until all is well after what a test has done to a process."""
        if self.is_disturbed:
            eventually(self.is_well, within=40)
            self.is_disturbed = False

    def flower(self, path: str, **options: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{self.flower_port}{path}"
        return httpx.get(url, timeout=20, trust_env=False, **options)

    @property
    def flower_login(self) -> tuple[str, str]:
        return self.settings["FLOWER_USER"], self.settings["FLOWER_PASSWORD"]

    def raw(self, data: bytes, silence: Any = 1.5) -> bytes:
        """Send bytes as they are, and return what comes back until the end or a silence (seconds)."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=silence) as connection:
            connection.sendall(data)
            received = b""
            try:
                while more := connection.recv(65536):
                    received += more
            except (TimeoutError, ConnectionResetError):
                pass
        return received

    # -- in the stores

    @cached_property
    def settings(self) -> dict[str, str]:
        lines = (self.state_dir / "stack.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def rows(self, query: str, *values: Any) -> list[tuple]:
        login = {
            name: self.settings[f"POSTGRES_{name.upper()}"] for name in ("host", "port", "user", "password")
        }
        with psycopg.connect(**login, dbname=self.settings["POSTGRES_DB"], connect_timeout=5) as connection:
            return connection.execute(query, values).fetchall()

    def accepts_sql(self) -> bool:
        try:
            return self.rows("SELECT 1") == [(1,)]
        except psycopg.OperationalError:
            return False

    def count(self, query: str, *values: Any) -> int:
        return self.rows(f"SELECT count(*) FROM {query}", *values)[0][0]

    def submissions_of(self, phone: str) -> int:
        return self.count(
            "landing_submission JOIN landing_registration r ON r.id = registration_id WHERE phone_number = %s",
            phone,
        )

    @cached_property
    def mongo(self) -> pymongo.database.Database:
        login = {"username": self.settings["MONGODB_USER"], "password": self.settings["MONGODB_PASSWORD"]}
        client: pymongo.MongoClient[Any] = pymongo.MongoClient(
            self.settings["MONGODB_HOST"], int(self.settings["MONGODB_PORT"]), **login
        )
        return client[self.settings["MONGODB_DB"]]

    def document(self, request_id: str) -> dict | None:
        return self.mongo["request_logs"].find_one({"_id": request_id})

    def forget_limit(self, sender: str) -> None:
        """Let a sender register as if it had not before."""
        login = {name: self.settings[f"REDIS_{name.upper()}"] for name in ("host", "port", "password")}
        with redis.Redis(**login) as store:
            store.delete(f"limit:{sender}")

    def dead_letters(self) -> int:
        """Messages that were put aside, as RabbitMQ itself counts them (some seconds late)."""
        url = f"{self.settings['RABBITMQ_MANAGEMENT_URL']}/api/queues/{self.settings['RABBITMQ_VHOST']}"
        login = (self.settings["RABBITMQ_USER"], self.settings["RABBITMQ_PASSWORD"])
        queue = httpx.get(f"{url}/registrations.dead", auth=login, trust_env=False, timeout=20)
        return queue.raise_for_status().json().get("messages", 0)

    def log_lines(self, name: str) -> list[str]:
        return (self.state_dir / "logs" / f"{name}.log").read_text().splitlines()

    def events(self, name: str) -> list[dict]:
        return [json.loads(line) for line in self.log_lines(name) if line.startswith("{")]

    # -- its processes

    def processes(self) -> list[int]:
        """Every process that carries the state directory in its environment, arguments or place."""
        mine = str(self.state_dir)
        return [pid for pid in _all_pids() if pid != os.getpid() and mine in _traces_of(pid)]

    def leader(self, name: str) -> int:
        """The process that the supervisor has started under this name, 0 if there is none."""
        mark = f"BREAKWATER_CHILD={name}\0"
        children = children_of(self.process.pid)
        return next((pid for pid in children if mark in _read(pid, "environ")), 0)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Freeze a server and all its processes, and let it go on at the end."""
        pids = family_of(self.leader(name))
        self.signal(*pids, number=signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(*pids, number=signal.SIGCONT)

    def kill(self, *pids: int) -> None:
        """`kill -9`."""
        self.signal(*pids, number=signal.SIGKILL)

    def signal(self, *pids: int, number: int) -> None:
        assert all(pid > 1 for pid in pids), "nothing runs under this name"  # 0 would be the tests themselves
        self.is_disturbed = True
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def family_of(pid: int) -> list[int]:
    """A process, then all its descendants."""
    return [pid, *(heir for child in children_of(pid) for heir in family_of(child))]


def children_of(pid: int) -> list[int]:
    return [child for child in _all_pids() if _parent_of(child) == pid]


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent_of(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields and fields[0] != "Z" else 0


def _traces_of(pid: int) -> str:
    try:
        place = str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        place = ""
    return "\0".join((place, _read(pid, "cmdline"), _read(pid, "environ")))


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""


def free_port() -> int:
    """A port below the system's range for outgoing connections, and whatever seed the tests run with."""
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
