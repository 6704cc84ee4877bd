"""With the path of an authority's certificate, every connection is encrypted and the server's name checked."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.authority import self_signed
from tests.tls_proxy import SERVERS

# Says a word to each server through the product's own clients, and prints which of them answered.
SPEAK = """
import asyncio, json
import config, django
django.setup()
from django.conf import settings
from django.db import connection
from config.celery import app
from landing.storing import task_states
from landing.keeping.publisher import Publisher
from logs import utils as logs

async def publish():
    publisher = Publisher(settings.RABBITMQ_URLS, timeout=5, ca_path=settings.RABBITMQ_CA_PATH)
    await publisher.check()
    publisher.close()

def consume():
    with app.connection_for_read(connect_timeout=5) as broker:
        broker.connect()

def read_state():
    task_states._redis().get("a")

words = {
    "publisher": lambda: asyncio.run(publish()),
    "worker": consume,
    "redis": read_state,
    "postgresql": connection.ensure_connection,
    "mongodb": lambda: logs.find("a"),
}
answers = {}
for name, say in words.items():
    try:
        say()
        answers[name] = "answered"
    except Exception as error:
        answers[name] = "refused"
print(json.dumps(answers))
"""
MANY = ("RABBITMQ", "POSTGRES")
ALL = ("publisher", "worker", "redis", "postgresql", "mongodb")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A certificate for `localhost` that is its own authority, and its key."""
    return self_signed(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def encrypted(authority: tuple[Any, ...]) -> Any:
    """The servers' settings with an encrypting proxy in front of each."""
    command = [sys.executable, "-m", "tests.tls_proxy", *authority]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as proxy:
        yield json.loads(proxy.stdout.readline())
        proxy.terminate()


def answers(settings: dict[str, Any]) -> Any:
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SPEAK],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(said.stdout.splitlines()[-1])


def test_every_client_speaks_to_a_server_that_the_authority_vouches_for(
    encrypted: dict[str, Any], authority: tuple[Any, ...]
) -> None:
    paths = {f"{name}_CA_PATH": str(authority[0]) for name in SERVERS}
    assert answers(encrypted | paths) == dict.fromkeys(ALL, "answered")


def test_each_of_several_hosts_is_checked_by_the_name_of_that_host(
    encrypted: dict[str, Any], authority: tuple[Any, ...]
) -> None:
    paths = {f"{name}_CA_PATH": str(authority[0]) for name in SERVERS}
    # The first one is away, and the certificate is not for its name.
    several = {f"{name}_HOST": f"127.0.0.1:1,localhost:{encrypted[f'{name}_PORT']}" for name in MANY}
    answered = answers(encrypted | paths | several)
    assert answered == dict.fromkeys(ALL, "answered")


def test_no_client_speaks_to_a_server_with_another_name(
    encrypted: dict[str, Any], authority: tuple[Any, ...]
) -> None:
    paths = {f"{name}_CA_PATH": str(authority[0]) for name in SERVERS}
    elsewhere = {f"{name}_HOST": "127.0.0.1" for name in SERVERS}
    assert answers(encrypted | paths | elsewhere) == dict.fromkeys(ALL, "refused")
