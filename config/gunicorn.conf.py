"""gunicorn's settings: `gunicorn -c config/gunicorn.conf.py config.asgi:application`."""

import os

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
