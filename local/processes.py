"""Child processes that are found again and ended, whatever happened to their parent."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import psutil

# Every child carries these two, and so does whatever it starts: they tell whose a process is
# without a pid file, which a reused pid would turn into a lie.
OWNER = "BREAKWATER_CHILD_OF"
ROLE = "BREAKWATER_CHILD"

FROZEN_WITHIN = 2.0
"""Seconds that are waited for a frozen process to stand still."""
LOG_LIMIT = 20_000_000


class Child:
    """One long-lived process in a session of its own, with its output in a log file."""

    stop_signal = signal.SIGTERM
    patience = 20.0
    inside: tuple[str, ...] = ()
    """The command that starts the process somewhere else, such as `ip netns exec NAME`."""

    def __init__(self, name: str, state_dir: Path) -> None:
        """Prepare the process called `name` of the stack in this state directory."""
        self.name = name
        self.state_dir = state_dir
        self.log = state_dir / "logs" / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running or last process, 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """Whether the process runs (a stopped one, SIGSTOP, counts as running)."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """How the process ended: None while it runs, negative for a signal."""
        return self._process.poll() if self._process else None

    def spawn(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        *,
        cwd: Path | None = None,
        account: tuple[int, int] | None = None,
    ) -> None:
        """Start the process, after the end of whatever an earlier one has left behind."""
        end(leftovers(self.state_dir, self.name), patience=0)
        self._reap()  # the earlier one, which may have been killed from outside
        command = [*self.inside, *command]
        if account and self.inside:
            # Only root may go there, so the account is taken on the other side.
            as_user = ("setpriv", f"--reuid={account[0]}", f"--regid={account[1]}", "--clear-groups")
            command[len(self.inside) : len(self.inside)] = as_user
            account = None
        user, group = account or (None, None)
        with self.output() as out:
            # A session of its own: Ctrl-C and a closing terminal reach the supervisor only.
            self._process = subprocess.Popen(  # noqa: S603  our own commands
                list(map(str, command)),
                env={**environment, OWNER: str(self.state_dir), ROLE: self.name},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=[] if account else None,
            )

    def output(self) -> BinaryIO:
        """Open what the process writes to."""
        return open_log(self.log)

    def terminate(self) -> None:
        """Ask the process to end and do not wait."""
        if self.alive:
            _signal(self.pid, self.stop_signal)

    def stop(self, patience: float | None = None) -> None:
        """Ask the process to end, wait, then kill it and everything it started."""
        if self._process is None:
            return
        descendants = self.family()[1:]
        self.terminate()
        # A paused process could not act on the request.
        for process in self.family():
            _signal(process.pid, signal.SIGCONT)
        try:
            self._process.wait(self.patience if patience is None else patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._reap()
        end([*descendants, *leftovers(self.state_dir, self.name)], patience=1)

    def kill(self) -> None:
        """End the process and all that it started at once, as `kill -9` does."""
        family = self.family()
        # Children first: when a leader goes, the kernel lets those who were frozen with it go on (SIGCONT), for a moment.
        for process in reversed(family):
            _signal(process.pid, signal.SIGKILL)
        self._reap()
        end(family, patience=0)

    def _reap(self) -> None:
        # Bounded: a Ctrl-C inside Popen can leave its lock taken for ever.
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process:
                self._process.wait(5)

    def pause(self) -> None:
        """Freeze the process and all that it started (SIGSTOP)."""
        family = self.family()
        for process in family:
            _signal(process.pid, signal.SIGSTOP)
        # The signal is only on its way then: a thread on another core answers for a moment.
        until = time.monotonic() + FROZEN_WITHIN
        while time.monotonic() < until and not all(map(_is_frozen, family)):
            time.sleep(0.005)

    def resume(self) -> None:
        """Let a frozen process go on (SIGCONT)."""
        for process in self.family():
            _signal(process.pid, signal.SIGCONT)

    def family(self) -> list[psutil.Process]:
        """The process, first, and all its living descendants; empty if it does not run."""
        if not self.alive:
            return []
        try:
            leader = psutil.Process(self.pid)
            return [leader, *leader.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def last_log_line(self) -> str:
        """The last line of the log that says something, without control characters."""
        return last_lines(self.log, 1) or "(nothing)"


def leftovers(state_dir: Path, name: str | None = None) -> list[psutil.Process]:
    """Find the living processes of this state directory, or those of one child of it."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _belongs(process, str(state_dir), name)
    ]


def _belongs(process: psutil.Process, owner: str, name: str | None) -> bool:
    try:
        environment = process.environ()
    except (psutil.Error, OSError):
        return False
    return environment.get(OWNER) == owner and name in (None, environment.get(ROLE))


def end(processes: Iterable[psutil.Process], patience: float) -> None:
    """End these processes: politely while patience lasts, then by SIGKILL."""
    remaining = [process for process in processes if process.is_running()]
    if patience:
        for process in remaining:
            _signal(process.pid, _polite_signal(process))
        _, remaining = psutil.wait_procs(remaining, timeout=patience)
    for process in remaining:
        _signal(process.pid, signal.SIGKILL)
    psutil.wait_procs(remaining, timeout=5)


def _is_frozen(process: psutil.Process) -> bool:
    try:
        return process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _polite_signal(process: psutil.Process) -> signal.Signals:
    # PostgreSQL takes SIGTERM as "when the last client has gone".
    try:
        return signal.SIGINT if process.name() == "postgres" else signal.SIGTERM
    except psutil.Error:
        return signal.SIGTERM


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def open_log(log: Path) -> BinaryIO:
    """Open a log to append to; one that has grown large is put aside first, and the one before it dropped."""
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    return log.open("ab")


def last_lines(log: Path, count: int) -> str:
    """The last lines of a log that say something, without control characters."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        lines = file.read().decode(errors="replace").splitlines()
    spoken = ["".join(c for c in line if c.isprintable()).strip() for line in lines]
    return "\n".join([_short(line) for line in spoken if line][-count:])


def _short(line: str) -> str:
    """Cut a long line, such as a traceback in JSON, to its beginning and its end."""
    return line if len(line) <= 400 else f"{line[:160]} … {line[-230:]}"
