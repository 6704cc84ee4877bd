"""gunicorn for every peer: as Breakwater's own, but for the worker class, which each one names."""

import os

bind = f"127.0.0.1:{os.environ['PORT']}"
workers = int(os.environ["BENCH_WORKERS"])
worker_class = os.environ["BENCH_WORKER_CLASS"]
threads = int(os.environ.get("BENCH_THREADS", "1"))
timeout = 20
graceful_timeout = 15
keepalive = 15
backlog = 4096
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112
accesslog = None
