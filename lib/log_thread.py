"""Log lines are formatted and written in a thread, so that a reader who stalls holds up nobody.

Ours: logging.handlers.QueueListener drops nothing when its queue is full, but raises in the caller, and
its thread does not survive a fork.

One thread a process, begun when it is first needed: a process that was forked begins one for itself.
"""

import _thread
import atexit
import logging
import os
import select
import sys
import threading
import time
from _queue import SimpleQueue  # the one that gevent leaves as it is
from collections.abc import Callable
from typing import Any, TextIO

from lib import metrics
from lib.json_log import frozen

WAITING = 2_000
"""Records that wait to be written at most; more are dropped, and a line says how many."""

PATIENCE = 2.0
"""Seconds that the end of a process waits for what is not written."""

Item = tuple["ThreadedHandler", logging.LogRecord]


class ThreadedHandler(logging.Handler):
    """Takes records in some microseconds; the process's one thread formats and writes them."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Leave a record to the thread, or drop it if too many wait."""
        _writer.put((self, frozen(record)))

    def flush(self) -> None:
        """Wait until what was logged is written, at most PATIENCE seconds."""
        _writer.drain()

    def write(self, record: logging.LogRecord) -> None:
        """Format a record and write it. Raises what formatting and the stream raise."""
        text = f"{self.format(record)}\n"
        try:
            descriptor = self.stream.fileno()
        except (OSError, ValueError, AttributeError):  # a stream of no file, such as a test's
            self.stream.write(text)
            return
        # Past the stream's own buffer, whose lock would be held by a write that stalls while Python ends.
        _write_all(descriptor, text.encode())


class _Writer:
    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what waits, as in a forked child: it is the parent's to write."""
        self._queue: SimpleQueue[Item] = SimpleQueue()
        # Signal handlers log too, in the middle of anything.
        self._putting = threading.RLock()
        self._runs = False
        self._put = self._dropped = 0
        # The thread's alone: how many it has seen to, and of how many dropped ones it has told.
        self._done = self._told = 0
        self._stalled = False

    def put(self, item: Item) -> None:
        """Queue a record, if there is room."""
        with self._putting:
            if self._queue.qsize() >= WAITING:
                self._dropped += 1
                metrics.count("log_lines_dropped")
                return
            self._put += 1
            self._queue.put(item)
            # The thread begins with the first line, so that a process which forks before it logs has none to lose.
            if not self._runs:
                self._runs = True
                _start_thread(self._run)

    def drain(self) -> None:
        """Wait for the thread; not again if the last time was in vain and nothing has been written since."""
        until = time.monotonic() + PATIENCE
        while self._done < self._put and not self._stalled:
            self._stalled = time.monotonic() > until
            time.sleep(0.002)

    def _run(self) -> None:
        while True:
            handler, record = self._queue.get()
            try:
                handler.write(record)
                self._stalled = False
                self._tell_of_dropped(handler)
            except Exception:  # noqa: BLE001  there is nowhere left to say it, and the next line may go
                metrics.count("log_lines_dropped")
            self._done += 1

    def _tell_of_dropped(self, handler: ThreadedHandler) -> None:
        dropped = self._dropped
        if dropped == self._told:
            return
        facts = {
            "name": __name__,
            "levelname": "WARNING",
            "msg": "log lines were dropped: nobody took them in time",
        }
        handler.write(logging.makeLogRecord(facts | {"count": dropped - self._told}))
        self._told = dropped


def _write_all(descriptor: int, body: bytes) -> None:
    while body:
        try:
            body = body[os.write(descriptor, body) :]
        except BlockingIOError:  # somebody else has made the pipe or the terminal non-blocking
            select.select([], [descriptor], [])


def _start_thread(run: Callable[[], object]) -> None:
    start: Any = _thread.start_new_thread
    if gevent := sys.modules.get("gevent.monkey"):
        # A greenlet that writes to a pipe which nobody reads would hold up all the others.
        start = vars(gevent)["get_original"]("_thread", "start_new_thread")
    start(run, ())


_writer = _Writer()
atexit.register(_writer.drain)
os.register_at_fork(after_in_child=_writer.begin_anew)
