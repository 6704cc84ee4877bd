"""What a worker does beside its tasks: in threads of its main process, from its start to its end."""

import threading
from collections.abc import Callable
from typing import Any

from celery import signals

Act = Callable[[threading.Event], None]


def beside_worker(name: str) -> Callable[[Act], Act]:
    """Decorate a function that every worker runs in a thread of this name.

    The function is given an event, which is set when the worker shuts down, and should end then.
    """

    def decorate(act: Act) -> Act:
        stop = threading.Event()

        @signals.worker_ready.connect(weak=False)
        def begin(**_: Any) -> None:
            threading.Thread(target=act, args=[stop], name=name, daemon=True).start()

        @signals.worker_shutting_down.connect(weak=False)
        def end(**_: Any) -> None:
            stop.set()

        return act

    return decorate
