"""gunicorn's settings: `gunicorn -c config/gunicorn.conf.py config.asgi:application`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from lib import container

bind = f"{os.environ.get('BIND') or '127.0.0.1'}:{container.number('PORT', 8000)}"
workers = container.number("WEB_CONCURRENCY", container.processes(each=128 << 20))  # one takes about 90 MB
worker_class = "config.server.Worker"
# A worker that does not come round for this long is hung, and is replaced.
timeout = 20
# What was accepted from the network before a stop is still answered; longer than PUBLISH_TIMEOUT.
graceful_timeout = 15
# Longer than proxies keep an idle connection (ingress-nginx and cloud load balancers: 60 s): the side that sends
# must hang up first, or now and then it sends into a connection that is just being closed.
keepalive = 75
# The campaign's wave stands here while the workers are busy; the kernel may cap it (somaxconn).
backlog = 4096
# gunicorn's control socket lies under $HOME, which a container may not write to.
control_socket_disable = True
# A heartbeat on a slow disk would look like a hung worker.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112
accesslog = None


def on_starting(server: Any) -> None:
    """Refuse to start when a system check fails: else each visitor would meet what is wrong.

    In a process of its own: what this one imports, workers would keep through a reload. Not in workers: one that ended
    later, when a file has become wrong, would take the whole server with it.
    """
    manage = Path(__file__).resolve().parent.parent / "manage.py"
    checked = subprocess.run(  # noqa: S603  ours
        [sys.executable, str(manage), "check"], capture_output=True, text=True, timeout=60, check=False
    )
    if checked.returncode:
        server.log.error("not started, since settings are wrong")
        sys.exit(checked.stderr.strip())


logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "lib.json_log.JsonFormatter"}},
    "handlers": {
        "stdout": {
            "class": "lib.log_thread.ThreadedHandler",
            "stream": "ext://sys.stdout",
            "formatter": "json",
        }
    },
    "loggers": {
        "gunicorn.error": {"handlers": ["stdout"], "level": "INFO", "propagate": False},
        "gunicorn.access": {"handlers": [], "level": "INFO", "propagate": False},
    },
    "root": {"handlers": ["stdout"], "level": "INFO"},
}
