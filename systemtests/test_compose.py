"""docker-compose.yml, black box: the stack comes up, keeps its promise under faults, and is closed.

    COMPOSE=1 pytest systemtests/test_compose.py

It builds the images, needs Docker with the compose plugin, and takes five to ten minutes. It uses a
project, secrets, network and port of its own, and removes them at the end.
"""

import json
import os
import re
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

if os.environ.get("COMPOSE") != "1":
    pytest.skip("builds images and starts containers: COMPOSE=1 to run", allow_module_level=True)

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "breakwater-test"
SERVICES = {
    "web",
    "worker",
    "courier",
    "migrate",
    "flower",
    "nginx",
    "postgres",
    "rabbitmq",
    "redis",
    "mongodb",
}
PORTS = {
    "web": [8000],
    "rabbitmq": [5672, 15672],
    "redis": [6379],
    "postgres": [5432],
    "mongodb": [27017],
    "flower": [5555],
    "mongo-express": [8081],
}
"""The ports of requirement R24."""


class Stack:
    """The project's containers."""

    def __init__(self, folder: Any) -> None:
        self.secrets = folder / "secrets"
        self.env_file = folder / "env"
        self.url = f"http://localhost:{free_port()}"
        settings = {
            "ENV_FILE": self.env_file,
            "SECRETS_DIR": self.secrets,
            "TAG": "test",
            "BACKEND_SUBNET": "10.213.58.0/24",
            "HTTP_ADDRESS": "127.0.0.1",
            "HTTP_PORT": self.url.rpartition(":")[2],
            # Never reached, and still asked for: "off" would leave Redis out of the way.
            "RATE_LIMIT": "100000/minute",
            # The tests come from the host itself, which the admin is closed to by default.
            "ADMIN_FROM": "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16",
            # Nobody answers there; a test has another courier, which prints its codes.
            "CODE_GATEWAY": "kavenegar",
            "CODE_GATEWAY_URL": "http://127.0.0.1:9",
            "CODE_BUDGET": "1000",
            "LANDING_DIR": folder / "landing",
        }
        proven = folder / "landing/campaigns/proven"
        proven.mkdir(parents=True)
        (folder / "landing/page.toml").write_text("")
        (proven / "page.toml").write_text('[campaign]\nconfirm = "sms"\n')
        self.settings = {name: str(value) for name, value in settings.items()}
        self.env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in settings and not name.startswith("COMPOSE")
        }
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=20)

    def compose(
        self,
        *arguments: Any,
        files: Any = ("docker-compose.yml",),
        check: Any = True,
        text: str | None = None,
    ) -> Any:
        command = ["docker", "compose", "-p", PROJECT, "--env-file", str(self.env_file)]
        command += ["--profile", "tools", "--profile", "codes"]
        for file in files:
            command += ["-f", str(file)]
        return run(*command, *arguments, env=self.environment, check=check, text=text)

    def up(self, *arguments: Any) -> None:
        self.compose("up", "-d", "--wait", "--wait-timeout", "240", *arguments)

    def config(self, *files: Any) -> Any:
        everything = ("--profile", "toolbox", "config", "--format", "json")
        return json.loads(self.compose(*everything, files=files or ("docker-compose.yml",)))

    def python(self, service: Any, code: Any) -> Any:
        """Run Python in a service's container, as its user and with its secrets."""
        if service == "toolbox":  # which has a container only while a command runs
            return self.compose("run", "--rm", "-T", "--entrypoint", "python", service, "-", text=code)
        return self.compose("exec", "-T", service, "python", "-", text=code)

    def toolbox(self, *command: Any, check: Any = True, text: str = "") -> Any:
        """Run an operator's command and return what it prints."""
        return self.compose("run", "--rm", "-T", "toolbox", *command, check=check, text=text)

    def sql(self, query: Any) -> Any:
        psql = ["psql", "-U", "postgres", "-d", "breakwater", "-Atc", query]
        return self.compose("exec", "-T", "postgres", *psql).split()

    def secret(self, name: str) -> Any:
        return (self.secrets / name).read_text().strip()

    def register(self, phone: str | None = None, **headers: Any) -> Any:
        return self.http.post(
            "/api/register/", json={"phone_number": phone or random_phone()}, headers=headers
        )

    def status(self, task_id: Any) -> Any:
        return self.http.get(f"/api/register/{task_id}/").json()["status"]

    def logs(self, *services: Any) -> Any:
        ids = self.compose("ps", "-aq", *services).split()
        return "".join(run("docker", "logs", one, stderr=subprocess.STDOUT) for one in ids)

    def witness(self) -> Any:
        """The lines of nginx's access log."""
        return [json.loads(line) for line in self.logs("nginx").splitlines() if line.startswith("{")]

    def witnessed(self, request_id: Any) -> Any:
        """The line of one request, when nginx has written it."""
        [line] = wait_until(
            lambda: [line for line in self.witness() if line["request_id"] == request_id], seconds=5
        )
        return line

    def containers(self, *services: Any) -> Any:
        ids = self.compose("ps", "-aq", *services).split()
        return json.loads(run("docker", "inspect", *ids))

    def stored(self) -> Any:
        return set(self.sql("SELECT request_id FROM landing_submission"))

    def logged(self) -> Any:
        return self.python("web", READ_LOGS).split()


READ_LOGS = """
from logs import utils, stores
import django; django.setup()
for document in utils._store()._collection.find({}, {"_id": 1}):
    print(document["_id"])
"""


def run(
    *command: Any, check: Any = True, text: str | None = None, env: Any = None, stderr: Any = subprocess.PIPE
) -> Any:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        input=text,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        check=False,
    )
    if check and done.returncode:
        pytest.fail(
            f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"[-4000:]
        )
    return done.stdout


def free_port() -> Any:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def random_phone() -> str:
    return f"09{uuid4().int % 10**9:09d}"


def wait_until(condition: Any, seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.5)
    return value


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    composed = Stack(tmp_path_factory.mktemp("compose"))
    run("docker/make_secrets.sh", env={**os.environ, "SECRETS_DIR": str(composed.secrets)})
    (composed.secrets / "code_gateway_key").write_text(uuid4().hex)
    composed.compose("down", "-v", "--remove-orphans")
    try:
        composed.compose("build")
        composed.up()
        yield composed
    finally:
        composed.http.close()
        composed.compose("down", "-v", "--remove-orphans", check=False)


@contextmanager
def load(composed: Any, threads: Any = 4, pause: Any = 0.1) -> Any:
    """Send registrations as long as the block lasts; the list it gives holds the ids of the accepted ones."""
    accepted, stop = [], threading.Event()

    def send() -> None:
        with httpx.Client(base_url=composed.url, trust_env=False, timeout=20) as http:
            while not stop.is_set():
                try:
                    answer = http.post("/api/register/", json={"phone_number": random_phone()})
                    if answer.status_code == 202:
                        accepted.append(answer.json()["request_id"])
                except httpx.HTTPError:
                    pass
                stop.wait(pause)

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(threads):
            pool.submit(send)
        try:
            yield accepted
        finally:
            stop.set()


def assert_kept(composed: Any, accepted: Any) -> None:
    """Each accepted id is in PostgreSQL and in MongoDB; both hold the same ids, each once."""
    assert len(accepted) > 100, "the load was too small to tell anything"
    wait_until(lambda: set(accepted) <= composed.stored(), 240)
    wait_until(lambda: composed.stored() == set(composed.logged()), 240)
    logged = composed.logged()
    assert len(logged) == len(set(logged))
    assert len(accepted) == len(set(accepted))


# The stack as it is used


def test_a_registration_through_nginx_ends_as_registered(composed: Any) -> None:
    answer = composed.register()
    assert answer.status_code == 202
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"]
    wait_until(lambda: composed.status(answer.json()["task_id"]) == "Registered", 20)
    assert composed.http.get("/readyz").json()["status"] == "ready"


def test_limits_and_states_are_kept_in_redis(composed: Any) -> None:
    answer = composed.register()
    wait_until(lambda: composed.status(answer.json()["task_id"]) == "Registered", 20)
    keys = redis_as_admin(composed, "keys", "*").split()
    assert f"celery-task-meta-{answer.json()['task_id']}" in keys
    assert any(key.startswith("limit:") for key in keys)
    assert "without Redis" not in composed.logs("web")


def test_counts_and_limits_survive_a_restart_of_redis(composed: Any) -> None:
    composed.register()
    counted = wait_until(
        lambda: redis_as_admin(composed, "hget", "metrics:totals", "accepted:rabbitmq").strip(), 10
    )
    limits = redis_as_admin(composed, "keys", "limit:*")
    composed.compose("restart", "redis")
    composed.up("--no-recreate")
    assert int(redis_as_admin(composed, "hget", "metrics:totals", "accepted:rabbitmq")) >= int(counted)
    assert redis_as_admin(composed, "keys", "limit:*") == limits


def redis_as_admin(composed: Any, *command: Any) -> Any:
    login = 'redis-cli --no-auth-warning --user admin --pass "$(cat /run/secrets/redis_admin)" "$@"'
    return composed.compose("exec", "-T", "redis", "sh", "-c", login, "sh", *command)


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("http://flower:5555/", "flower_password"),
        ("http://flower:5555/api/workers", "flower_password"),
        ("http://mongo-express:8081/", "mongo_express_password"),
    ],
)
def test_monitoring_pages_want_their_login(composed: Any, address: Any, secret: Any) -> None:
    ask = f"""
import base64, urllib.request, urllib.error
for login in (None, "admin:", "admin:admin", "admin:pass", "admin:{composed.secret(secret)}"):
    request = urllib.request.Request("{address}")
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        print(urllib.request.urlopen(request, timeout=10).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""
    assert composed.python("web", ask).split() == ["401", "401", "401", "401", "200"]


def test_flower_does_not_start_without_a_login(composed: Any) -> None:
    started = composed.compose("run", "--rm", "--no-deps", "-T", "-e", "FLOWER_USER=", "flower", check=False)
    assert "Visit me" not in started


def test_scaled_out_nginx_balances_over_all_web_containers(composed: Any) -> None:
    try:
        composed.up("--no-recreate", "--scale", "web=2", "--scale", "worker=2")

        def both() -> Any:
            for _ in range(20):
                composed.http.get("/api/register/")
            lines = composed.logs("nginx").splitlines()[-40:]
            return len(set(re.findall(r'"upstream":"([0-9.]+):8000"', "\n".join(lines)))) == 2

        wait_until(both)
        with load(composed) as accepted:
            time.sleep(5)
        assert_kept(composed, accepted)
    finally:
        composed.up("--no-recreate", "--scale", "web=1", "--scale", "worker=1")


def test_connections_to_the_web_are_kept(composed: Any) -> None:
    def opened() -> Any:
        [names, values] = [
            line.split()
            for line in composed.compose("exec", "-T", "web", "cat", "/proc/net/snmp").splitlines()
            if line.startswith("Tcp:")
        ]
        return int(values[names.index("PassiveOpens")])

    before = opened()
    for _ in range(200):
        assert composed.register().status_code == 202
    assert opened() - before < 20  # health checks open one each


def test_no_visitor_sees_that_one_of_two_webs_is_killed(composed: Any) -> None:
    try:
        composed.up("--no-recreate", "--scale", "web=2")
        before = len(composed.witness())
        with visitors(composed) as (accepted, statuses):
            killed = composed.compose("ps", "-q", "web").split()[0]
            for _ in range(2):
                time.sleep(3)
                run("docker", "kill", killed)
                time.sleep(3)
                run("docker", "start", killed)
        refused = [line for line in composed.witness()[before:] if line["status"] not in ("202", "499")]
        # On a busy machine a web may say 503 by itself; what it says is not nginx's to change.
        assert [line for line in refused if not line["upstream_status"].endswith("503")] == []
        assert statuses <= {200, 202, 503}
        assert_kept(composed, accepted)
    finally:
        composed.up("--no-recreate", "--scale", "web=1")


@contextmanager
def visitors(composed: Any) -> Any:
    """Ask for the page, register with a key as the page does, and poll.

    Gives the ids of the accepted registrations and the statuses of all answers.
    """
    accepted, statuses, stop = [], set(), threading.Event()

    def visit() -> None:
        with httpx.Client(base_url=composed.url, trust_env=False, timeout=20) as http:
            while not stop.wait(0.02):
                statuses.add(http.get("/fa/").status_code)
                key = {"Idempotency-Key": str(uuid4())}
                answer = http.post("/api/register/", json={"phone_number": random_phone()}, headers=key)
                statuses.add(answer.status_code)
                if answer.status_code == 202:
                    accepted.append(answer.json()["request_id"])
                    statuses.add(http.get(f"/api/register/{accepted[-1]}/").status_code)

    with ThreadPoolExecutor(8) as pool:
        visits = [pool.submit(visit) for _ in range(8)]
        try:
            yield accepted, statuses
        finally:
            stop.set()
    for one in visits:
        one.result()


def test_nginx_follows_a_web_that_is_made_anew(composed: Any) -> None:
    composed.compose("up", "-d", "--wait", "--force-recreate", "--no-deps", "web")
    wait_until(lambda: composed.register().status_code == 202, 5)


def test_without_mongodb_the_worker_starts_stores_and_parks_documents(composed: Any) -> None:
    override = composed.env_file.with_name("no-mongodb.yml")
    override.write_text("services: {mongodb: {entrypoint: [sh, -c, exit 132]}}")
    files = ("docker-compose.yml", override)
    recreate = ("up", "-d", "--force-recreate", "worker", "mongodb")
    try:
        composed.compose(*recreate, files=files)
        request_id = composed.register().json()["request_id"]
        wait_until(lambda: request_id in composed.stored(), 180)
        wait_until(lambda: request_id in composed.sql("SELECT request_id FROM landing_parked_log"))
    finally:
        composed.compose(*recreate)
        composed.up("--no-recreate")
    wait_until(lambda: request_id in composed.logged())


def test_doctor_finds_no_fault_and_names_a_variable_that_differs(composed: Any) -> None:
    assert doctor(composed) == []
    try:
        override = composed.env_file.with_name("differs.yml")
        override.write_text("services: {worker: {environment: {STATE_TTL: '1234'}}}")
        recreate = ("up", "-d", "--wait", "--no-deps", "worker")
        composed.compose(*recreate, files=("docker-compose.yml", override))
        found = wait_until(lambda: doctor(composed), 30)
        assert any("STATE_TTL" in text and "worker" in text for text in found)
    finally:
        composed.compose(*recreate)


def doctor(composed: Any) -> Any:
    """What doctor calls a fault."""
    found = json.loads(composed.toolbox("doctor", "--json", check=False))
    return [json.dumps(one) for one in found if one["verdict"] == "fault"]


# An operator's commands


NEW = """
import django; django.setup()
from datetime import UTC, datetime
from pathlib import Path
from django.conf import settings
from landing.storing.dead_lettering import bury
from landing.submission import Submission
from lib import request_ids, spool
from logs import utils as logs
import orjson
request_id = request_ids.new(settings.SECRET_KEY.encode())
wire = Submission("%s", request_id, "192.0.2.1", "", "", datetime.now(UTC)).to_wire()
print(request_id)
"""
"""A registration, for a line that does with it what no visitor can."""


def new(composed: Any, service: Any, line: Any) -> Any:
    """Make a registration in a service's container, do the line, and return its request_id."""
    request_id, *_ = composed.python(service, NEW % random_phone() + line).splitlines()
    return request_id


def registered(composed: Any) -> Any:
    """Register and return the request_id when it is in both stores."""
    request_id = composed.register().json()["request_id"]
    wait_until(lambda: request_id in composed.stored() & set(composed.logged()))
    return request_id


def test_the_toolbox_lists_replays_and_discards_dead_letters(composed: Any) -> None:
    kept, given_up = (new(composed, "worker", "bury(wire, 'refused by a test')") for _ in range(2))
    listed = composed.toolbox("dead_letters", "list")
    assert kept in listed
    assert given_up in listed
    composed.toolbox("dead_letters", "replay", "--request-id", kept)
    discard = ("dead_letters", "discard", "--request-id", given_up, "--reason-note", "a test", "--yes")
    assert "1 dead letters discarded" in composed.toolbox(*discard)
    wait_until(lambda: kept in composed.stored())
    assert json.loads(composed.toolbox("dead_letters", "list", "--json"))["count"] == 0


def test_an_installation_from_before_the_toolbox_is_updated_and_gets_its_role_later(composed: Any) -> None:
    composed.sql("DROP OWNED BY breakwater_toolbox; DROP ROLE breakwater_toolbox")
    try:
        composed.compose("run", "--rm", "-T", "migrate")
    finally:
        composed.compose("exec", "-T", "postgres", "bash", "/docker-entrypoint-initdb.d/roles.sh")
        composed.compose("run", "--rm", "-T", "migrate")
    # What a container that is gone has announced of its settings stays for two minutes.
    wait_until(lambda: doctor(composed) == [], seconds=150)


def test_the_toolbox_traces_a_registration(composed: Any) -> None:
    hops = json.loads(composed.toolbox("trace", registered(composed), "--json"))
    assert [hop["name"] for hop in hops] == ["accepted", "queued", "stored", "logged", "state"]
    assert hops[-1]["facts"]["celery"] == "SUCCESS"


def test_nginx_log_piped_into_the_toolbox_proves_that_nothing_is_missing(composed: Any) -> None:
    composed.witnessed(registered(composed))
    witness = composed.compose("logs", "--no-log-prefix", "nginx")
    report = json.loads(composed.toolbox("reconcile", "--accepted", "-", "--json", text=witness))
    assert report["ok"]
    assert report["accepted"] == report["stored"] > 0


def test_the_toolbox_looks_for_a_missing_one_in_queue_and_spool_before_it_calls_it_lost(
    composed: Any,
) -> None:
    lost = new(composed, "toolbox", "")
    told = composed.toolbox("reconcile", "--accepted", "-", "--settle", "0", "--json", check=False, text=lost)
    report = json.loads(told)
    assert report["lost"]["ids"] == [lost]
    assert report["in_hand"] is not None  # which RabbitMQ's management tells, some seconds late


def test_the_toolbox_writes_a_document_that_mongodb_lacks(composed: Any) -> None:
    request_id = registered(composed)
    new(composed, "toolbox", f"logs.delete(['{request_id}'])")
    assert request_id not in composed.logged()
    report = json.loads(composed.toolbox("reconcile", "--since", "1h", "--repair", "--settle", "0", "--json"))
    assert report["repaired"]["ids"] == [request_id]
    assert request_id in composed.logged()


def test_a_rehearsal_from_the_toolbox_is_stored_and_removed(composed: Any) -> None:
    wave = ("rehearse", "--rate", "100", "--count", "500", "--url", "http://web:8000", "--json")
    facts = json.loads(composed.toolbox(*wave))
    assert facts["accepted"] == facts["stored"] == facts["removed"] == 500


def test_a_rehearsal_from_the_toolbox_comes_from_many_addresses(composed: Any) -> None:
    composed.toolbox("rehearse", "--count", "20", "--keep", "--url", "http://web:8000")
    find = """
import django; django.setup()
from logs import utils as logs
for document in logs.find_many(list(logs.ids())):
    if document["user_agent"].startswith("breakwater-rehearsal/"):
        print(document["ip_address"])
"""
    assert set(composed.python("toolbox", find).split()) == {f"198.18.0.{n}" for n in range(20)}
    assert "20 synthetic registrations removed" in composed.toolbox("rehearse", "--clean")


def test_the_toolbox_exports_to_standard_output(composed: Any) -> None:
    registered(composed)
    header, *rows = composed.toolbox("export", "--format", "csv", "--referrer", "--output", "-").splitlines()
    assert header.lstrip("\ufeff").startswith("id,phone_number,")
    assert len(rows) == int(composed.sql("SELECT count(*) FROM landing_registration")[0]) > 0


def test_the_toolbox_drains_the_spool_of_a_web_that_has_gone(composed: Any) -> None:
    composed.compose("stop", "web")
    try:
        put = "spool.create(Path(settings.SPOOL_DIR)).append([orjson.dumps(wire)])"
        request_id = new(composed, "toolbox", put)
        assert json.loads(composed.toolbox("drain_spool", "--json")) == {"moved": 1, "left": 0}
        wait_until(lambda: request_id in composed.stored())
    finally:
        composed.up("--no-recreate")


# The promise under faults


def test_nothing_accepted_is_lost_when_workers_are_killed_and_rabbitmq_restarts(composed: Any) -> None:
    with load(composed) as accepted:
        time.sleep(2)
        composed.compose("kill", "worker")
        time.sleep(2)
        composed.compose("restart", "rabbitmq")
        composed.compose("start", "worker")
        before = len(accepted)
        wait_until(lambda: len(accepted) > before + 50)
    assert_kept(composed, accepted)


def test_nothing_accepted_is_lost_when_the_stack_goes_down_under_load(composed: Any) -> None:
    with load(composed) as accepted:
        time.sleep(3)
        composed.compose("down")
    composed.up()
    assert_kept(composed, accepted)


def test_nothing_accepted_is_lost_when_a_database_is_away(composed: Any) -> None:
    with load(composed) as accepted:
        for database in ("postgres", "mongodb"):
            composed.compose("kill", database)
            time.sleep(3)
            composed.compose("start", database)
        composed.up("--no-recreate")
    assert_kept(composed, accepted)


def test_pages_stay_and_registrations_are_refused_clearly_while_the_web_is_away(composed: Any) -> None:
    pages = ("/", "/fa/", "/en/", "/fa/?utm_source=somewhere")
    for page in pages:
        assert composed.http.get(page).status_code == 200
    composed.compose("stop", "web")
    try:
        time.sleep(11)  # the copies are stale by now
        for page in pages:
            assert composed.http.get(page).status_code == 200, page
        static = re.search(r'href="(/static/[^"]+\.woff2)"', composed.http.get("/fa/").text)[1]
        assert "immutable" in composed.http.get(static).headers["Cache-Control"]
        refused = composed.register(**{"Accept-Language": "en"})
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.json()["code"] == "unavailable"
        assert refused.json()["request_id"] == refused.headers["X-Request-ID"]
        assert composed.witnessed(refused.headers["X-Request-ID"])["method"] == "POST"
    finally:
        composed.up("--no-recreate")


def test_no_server_has_refused_what_the_product_asked(composed: Any) -> None:
    """Up to here nothing was attacked: each process has done its work, with its own rights."""
    composed.toolbox("doctor", check=False)
    assert composed.http.get("/readyz").json()["status"] == "ready"
    assert redis_as_admin(composed, "acl", "log").strip() == ""
    assert "permission denied" not in composed.logs("postgres")
    assert not re.search("access_refused|access to .* refused", composed.logs("rabbitmq"))


# What nginx answers by itself


@pytest.mark.parametrize("language", ["en", "fa"])
def test_nginx_refuses_large_bodies_in_the_words_of_the_web(composed: Any, language: str) -> None:
    from_nginx = composed.http.post(
        "/api/register/", content=b" " * 16385, headers={"Accept-Language": language}
    )
    ask = f"""
import urllib.request, urllib.error
headers = {{"Accept-Language": "{language}", "Content-Type": "application/json", "Host": "localhost"}}
request = urllib.request.Request("http://web:8000/api/register/", b" " * 16385, headers)
try:
    urllib.request.urlopen(request)
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""
    assert from_nginx.status_code == 413
    ours, theirs = from_nginx.json(), json.loads(composed.python("web", ask))
    assert ours.pop("request_id") != theirs.pop("request_id")
    assert ours == theirs


@pytest.mark.parametrize(
    ("status", "code", "raw"),
    [
        (400, "bad_request", b"GET / HTTP/1.1\r\n\r\n"),
        (400, "bad_request", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9000 + b"\r\n\r\n"),
        (400, "bad_request", b"GET /fa/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        (404, "not_found", b"GET /static/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (413, "too_large", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n"),
    ],
)
def test_nginx_own_errors_are_problems_with_all_security_headers(
    composed: Any, status: Any, code: Any, raw: Any
) -> None:
    with socket.create_connection(
        ("127.0.0.1", int(composed.url.rpartition(":")[2])), timeout=15
    ) as connection:
        connection.sendall(raw.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    headers = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in head.splitlines()[1:]}
    assert head.split()[1] == str(status)
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["code"] == code
    assert headers["server"] == "nginx"
    assert headers["strict-transport-security"] == "max-age=86400"
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"]


def test_a_visitor_cannot_choose_address_or_request_id(composed: Any) -> None:
    forged = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Real-IP": "203.0.113.9",
        "CF-Connecting-IP": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
        "X-Request-ID": "00000000-0000-4000-8000-000000000000",
    }
    answer = composed.register(**forged)
    request_id = answer.json()["request_id"]
    assert request_id != forged["X-Request-ID"]
    wait_until(lambda: composed.status(request_id) == "Registered", 20)
    find = f"import django; django.setup(); from logs import utils; print(utils.find('{request_id}')['ip_address'])"
    witness = composed.witnessed(request_id)
    assert composed.python("web", find).strip() == witness["ip"] != "203.0.113.9"


def test_the_access_log_names_each_accepted_request(composed: Any) -> None:
    answer = composed.register()
    witness = composed.witnessed(answer.json()["request_id"])
    assert (witness["status"], witness["method"], witness["path"]) == ("202", "POST", "/api/register/")


def test_the_access_log_has_registrations_and_errors_and_no_line_for_pages_and_polls(composed: Any) -> None:
    before = len(composed.witness())
    for _ in range(5):
        composed.http.get("/fa/")
        composed.http.get("/livez")
    task_id = composed.register().json()["task_id"]
    wait_until(lambda: composed.status(task_id) == "Registered", 20)
    composed.http.get("/nothing/")
    composed.witnessed(task_id)
    wait_until(lambda: composed.witness()[-1]["status"] == "404", 5)
    assert [line["status"] for line in composed.witness()[before:]] == ["202", "404"]


def test_a_nginx_that_is_killed_has_written_what_was_accepted_before_the_last_moment(composed: Any) -> None:
    accepted = [composed.register().json()["request_id"] for _ in range(30)]
    time.sleep(0.5)  # five times its flush
    composed.compose("kill", "-s", "KILL", "nginx")
    composed.up("--no-recreate")
    assert {line["request_id"] for line in composed.witness()} >= set(accepted)


def test_a_slow_operator_gets_the_whole_of_an_export_that_is_larger_than_nginx_disk(composed: Any) -> None:
    composed.sql("""
        WITH one AS (
            INSERT INTO dashboard_export (format, status, referrer, requested_by, state, finished_at, rows, bytes)
            VALUES ('csv', '', false, 'a test', 'ready', now(), 1, 200 << 20) RETURNING id)
        INSERT INTO dashboard_exportchunk (export_id, number, body)
        SELECT one.id, number, convert_to(repeat('x', 1 << 20), 'UTF8') FROM one, generate_series(1, 200) AS number
    """)
    [export] = composed.sql("SELECT max(id) FROM dashboard_export")
    composed.sql("""
        INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active, first_name, last_name, email,
            date_joined) VALUES ('slow', '', true, true, true, '', '', '', now())
    """)
    cookie = composed.python("web", LOG_IN).strip()
    received = 0
    headers = {"Cookie": f"sessionid={cookie}; __Host-sessionid={cookie}; __Secure-sessionid={cookie}"}
    with composed.http.stream("GET", f"/admin/dashboard/export/{export}/file/", headers=headers) as answer:
        assert answer.status_code == 200
        for piece in answer.iter_raw():
            if received == 0:
                time.sleep(6)  # nginx has long taken what it can
            received += len(piece)
    assert received == 200 << 20
    assert "No space left" not in composed.logs("nginx")


LOG_IN = """
import django; django.setup()
from django.contrib.auth import get_user_model
from django.test import Client
client = Client()
client.force_login(get_user_model().objects.get(username="slow"))
print([cookie.value for name, cookie in client.cookies.items() if name.endswith("sessionid")][0])
"""


def test_slow_clients_are_hung_up_on_and_do_not_hinder_others(composed: Any) -> None:
    address = ("127.0.0.1", int(composed.url.rpartition(":")[2]))
    slow = [socket.create_connection(address, timeout=20) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(b"POST /api/register/ HTTP/1.1\r\nHost: localhost\r\n")
        started = time.monotonic()
        assert composed.register().status_code == 202
        assert time.monotonic() - started < 2
        for connection in slow:
            connection.settimeout(max(0.1, 15 - (time.monotonic() - started)))
            assert hung_up(connection)
    finally:
        for connection in slow:
            connection.close()


def hung_up(connection: Any) -> Any:
    try:
        return connection.recv(4096) == b""
    except ConnectionResetError:
        return True


# Closed doors


def test_only_nginx_has_a_port_on_the_host(composed: Any) -> None:
    published = {
        (one["Config"]["Labels"]["com.docker.compose.service"], binding["HostIp"])
        for one in composed.containers()
        for bindings in (one["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or []
    }
    assert published == {("nginx", "127.0.0.1")}


def test_from_another_network_nothing_is_found(composed: Any) -> None:
    addresses = [
        (one["Config"]["Labels"]["com.docker.compose.service"], network["IPAddress"])
        for one in composed.containers()
        for network in one["NetworkSettings"]["Networks"].values()
        if network["IPAddress"] and one["State"]["Running"]
    ]
    targets = [
        (host, port)
        for service, address in addresses
        for host in (service, address)
        for port in PORTS.get(service, [])
    ]
    assert {service for service, _ in addresses} >= set(PORTS)
    scan = f"""
import socket
from concurrent.futures import ThreadPoolExecutor
def reach(target):
    try:
        socket.create_connection(target, timeout=2).close()
    except OSError:
        return
    print(*target)
list(ThreadPoolExecutor(16).map(reach, {targets}))
"""
    network = f"{PROJECT}-elsewhere"
    run("docker", "network", "create", network)
    try:
        image = ("--entrypoint", "python", "breakwater:test", "-")
        found = run("docker", "run", "--rm", "-i", "--network", network, *image, text=scan)
    finally:
        run("docker", "network", "rm", network)
    assert found == ""


def test_no_container_but_nginx_and_the_courier_reaches_out(composed: Any) -> None:
    networks = {
        one["Config"]["Labels"]["com.docker.compose.service"]: set(one["NetworkSettings"]["Networks"])
        for one in composed.containers()
    }
    inside, outside = f"{PROJECT}_backend_network", f"{PROJECT}_edge"
    assert networks.pop("nginx") == {inside, outside}
    assert networks.pop("courier") == {inside, f"{PROJECT}_egress"}
    assert all(network == {inside} for network in networks.values())
    assert json.loads(run("docker", "network", "inspect", inside))[0]["Internal"]


ATTACK = """
import os, json
import amqp, psycopg, pymongo, redis

env = os.environ
def secret(name):
    return open(env[name + "_FILE"]).read().strip()

REFUSALS = (
    psycopg.errors.InsufficientPrivilege, redis.exceptions.NoPermissionError, amqp.AccessRefused,
)
def refused(attack):
    try:
        attack()
    except REFUSALS:
        return True
    except redis.exceptions.ResponseError as error:
        return "ACL failure" in str(error) or "not allowed" in str(error)
    except pymongo.errors.OperationFailure as error:
        return error.code == 13 or "not authorized" in str(error)
    return False

sql = psycopg.connect(host="postgres", dbname="breakwater", user=env["POSTGRES_USER"],
                      password=secret("POSTGRES_PASSWORD"), autocommit=True)
keys = redis.Redis("redis", username=env["REDIS_USER"], password=secret("REDIS_PASSWORD"))
mongo = pymongo.MongoClient("mongodb", username=env["MONGODB_USER"], password=secret("MONGODB_PASSWORD"))
logs = mongo["breakwater"]["request_logs"]

def channel():
    connection = amqp.Connection("rabbitmq:5672", env["RABBITMQ_USER"], secret("RABBITMQ_PASSWORD"),
                                 virtual_host="breakwater")
    connection.connect()
    return connection.channel()

def publish(exchange, key):
    there = channel()
    there.confirm_select()
    there.basic_publish_confirm(amqp.Message("{}"), exchange, key)

ATTACKS = {
    "sql": lambda one: sql.execute(one),
    "redis": lambda one: keys.execute_command(*one.split()),
    "mongo": lambda one: {
        "insert": lambda: logs.insert_one({"_id": "attack"}), "find": lambda: logs.find_one(),
        "delete": lambda: logs.delete_one({"_id": "nothing"}), "drop": lambda: logs.drop(),
        "update": lambda: logs.update_one({"_id": "nothing"}, {"$set": {"a": 1}}),
        "users": lambda: mongo.admin.command("usersInfo"),
    }[one](),
    "rabbitmq": lambda one: {
        "get": lambda: channel().basic_get("registrations"),
        "consume": lambda: channel().basic_consume("registrations"),
        "read dead": lambda: channel().basic_get("registrations.dead"),
        "purge": lambda: channel().queue_purge("registrations"),
        "delete": lambda: channel().queue_delete("registrations"),
        "declare": lambda: channel().queue_declare("mine"),
        "publish default": lambda: publish("", "registrations"),
        "publish live": lambda: publish("registrations", "nowhere"),
        "publish dead": lambda: publish("registrations.dead", "nowhere"),
        "publish control": lambda: publish("celery.pidbox", ""),
    }[one](),
}
print(json.dumps([name for name in NAMES if not refused(lambda: ATTACKS[name[0]](name[1]))]))
"""

EVERYBODY = [
    ("sql", "DROP TABLE landing_submission"),
    ("sql", "ALTER TABLE landing_submission DISABLE TRIGGER ALL"),
    ("sql", "TRUNCATE landing_submission CASCADE"),
    ("sql", "CREATE TABLE mine ()"),
    ("sql", "CREATE TEMP TABLE mine ()"),
    ("sql", "UPDATE landing_registration SET phone_number = '09000000000'"),
    ("sql", "UPDATE landing_submission SET registration_id = 1"),
    ("sql", "SELECT pg_read_file('/etc/passwd')"),
    ("sql", "COPY landing_submission TO PROGRAM 'id'"),
    ("sql", "CREATE ROLE mine SUPERUSER"),
    ("redis", "FLUSHALL"),
    ("redis", "CONFIG GET *"),
    ("redis", "KEYS *"),
    ("redis", "SCAN 0"),
    ("redis", "ACL LIST"),
    ("redis", "MODULE LIST"),
    ("redis", "SHUTDOWN NOSAVE"),
    ("redis", "SET other 1"),
    ("mongo", "update"),
    ("mongo", "drop"),
    ("mongo", "users"),
    ("rabbitmq", "declare"),
    ("rabbitmq", "delete"),
    ("rabbitmq", "publish default"),
]
VISITED = [
    ("sql", "DELETE FROM landing_submission"),
    ("sql", "DELETE FROM landing_registration"),
    ("mongo", "delete"),
]
"""What a process may not that works for visitors; the toolbox removes what a rehearsal has sent."""
WEB_TOO = [
    *VISITED,
    ("sql", "INSERT INTO landing_submission SELECT"),
    ("sql", "INSERT INTO landing_registration SELECT"),
    ("sql", "UPDATE landing_registration SET last_seen = now()"),
    ("sql", "UPDATE dashboard_export SET state = 'ready'"),
    ("sql", "DELETE FROM dashboard_exportchunk"),
    ("sql", "DELETE FROM django_admin_log"),
    ("redis", "SET celery-task-meta-x 1"),
    ("mongo", "insert"),
    ("rabbitmq", "get"),
    ("rabbitmq", "consume"),
    ("rabbitmq", "purge"),
    ("rabbitmq", "publish dead"),
    ("rabbitmq", "publish control"),
]
WORKER_TOO = [
    *VISITED,
    ("sql", "SELECT * FROM otp_totp_totpdevice"),
    ("sql", "SELECT password FROM auth_user"),
    ("sql", "SELECT * FROM django_session"),
    ("redis", "LPUSH limit:x 1"),
    ("redis", "EVAL return 0"),
    ("rabbitmq", "read dead"),
    ("rabbitmq", "publish live"),
]
TOOLBOX_TOO = [
    ("sql", "INSERT INTO landing_submission SELECT"),
    ("sql", "UPDATE landing_registration SET last_seen = now()"),
    ("sql", "UPDATE landing_parked_log SET document = '{}'"),
    ("sql", "SELECT password FROM auth_user"),
    ("sql", "SELECT * FROM django_session"),
    ("sql", "SELECT * FROM django_admin_log"),
    ("sql", "SELECT key FROM otp_totp_totpdevice"),
    ("sql", "SELECT token FROM otp_static_statictoken"),
    ("sql", "SELECT * FROM dashboard_exportchunk"),
    ("redis", "GET limit:x"),
    ("redis", "EVAL return 0"),
    ("rabbitmq", "publish dead"),
    ("rabbitmq", "publish control"),
]


@pytest.mark.parametrize(
    ("service", "attacks"),
    [
        ("web", EVERYBODY + WEB_TOO),
        ("worker", EVERYBODY + WORKER_TOO),
        ("toolbox", EVERYBODY + TOOLBOX_TOO),
    ],
)
def test_a_taken_over_process_can_do_no_more_than_its_own_work(
    composed: Any, service: Any, attacks: Any
) -> None:
    assert json.loads(composed.python(service, f"NAMES = {attacks!r}\n{ATTACK}")) == []


def test_default_passwords_open_nothing(composed: Any) -> None:
    attempt = """
import amqp, psycopg, pymongo, redis
def opens(login):
    try:
        login()
    except (amqp.AccessRefused, psycopg.OperationalError, redis.exceptions.RedisError, pymongo.errors.PyMongoError):
        return False
    return True
def rabbitmq(user, password):
    amqp.Connection("rabbitmq:5672", user, password, virtual_host="breakwater").connect()
SERVERS = {
    "rabbitmq": (rabbitmq, ("guest", "admin", "web", "worker", "flower", "toolbox")),
    "postgres": (
        lambda user, password: psycopg.connect(
            host="postgres", dbname="breakwater", user=user, password=password, connect_timeout=3),
        ("postgres", "breakwater_owner", "breakwater_worker", "breakwater_toolbox", "breakwater"),
    ),
    "redis": (
        lambda user, password: redis.Redis("redis", username=user, password=password).get("x"),
        ("default", "admin", "web", "worker", "toolbox", "health"),
    ),
    "mongodb": (
        lambda user, password: pymongo.MongoClient(
            "mongodb", username=user, password=password, timeoutMS=5000).admin.command("usersInfo"),
        ("admin", "root", "worker", "toolbox"),
    ),
}
for name, (login, users) in SERVERS.items():
    for user in users:
        for password in (user, "password", "breakwater", "changeme"):
            if opens(lambda: login(user, password)):
                print(name, user, password)
if opens(lambda: redis.Redis("redis").get("x")):
    print("redis without a login")
if opens(lambda: pymongo.MongoClient("mongodb").breakwater.request_logs.find_one()):
    print("mongodb without a login")
"""
    assert composed.python("web", attempt) == ""


def test_no_secret_is_in_an_image_an_environment_a_command_or_a_log(composed: Any) -> None:
    canary = random_phone()
    for answer in (composed.register(canary), composed.http.get("/", params={"phone_number": canary})):
        assert answer.status_code in (200, 202)
    time.sleep(2)
    told = {
        "containers": json.dumps(composed.containers()),
        "images": run("docker", "history", "--no-trunc", "breakwater:test")
        + run("docker", "inspect", "breakwater:test", "breakwater-proxy:test"),
        "logs": composed.logs(),
    }
    for name, text in told.items():
        assert canary not in text, name
        for file in filter(Path.is_file, composed.secrets.iterdir()):
            secret = file.read_text().strip()
            assert not secret or secret not in text, f"{file.name} in {name}"


# The files themselves


def test_every_service_is_confined(composed: Any) -> None:
    services = composed.config()["services"]
    assert set(services) == SERVICES | {"mongo-express", "toolbox"}
    one_shot = ("migrate", "toolbox")
    for name, one in services.items():
        assert one.get("read_only") is True, name
        assert one.get("cap_drop") == ["ALL"], name
        assert "cap_add" not in one, name
        assert "no-new-privileges:true" in one.get("security_opt", []), name
        assert one.get("init") is True, name
        assert int(one.get("mem_limit", 0)) > 0, name
        assert int(one.get("pids_limit", 0)) > 0, name
        assert one["logging"]["options"].keys() >= {"max-size", "max-file"}, name
        assert one["restart"] == ("no" if name in one_shot else "unless-stopped"), name
        assert ("healthcheck" in one) == (name not in one_shot), name
        assert bool(one.get("ports")) == (name == "nginx"), name
        assert not one.get("privileged"), name
        assert not any("docker.sock" in str(volume) for volume in one.get("volumes", [])), name
        assert ":" in one["image"], name


def test_the_web_processes_fit_into_their_container_whatever_the_machine_has(composed: Any) -> None:
    web = composed.config()["services"]["web"]
    assert int(web["environment"]["WEB_CONCURRENCY"]) * (180 << 20) <= int(web["mem_limit"])


def test_no_container_waits_for_a_log(composed: Any) -> None:
    for name, one in composed.config()["services"].items():
        assert one["logging"]["options"]["mode"] == "non-blocking", name


def test_no_process_runs_as_root(composed: Any) -> None:
    for one in composed.containers():
        user = one["Config"]["User"].partition(":")[0]
        assert user not in ("", "0", "root"), one["Name"]


def test_code_cannot_be_written_and_no_compiler_is_there(composed: Any) -> None:
    look = """
import os, shutil
for folder, _, files in os.walk("/app"):
    for path in (folder, *(os.path.join(folder, file) for file in files)):
        if os.stat(path).st_uid == os.getuid() or os.stat(path).st_mode & 0o022:
            print("writable", path)
for program in ("gcc", "cc", "make", "g++", "git", "psql"):
    if shutil.which(program):
        print(program)
"""
    assert composed.python("web", look) == ""


@pytest.mark.parametrize(
    ("service", "own"),
    [
        ("web", {"BIND", "PORT", "LANDING_DIR", "WEB_CONCURRENCY", "CODE_KEY_FILE"}),
        ("toolbox", {"CODE_KEY_FILE"}),
    ],
)
def test_web_worker_and_toolbox_share_their_settings(composed: Any, service: Any, own: Any) -> None:
    services = composed.config()["services"]
    one, worker = services[service]["environment"], services["worker"]["environment"]
    differ = {name for name in one.keys() | worker.keys() if one.get(name) != worker.get(name)}
    logins = {
        f"{server}_{what}"
        for server in ("POSTGRES", "RABBITMQ", "REDIS", "MONGODB")
        for what in ("USER", "PASSWORD_FILE")
    }
    assert differ == logins | own


def test_settings_name_services_and_files_and_never_localhost_or_a_password(composed: Any) -> None:
    for name, one in composed.config()["services"].items():
        own = one.get("environment", {}).items() - composed.settings.items()  # not what .env holds
        for variable, value in own:
            assert not re.search(r"localhost|127\.0\.0\.1", str(value)), (name, variable)
            if re.search("PASSWORD|SECRET|KEY", variable):
                assert str(value).startswith("/run/secrets/"), (name, variable)


def test_development_ports_are_on_this_machine_only(composed: Any) -> None:
    services = composed.config("docker-compose.yml", "docker-compose.dev.yml")["services"]
    for name, ports in PORTS.items():
        published = [
            (port["host_ip"], port["target"], int(port["published"])) for port in services[name]["ports"]
        ]
        assert sorted(published) == [("127.0.0.1", port, port) for port in ports], name


@cache
def compose_text() -> Any:
    return (ROOT / "docker-compose.yml").read_text()


def test_images_are_official_and_pinned_to_a_major_version() -> None:
    images = set(re.findall(r"^    image: (\S+)$", compose_text(), re.MULTILINE))
    official = {"postgres:17", "rabbitmq:4.3-management", "redis:8", "mongo:8", "mongo-express:1"}
    assert {image for image in images if not image.startswith("breakwater")} == official


def test_a_code_goes_out_by_the_courier_and_confirms_a_number(composed: Any) -> None:
    phone = f"09{random_phone()[2:]}"
    # Not with HTTPS: it writes codes where people can read them.
    composed.compose("stop", "courier")
    printing = ("-e", "HTTPS=off", "-e", "CODE_GATEWAY=console")
    courier = composed.compose("run", "-d", *printing, "courier").split()[-1]
    try:
        answer = composed.http.post("/api/register/proven/", json={"phone_number": phone})
        task_id = answer.raise_for_status().json()["task_id"]
        wait_until(lambda: composed.status(task_id) == "Registered", seconds=20)
        composed.http.post(f"/api/register/{task_id}/code/").raise_for_status()
        said = wait_until(lambda: phone in (log := run("docker", "logs", courier)) and log, seconds=30)
        code = re.search(rf'"phone": "{phone}", "code": "(\d{{6}})"', said)
        assert code is not None
        composed.http.post(f"/api/register/{task_id}/confirm/", json={"code": code[1]}).raise_for_status()
        query = f"SELECT status FROM landing_registration WHERE phone_number = '{phone}'"
        wait_until(lambda: composed.sql(query) == ["confirmed"], seconds=20)
    finally:
        run("docker", "rm", "-f", courier)
        composed.compose("start", "courier")
