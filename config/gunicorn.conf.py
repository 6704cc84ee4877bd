"""gunicorn's settings: `gunicorn -c config/gunicorn.conf.py config.asgi:application`."""

import os

bind = f"{os.environ.get('BIND') or '127.0.0.1'}:{os.environ.get('PORT') or '8000'}"
workers = int(os.environ.get("WEB_CONCURRENCY") or os.cpu_count() or 1)
worker_class = "config.server.Worker"
# A worker that does not come round for this long is hung, and is replaced.
timeout = 20
# What was accepted from the network before a stop is still answered; longer than PUBLISH_TIMEOUT.
graceful_timeout = 15
keepalive = 15
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
