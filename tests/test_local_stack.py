"""The servers of `make run` and of these tests: private, persistent, and gone when they should be."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import amqp
import psutil
import psycopg
import pymongo
import pytest
import redis

from local import servers, state
from local.processes import Child, last_lines, leftovers
from local.servers import ServerFailed, Servers
from local.stack import ROOT, Stack, StackFailed

START_AND_DIE = """
import os, pathlib, signal, sys
from local import servers
started = servers.start(pathlib.Path(sys.argv[1]))
print(*(server.pid for server in started.all), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def orphans(state_dir: Path) -> Any:
    """Servers whose parent was killed."""
    command = [sys.executable, "-c", START_AND_DIE, str(state_dir)]
    died = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    found = [psutil.Process(int(pid)) for pid in died.stdout.split()]
    assert all(process.is_running() for process in found)
    return found


@pytest.fixture(scope="module")
def stack(state_dir: Path, orphans: list[Any]) -> Any:
    started = servers.start(state_dir)
    yield started
    started.stop()
    assert not leftovers(state_dir)


def postgres(stack: Servers, **changed: Any) -> Any:
    env = stack.postgres.environment()
    login = {
        "host": env["POSTGRES_HOST"],
        "port": env["POSTGRES_PORT"],
        "user": env["POSTGRES_USER"],
        "password": env["POSTGRES_PASSWORD"],
        "dbname": env["POSTGRES_DB"],
    }
    return psycopg.connect(**(login | changed), autocommit=True)


def mongo(stack: Servers, **changed: Any) -> Any:
    env = stack.mongodb.environment()
    # Without the journal an acknowledged write may still be in the memory of the server.
    login = {"username": env["MONGODB_USER"], "password": env["MONGODB_PASSWORD"], "journal": True} | changed
    host, port = env["MONGODB_HOST"], int(env["MONGODB_PORT"])
    return pymongo.MongoClient(host, port, serverSelectionTimeoutMS=3000, **login)


def rabbit(stack: Servers, **changed: Any) -> Any:
    env = stack.rabbitmq.environment()
    login = {"userid": env["RABBITMQ_USER"], "password": env["RABBITMQ_PASSWORD"]} | changed
    host = f"{env['RABBITMQ_HOST']}:{env['RABBITMQ_PORT']}"
    connection = amqp.Connection(host, virtual_host=env["RABBITMQ_VHOST"], confirm_publish=True, **login)
    connection.connect()
    return connection


def test_a_start_ends_what_a_killed_parent_has_left_behind(stack: Servers, orphans: list[Any]) -> None:
    assert not [process for process in orphans if process.is_running()]


def test_the_data_of_a_killed_postgresql_is_there_again(stack: Servers) -> None:
    with postgres(stack) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    os.kill(stack.postgres.pid, signal.SIGKILL)
    stack.postgres.start()
    with postgres(stack) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_the_data_of_a_killed_mongodb_is_there_again(stack: Servers) -> None:
    with mongo(stack) as client:
        client.test.kept.insert_one({"_id": 7})
    stack.mongodb.kill()
    stack.mongodb.start()
    with mongo(stack) as client:
        assert client.test.kept.find_one() == {"_id": 7}


def test_the_messages_of_a_killed_rabbitmq_are_there_again(stack: Servers) -> None:
    with rabbit(stack) as connection:
        channel = connection.channel()
        channel.queue_declare("kept", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        # RabbitMQ writes the name of a new quorum queue up to two seconds later than its messages, and
        # when it is killed before that, the queue comes back empty and without a leader.
        stack.rabbitmq.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")
        channel.basic_publish(amqp.Message("7", delivery_mode=2), routing_key="kept")
    stack.rabbitmq.kill()
    stack.rabbitmq.start()
    with rabbit(stack) as connection:
        assert connection.channel().basic_get("kept", no_ack=True).body == "7"


def test_a_paused_server_is_alive_but_answers_only_when_resumed(stack: Servers) -> None:
    env = stack.redis.environment()
    address = {"host": env["REDIS_HOST"], "port": int(env["REDIS_PORT"]), "password": env["REDIS_PASSWORD"]}
    stack.redis.pause()
    assert stack.redis.alive
    with redis.Redis(**address, socket_timeout=0.2, retry=None) as client, pytest.raises(redis.TimeoutError):
        client.ping()
    stack.redis.resume()
    with redis.Redis(**address) as client:
        assert client.ping()


def test_nobody_gets_in_without_the_password(stack: Servers) -> None:
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        postgres(stack, password="wrong")
    with mongo(stack, username=None, password=None) as client, pytest.raises(pymongo.errors.OperationFailure):
        client.list_database_names()
    with pytest.raises(amqp.AccessRefused):
        rabbit(stack, userid="guest", password="guest")
    env = stack.redis.environment()
    with (
        redis.Redis(env["REDIS_HOST"], int(env["REDIS_PORT"])) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_everything_listens_on_the_loopback_address_only(stack: Servers, state_dir: Path) -> None:
    addresses = {
        connection.laddr.ip
        for process in leftovers(state_dir)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses
    assert addresses <= {"127.0.0.1", "::1"}


def test_passwords_are_on_no_command_line(stack: Servers, state_dir: Path) -> None:
    passwords = set(state.load_secrets(state_dir).values())
    commands = " ".join(" ".join(process.cmdline()) for process in leftovers(state_dir))
    assert not [password for password in passwords if password in commands]


def test_secrets_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    first = state.load_secrets(tmp_path)
    assert state.load_secrets(tmp_path) == first
    assert len(set(first.values())) == len(state.SECRETS)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o600


def test_ports_stay_the_same_until_one_is_taken(tmp_path: Path) -> None:
    first = state.load_ports(tmp_path)
    assert state.load_ports(tmp_path) == first
    with socket.create_server(("127.0.0.1", first.redis)):
        second = state.load_ports(tmp_path)
    assert second.redis != first.redis
    assert second.postgres == first.postgres


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    state_dir, ports = state.open_dir(tmp_path), state.Ports.pick()
    server = servers.Valkey("redis", state_dir, ports, state.load_secrets(state_dir))
    with socket.create_server(("127.0.0.1", ports.redis)), pytest.raises(ServerFailed) as failed:
        server.start()
    assert (
        str(failed.value) == f"Valkey cannot start: port 127.0.0.1:{ports.redis} is taken by another program"
    )


def test_a_server_that_does_not_start_says_why_in_one_line(tmp_path: Path) -> None:
    state_dir = state.open_dir(tmp_path)
    server = servers.PostgreSQL("postgres", state_dir, state.Ports.pick(), state.load_secrets(state_dir))
    server.data.mkdir()
    (server.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerFailed) as failed:
        server.start()
    assert str(failed.value).startswith("PostgreSQL ended while starting; its last log line: ")
    assert str(server.log) in str(failed.value)
    assert "\n" not in str(failed.value)


def test_a_missing_rabbitmq_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_rabbitmq_server", lambda: None)
    state_dir = state.open_dir(tmp_path)
    server = servers.RabbitMQ("rabbitmq", state_dir, state.Ports.pick(), state.load_secrets(state_dir))
    with pytest.raises(ServerFailed, match=r"local/install_rabbitmq\.sh"):
        server.start()


def test_stopping_ends_the_children_of_a_process_too(tmp_path: Path) -> None:
    child = Child("parent", state.open_dir(tmp_path))
    child.spawn(["sh", "-c", "sleep 100 & sleep 100"], {"PATH": os.environ["PATH"]})
    while len(child.family()) < 3:
        pass
    child.stop()
    assert not leftovers(child.state_dir)


def test_log_lines_are_shown_without_control_characters(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("first\n\x1b[31mred\x07\n\n")
    assert last_lines(log, 1) == "[31mred"


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "8000x", "٨٠٠٠"])
def test_a_wrong_port_is_one_clear_line(tmp_path: Path, port: str) -> None:
    environment = {"STATE_DIR": str(tmp_path), "PORT": port or "none"}
    with pytest.raises(StackFailed, match="must be a number from 1 to 65535"):
        Stack(environment, None)
