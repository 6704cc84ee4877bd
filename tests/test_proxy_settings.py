"""nginx's settings as its container writes them at each start: webs, HSTS, and who may open /admin/ and /ops/."""

import os
import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from config.headers import SecurityHeaders

SCRIPT = Path("docker/nginx/40-breakwater.sh")

# Of a container on 172.20.0.0/16, whose gateway is 172.20.0.1, and on 10.213.57.0/24.
ROUTES = """\
Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t010014AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000014AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth1\t0039D50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


@pytest.fixture
def started(tmp_path: Path) -> Any:
    """Run the script as a container's start would, and return what it did and where."""

    def start(**settings: Any) -> Any:
        (tmp_path / "routes").write_text(ROUTES)
        nginx = tmp_path / "nginx"
        nginx.write_text("#!/bin/sh\necho 'nginx version: nginx/1.28.0' >&2\n")
        nginx.chmod(0o755)
        script = SCRIPT.read_text().replace("/run/nginx", str(tmp_path))
        script = script.replace("/etc/nginx/cdn", str(Path("docker/nginx/cdn").resolve()))
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ROUTES": str(tmp_path / "routes")}
        done = subprocess.run(
            ["sh", "-c", script], env=environment | settings, capture_output=True, text=True, check=False
        )
        return done, tmp_path

    return start


def may_open(folder: Path, address: str) -> Any:
    """Whether nginx lets an address in: the first rule that it matches decides."""
    for rule in (folder / "admin.rules").read_text().splitlines():
        verb, _, where = rule.rstrip(";").partition(" ")
        if where == "all" or ip_address(address) in ip_network(where, strict=False):
            return verb == "allow"
    return True


def test_by_default_private_networks_may_open_the_admin_and_what_docker_puts_in_a_visitors_place_may_not(
    started: Callable[..., Any],
) -> None:
    done, folder = started()
    assert done.returncode == 0, done.stderr
    for ours in ("127.0.0.1", "192.168.1.20", "10.8.0.2", "172.31.5.5"):
        assert may_open(folder, ours), ours
    for hidden in ("172.20.0.1", "172.20.0.9", "10.213.57.1", "203.0.113.5", "2001:db8::1", "fd00::1"):
        assert not may_open(folder, hidden), hidden


def test_who_names_networks_gets_these_and_no_others(started: Callable[..., Any]) -> None:
    _, folder = started(ADMIN_FROM="203.0.113.0/28,172.20.0.1")
    assert may_open(folder, "203.0.113.5")
    assert may_open(folder, "172.20.0.1")
    assert not may_open(folder, "192.168.1.20")


def hsts_of(folder: Path) -> Any:
    [line] = [one for one in (folder / "settings.conf").read_text().splitlines() if "$hsts" in one]
    return line.partition('default "')[2].partition('"')[0]


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({}, "max-age=86400"),
        ({"HTTPS": "off"}, ""),
        ({"HSTS": "off"}, ""),
        ({"HSTS": "max-age=31536000; includeSubDomains"}, "max-age=31536000; includeSubDomains"),
    ],
)
def test_nginx_and_the_web_say_the_same_of_https(
    started: Callable[..., Any], settings: dict[str, Any], header: str
) -> None:
    done, folder = started(**settings)
    assert done.returncode == 0, done.stderr
    assert hsts_of(folder) == header
    asked = 'import config.asgi as a; print(dict(a.security_headers.of("/")).get(b"strict-transport-security", b"").decode())'
    code = f"import django; django.setup(); {asked}"
    environment = {**os.environ, "HTTPS": "on", **settings}
    web = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert web.stdout.strip() == header, web.stderr


@pytest.mark.parametrize(
    "wrong", ["1 year", 'max-age=1"; evil', "max-age=1; includesubdomains", "max-age=-1", "on"]
)
def test_a_wrong_hsts_stops_the_start(started: Callable[..., Any], wrong: str) -> None:
    done, _ = started(HSTS=wrong)
    assert done.returncode != 0
    assert "HSTS=" in done.stderr


def test_without_hsts_no_browser_is_told_anything() -> None:
    assert b"strict-transport-security" not in dict(SecurityHeaders(hsts="").of("/"))


@pytest.mark.parametrize(
    ("settings", "webs"),
    [
        ({}, ["web:8000"]),
        ({"WEB_HOSTS": "web:8000,10.0.0.12:8000"}, ["web:8000", "10.0.0.12:8000"]),
    ],
)
def test_nginx_asks_the_webs_that_are_named_and_leaves_one_that_fails_alone_for_a_while(
    started: Callable[..., Any], settings: dict[str, str], webs: list[str]
) -> None:
    done, folder = started(**settings)
    assert done.returncode == 0, done.stderr
    servers = [
        line.strip() for line in (folder / "upstream.conf").read_text().splitlines() if " server " in line
    ]
    assert servers == [f"server {web} resolve max_fails=1 fail_timeout=5s;" for web in webs]


@pytest.mark.parametrize("wrong", ["web", "web:8000,", "web:8000;", "web:8000 w2:8000"])
def test_a_wrong_list_of_webs_stops_the_start(started: Callable[..., Any], wrong: str) -> None:
    done, _ = started(WEB_HOSTS=wrong)
    assert done.returncode != 0
    assert "WEB_HOSTS=" in done.stderr
