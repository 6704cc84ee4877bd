"""The stack of docker-compose.yml with a project, secrets and networks of its own, for the benchmark."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from tools.bench.h2load import Target
from tools.bench.stage import HOST, ROOT, StageFailed, free_port

PROJECT = "breakwater-bench"
SETTINGS = {
    "TAG": "bench",
    "BACKEND_SUBNET": "10.213.59.0/24",
    "HTTP_ADDRESS": HOST,
    # All load comes from one address. Redis is asked for each request, and never says no.
    "RATE_LIMIT": "999999/second",
}
WITH_TLS = ("docker-compose.yml", "docker/tls.yml")
DIRECT, HTTP, TLS, PUBLISHED = "direct", "nginx", "nginx, TLS and HTTP/2", "nginx, by 127.0.0.1"
DOCKER = ("dockerd", "containerd", "containerd-shim", "docker-proxy")
SERVERS = ("redis", "rabbitmq", "postgres", "mongodb")


class NoDocker(Exception):
    """There is no Docker engine, or no compose plugin; the message tells the next step."""


class Composed:
    """The containers, while they are up."""

    def __init__(self, folder: Path) -> None:
        """Build the images, start the stack on empty volumes. Raises StageFailed."""
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "tls").mkdir(parents=True)
        self._make_certificate()
        self.port = free_port()
        settings = SETTINGS | {
            "SECRETS_DIR": str(folder / "secrets"),
            "ENV_FILE": str(folder / "env"),
            "TLS_DIR": str(folder / "tls"),
            "HTTP_PORT": str(self.port),
            "HTTPS_PORT": str(free_port()),
        }
        (folder / "env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name not in settings and not name.startswith("COMPOSE")
        }
        secrets = {**self._environment, "SECRETS_DIR": settings["SECRETS_DIR"]}
        _run([str(ROOT / "docker" / "make_secrets.sh")], secrets)
        self._compose("down", "-v", "--remove-orphans")
        self._compose("build", "web", "nginx")
        self._compose("up", "-d", "--wait", "--wait-timeout", "300")

    def close(self) -> None:
        """Remove containers, networks, volumes and secrets."""
        with contextlib.suppress(StageFailed, subprocess.SubprocessError):
            self._compose("down", "-v", "--remove-orphans")
        shutil.rmtree(self._folder, ignore_errors=True)

    def targets(self) -> list[Target]:
        """The ways to the site that are open now.

        nginx is asked at the address to which Docker leads the published port, as for visitors from elsewhere. Only
        who asks 127.0.0.1 goes through Docker's proxy process, and costs more.
        """
        web, nginx = self._address("web", "backend_network"), self._address("nginx", "edge")
        direct = Target(DIRECT, "http://localhost", f"{web}:8000", http2=False)
        if self._has_tls:
            return [direct, Target(TLS, "https://localhost", f"{nginx}:8443", http2=True)]
        return [
            direct,
            Target(HTTP, "http://localhost", f"{nginx}:8080", http2=False),
            Target(PUBLISHED, "http://localhost", f"{HOST}:{self.port}", http2=False),
        ]

    def serve(self, *, tls: bool) -> None:
        """Make nginx anew, with a certificate or without."""
        files = WITH_TLS if tls else WITH_TLS[:1]
        self._compose("up", "-d", "--wait", "--no-deps", "--force-recreate", "nginx", files=files)

    @contextlib.contextmanager
    def without_workers(self) -> Iterator[None]:
        """Pause the workers for a while."""
        self._compose("pause", "worker")
        try:
            yield
        finally:
            self._compose("unpause", "worker")

    def cpu_seconds(self) -> dict[str, float]:
        """The CPU time used until now by nginx, web, Docker and the servers; empty where their processes are not seen."""
        pids = self._compose("ps", "--format", "json").splitlines()
        found = dict.fromkeys(("nginx", "web", "docker", "servers"), 0.0)
        try:
            for line in pids:
                container = json.loads(line)
                name = "servers" if container["Service"] in SERVERS else container["Service"]
                if name in found:
                    found[name] += _tree_seconds(self._inspect(container["ID"], "{{.State.Pid}}"))
            found["docker"] = sum(
                _seconds(one)
                for one in psutil.process_iter(["name"])
                if str(one.info["name"]).startswith(DOCKER)
            )
        except (psutil.Error, ValueError):
            return {}
        return found

    @property
    def _has_tls(self) -> bool:
        container = self._compose("ps", "-q", "nginx").strip()
        return "/etc/nginx/tls" in self._inspect(container, "{{range .Mounts}}{{.Destination}} {{end}}")

    def _address(self, service: str, network: str) -> str:
        container = self._compose("ps", "-q", service).split()[0]
        wanted = f'{{{{(index .NetworkSettings.Networks "{PROJECT}_{network}").IPAddress}}}}'
        return self._inspect(container, wanted)

    def _inspect(self, container: str, wanted: str) -> str:
        return _run(["docker", "inspect", container, "--format", wanted], self._environment).strip()

    def _compose(self, *arguments: str, files: tuple[str, ...] = WITH_TLS[:1]) -> str:
        command = ["docker", "compose", "-p", PROJECT, "--env-file", str(self._folder / "env")]
        for file in files:
            command += ["-f", str(ROOT / file)]
        return _run([*command, *arguments], self._environment)

    def _make_certificate(self) -> None:
        folder = self._folder / "tls"
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        made += ["-days", "2", "-subj", "/CN=localhost"]
        made += ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
        _run(made, dict(os.environ))
        for file in folder.iterdir():
            file.chmod(0o644)  # nginx in its container is another user


def require_docker() -> None:
    """Raise NoDocker if containers cannot be run here."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(command, capture_output=True, timeout=30, check=False)  # noqa: S603  our own
        except (OSError, subprocess.TimeoutExpired):
            done = None
        if done is None or done.returncode:
            raise NoDocker(
                f"`{' '.join(command)}` does not work here. --compose measures containers: it needs a running Docker "
                "engine (25 or later) with the compose plugin, and an account that may use them."
            )


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(  # noqa: S603  our own command
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode:
        raise StageFailed(f"{' '.join(command)} failed:\n{done.stderr[-800:]}")
    return done.stdout


def _tree_seconds(pid: str) -> float:
    first = psutil.Process(int(pid))
    return sum(_seconds(one) for one in (first, *first.children(recursive=True)))


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
