"""`make run`: the whole product on this machine, until Ctrl-C.

Ours, since honcho and its like end everything when one process ends: here a killed worker comes back, as it
does in containers, and the drills and system tests kill, freeze and restart each process by its name.

Settings: PORT (8000), FLOWER_PORT (5555), STATE_DIR (.local), and every variable of .env.example.
"""

import contextlib
import fcntl
import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from local import servers, state
from local.processes import Child, end, last_lines, leftovers
from local.servers import Server, ServerFailed, Servers

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 60.0
LONGEST_PAUSE = 30.0


class StackFailed(Exception):
    """The stack cannot run; the message tells the next step."""


class Stopped(Exception):
    """Somebody asked us to stop."""


class App(Child):
    """One of the product's own processes."""

    def __init__(self, name: str, state_dir: Path, arguments: list[str], patience: float) -> None:
        """Prepare `python -m <arguments>`, which gets this many seconds to end when asked."""
        super().__init__(name, state_dir)
        self.arguments = arguments
        self.patience = patience
        self.environment: dict[str, str] = {}

    def start(self) -> None:
        """Start the process; it is ready some time later."""
        self.spawn([sys.executable, "-m", *self.arguments], self.environment, cwd=ROOT)


class Stack:
    """The servers and the product's processes of one state directory."""

    def __init__(self, environment: Mapping[str, str], console: Console) -> None:
        """Read the settings; nothing starts yet."""
        self.caller = dict(environment)
        self.console = console
        self.port = _port("PORT", environment.get("PORT") or "8000")
        self.flower_port = _port("FLOWER_PORT", environment.get("FLOWER_PORT") or "5555")
        self.state_dir = state.open_dir(Path(environment.get("STATE_DIR") or ".local"))
        self.servers: Servers | None = None
        self.settings: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self.stopping = False
        self._status: Status | None = None
        pool, concurrency = (
            environment.get("WORKER_POOL") or "prefork",
            environment.get("WORKER_CONCURRENCY") or "2",
        )
        worker = ["celery", "-q", "-A", "config.celery", "worker", "-E", "-P", pool, "-c", concurrency]
        self.prepare = App("prepare", self.state_dir, ["local.prepare"], patience=5)
        self.web = App(
            "web",
            self.state_dir,
            ["gunicorn", "-c", "config/gunicorn.conf.py", "config.asgi:application"],
            20,
        )
        self.worker = App("worker", self.state_dir, worker, patience=25)
        flower = ["celery", "-A", "config.celery", "flower", "--conf=config/flower.conf.py"]
        self.flower = App("flower", self.state_dir, flower, patience=5)
        self.courier = App("courier", self.state_dir, ["manage", "courier"], patience=15)

    def run(self) -> None:
        """Start everything, show the table, and keep everything running until a signal comes."""
        with self._signals(), self._lock():
            try:
                with self._progress():
                    self.start()
                self.console.print(self.table(), self.example(), sep="\n", soft_wrap=True)
                self.supervise()
            except Stopped:
                self._say("Stopping…")
            except ServerFailed:
                # A hurried stop kills what has not come up yet.
                if not self.stopping:
                    raise
            finally:
                self.stopping = True
                self.stop()

    def start(self) -> None:
        """Start the servers, prepare them, start the product and wait until it is ready."""
        end(leftovers(self.state_dir), patience=5)
        self._require_free_ports()
        self._say("Starting PostgreSQL, Valkey, MongoDB and RabbitMQ…")
        ports = state.load_ports(self.state_dir, reserved=(self.port, self.flower_port))
        self.servers = servers.start(self.state_dir, ports)
        self._pause(0)
        self.secrets = state.load_secrets(self.state_dir)
        self._settle()
        self._say("Preparing the database, the queue and the static files…")
        self._prepare()
        self._say("Starting the web server, the worker, Flower and the courier…")
        for app in self.apps:
            app.start()
        self._wait_until_ready()

    def stop(self) -> None:
        """End everything in the order in which nothing accepted is lost or held up."""
        self.prepare.stop()
        self.web.stop()
        self.flower.terminate()
        self.courier.terminate()
        self.worker.stop()
        self.courier.stop()
        self.flower.stop()
        if self.servers:
            self.servers.stop()

    def supervise(self) -> None:
        """Start again, with growing pauses, whatever ends."""
        assert self.servers is not None
        children: tuple[Server | App, ...] = (*self.servers.all, *self.apps)
        watched = [Watch(child) for child in children]
        while True:
            for watch in watched:
                for line in watch.look():
                    self._say(line)
            self._pause(0.25)

    def table(self) -> Table:
        """What a person needs to know."""
        table = Table(title="Breakwater is ready", title_justify="left", show_header=False)
        for name, value in (
            ("Landing page", f"{self.url}/"),
            ("API docs", f"{self.url}/api/docs/"),
            ("Admin", f"{self.url}/admin/    admin / {self.secrets['ADMIN_PASSWORD']}"),
            (
                "Flower",
                f"{self.flower_url}/    {self.settings['FLOWER_USER']} / {self.settings['FLOWER_PASSWORD']}",
            ),
            ("Codes by SMS", f'{self.state_dir / "sms.log"}    of campaigns with confirm = "sms"'),
            ("Logs", f"{self.state_dir / 'logs'}"),
            ("Stop", "Ctrl-C"),
        ):
            table.add_row(name, escape(value))
        return table

    def example(self) -> str:
        header, body = "'Content-Type: application/json'", """'{"phone_number": "09123456789"}'"""
        return f"Try it:  curl -i {self.url}/api/register/ -H {header} -d {body}"

    @property
    def apps(self) -> list[App]:
        """The product's processes that run here: no courier with nothing to send."""
        directory = self.settings.get("LANDING_DIR", "")
        has_webhooks = bool(directory) and (Path(directory) / "webhooks.toml").exists()
        sends = self.settings.get("CODE_GATEWAY", "off") != "off" or has_webhooks
        return [self.web, self.worker, self.flower, *([self.courier] if sends else [])]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.flower_port}"

    def _settle(self) -> None:
        """Decide the settings, keep them for commands run beside the stack, and hand them to the processes."""
        assert self.servers is not None
        mine = self.servers.environment()
        defaults = {
            "SECRET_KEY": self.secrets["SECRET_KEY"],
            "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
            "DEBUG": "off",
            # Served as plain http: cookies kept for https would never come back.
            "HTTPS": "off",
            "FLOWER_USER": "admin",
            "FLOWER_PASSWORD": self.secrets["FLOWER_PASSWORD"],
            "FLOWER_URL": f"{self.flower_url}/",
            "SPOOL_DIR": str(self.state_dir / "spool"),
            "CODE_GATEWAY": "file",
            "CODE_KEY": self.secrets["CODE_KEY"],
        }
        known = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", _read(ROOT / ".env.example"), re.MULTILINE))
        chosen = {
            name: value
            for name, value in self.caller.items()
            if name.removesuffix("_FILE") in {*known, *defaults}
        }
        # Whatever the caller's shell says of databases, these servers are the ones that we have started.
        chosen = {name: value for name, value in chosen.items() if name.removesuffix("_FILE") not in mine}
        own = {"PORT": str(self.port), "FLOWER_PORT": str(self.flower_port), "BIND": "127.0.0.1"}
        self.settings = {**defaults, **chosen, **own, **mine}
        state.write_env(self.state_dir / "stack.env", self.settings)
        self._hand_out(without={f"{name}_FILE" for name in mine})

    def _hand_out(self, without: set[str]) -> None:
        inherited = {name: value for name, value in self.caller.items() if name not in without}
        environment = {
            **inherited,
            **self.settings,
            "STATE_DIR": str(self.state_dir),
            "PYTHONUNBUFFERED": "1",
        }
        admin = {"USERNAME": "admin", "EMAIL": "admin@localhost", "PASSWORD": self.secrets["ADMIN_PASSWORD"]}
        for app in (self.web, self.worker, self.flower, self.courier):
            app.environment = environment
        self.prepare.environment = environment | {
            f"DJANGO_SUPERUSER_{name}": value for name, value in admin.items()
        }

    def _prepare(self) -> None:
        self.prepare.start()
        while self.prepare.alive:
            self._pause(0.05)
        if self.prepare.exit_status:
            raise StackFailed(f"The database could not be prepared:\n{_tail(self.prepare)}")

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + READY_WITHIN
        pages = {f"{self.url}/readyz": self.web, f"{self.flower_url}/healthcheck": self.flower}
        for page, server in pages.items():
            while not _answers(page):
                for app in self.apps:
                    if not app.alive:
                        raise StackFailed(f"The {app.name} process ended while starting:\n{_tail(app)}")
                if time.monotonic() > until:
                    raise StackFailed(f"{page} was not ready in {READY_WITHIN:.0f} s:\n{_tail(server)}")
                self._pause(0.1)

    def _require_free_ports(self) -> None:
        if self.port == self.flower_port:
            raise StackFailed("PORT and FLOWER_PORT are the same; choose another: FLOWER_PORT=5556 make run")
        for name, port in (("PORT", self.port), ("FLOWER_PORT", self.flower_port)):
            if not state.is_free(port):
                free = next(other for other in range(port + 1, port + 1000) if state.is_free(other))
                raise StackFailed(
                    f"Port {port} is taken by another program; choose another: {name}={free} make run"
                )

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.state_dir / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackFailed(_already_running(lock, self.state_dir)) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        with _own_terminal():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, self._on_signal)
            yield

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _leave_terminal()
        if self.stopping:
            # Asked a second time: no more patience.
            end(leftovers(self.state_dir), patience=0)
            return
        # Not raised from here, where it could hit the middle of anything, such as a lock just taken.
        self.stopping = True

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)
        if self.stopping:
            raise Stopped

    @contextlib.contextmanager
    def _progress(self) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        with self.console.status("Starting…") as status:
            self._status = status
            try:
                yield
            finally:
                self._status = None

    def _say(self, line: str) -> None:
        if self._status:
            self._status.update(line)
        else:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class Watch:
    """Starts one process again when it has ended, the sooner the longer it had run."""

    def __init__(self, child: Server | App) -> None:
        """Watch this process, which runs."""
        self.child = child
        self.pause = 1.0
        self.started = time.monotonic()
        self.due: float | None = None

    def look(self) -> Iterator[str]:
        """Do what is due, and tell about it."""
        if self.due is None and not self.child.alive:
            yield self._plan()
        elif self.due is not None and time.monotonic() >= self.due:
            yield from self._restart()

    def _plan(self) -> str:
        if time.monotonic() - self.started > 2 * LONGEST_PAUSE:
            self.pause = 1.0
        self.due = time.monotonic() + self.pause
        told = f"{self.child.name} ended ({_how(self.child)}), starts again in {self.pause:.0f} s (log: {self.child.log})"
        self.pause = min(2 * self.pause, LONGEST_PAUSE)
        return told

    def _restart(self) -> Iterator[str]:
        self.due, self.started = None, time.monotonic()
        try:
            self.child.start()
        except ServerFailed as failed:
            yield str(failed)


def _how(child: Child) -> str:
    status = child.exit_status or 0
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _tail(child: Child) -> str:
    return f"{last_lines(child.log, 8)}\n(log: {child.log})"


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _answers(url: str) -> bool:
    # Never through a proxy that the caller's environment names.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(url, timeout=5).close()
    except OSError:
        return False
    return True


def _port(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 0 < int(value) < 65536:
        raise StackFailed(f"{name} is {value!r}, but must be a number from 1 to 65535")
    return int(value)


def _already_running(lock: TextIO, state_dir: Path) -> str:
    lock.seek(0)
    return f"{state_dir} is already running (pid {lock.read()}); choose another: STATE_DIR=.local2 PORT=8001 FLOWER_PORT=5556 make run"


@contextlib.contextmanager
def _own_terminal() -> Iterator[None]:
    """Take Ctrl-C away from `make`, which would answer it with an error of its own."""
    if "MAKELEVEL" not in os.environ or not sys.stdin.isatty():
        yield
        return
    make = os.tcgetpgrp(0)
    # A process in the background may not speak of the terminal; and make would not notice that we are suspended.
    for number in (signal.SIGTTOU, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(0, make)


def _leave_terminal() -> None:
    """Write to nowhere from now on: the terminal is gone, and each line would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


def main() -> int:
    """Run the stack; one message and exit status 1 if it cannot."""
    try:
        Stack(os.environ, Console()).run()
    except (StackFailed, ServerFailed, PermissionError) as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
