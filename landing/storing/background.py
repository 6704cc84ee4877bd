"""What a process does beside its work: rounds of something, in a thread, until the process ends."""

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from celery import signals
from django.db import close_old_connections, connections

log = logging.getLogger(__name__)

Round = Callable[[], object]


@contextmanager
def fresh_connection() -> Iterator[None]:
    """Let a thread that asks PostgreSQL now and then do so: its connection may be older than PostgreSQL's last restart."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


class BackgroundLoop:
    """Does a round at once and then every so many seconds, more or less, in a thread of its own.

    A round that raises is logged under the loop's name, and the next one comes all the same.
    """

    def __init__(self, name: str, every: float, act: Round) -> None:
        self.name = name
        self._every = every
        self._act = act
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Let no other round begin. A round that is under way is not waited for."""
        self._ending.set()

    def join(self, timeout: float) -> bool:
        """Wait for the round under way, at most `timeout` seconds; return whether it has ended."""
        if self._thread:
            self._thread.join(timeout)
        return not (self._thread and self._thread.is_alive())

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._act()
            except Exception:
                log.exception("a loop goes on after an error", extra={"loop": self.name})
            finally:
                # Until the next round is long; and a process that is forked must not inherit it.
                connections.close_all()
            # Jittered, so that processes which began together do not ask together.
            self._ending.wait(self._every * random.uniform(0.75, 1.25))  # noqa: S311  not a secret


def run_in_worker(name: str, *, every: float) -> Callable[[Round], Round]:
    """Decorate a function that every worker's main process calls every so many seconds, from its start to its end."""

    def decorate(act: Round) -> Round:
        loop = BackgroundLoop(name, every, act)

        @signals.worker_ready.connect(weak=False)
        def begin(**_: object) -> None:
            loop.start()

        @signals.worker_shutting_down.connect(weak=False)
        def end(**_: object) -> None:
            loop.end()

        return act

    return decorate
