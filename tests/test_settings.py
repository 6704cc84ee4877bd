"""Settings: each read once, every fault said at once, and the documentation written from the code."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

import manage as manage_py
from config import env
from config.checks import check_messages
from config.management.commands import settings_reference
from local.state import Ports

ROOT = settings.BASE_DIR


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests read is no setting of Breakwater."""
    monkeypatch.setattr(env, "VARIABLES", {})
    monkeypatch.setattr(env, "_faults", [])


def read(
    monkeypatch: pytest.MonkeyPatch, kind: Callable[..., Any], value: str, default: str, *options: Any
) -> Any:
    monkeypatch.setenv("BW_TEST", value)
    return kind("BW_TEST", default, "For a test.", *options)


def faults() -> list[str]:
    with pytest.raises(ImproperlyConfigured) as raised:
        env.raise_faults()
    return [line.strip() for line in str(raised.value).splitlines() if line.startswith("  ")]


GOOD = [
    (env.text, " as it is ", "", " as it is "),
    (env.text, "", "the default", "the default"),
    (env.flag, "on", "off", True),
    (env.flag, "YES", "off", True),
    (env.flag, "0", "on", False),
    (env.flag, "", "on", True),
    (env.integer, "0", "7", 0),
    (env.integer, "65536", "7", 65536),
    (env.seconds, "0.5", "1", 0.5),
    (env.seconds, ".5", "1", 0.5),
    (env.seconds, "12", "1", 12.0),
    (env.names, " a, b ,,c ", "", ["a", "b", "c"]),
    (env.names, "", "", []),
    (env.rate, "10/minute", "off", env.Rate(10, 60)),
    (env.rate, "5/day", "off", env.Rate(5, 86400)),
    (env.rate, "off", "10/minute", None),
]

BAD = [
    (env.flag, "maybe", "on", "on or off"),
    (env.integer, "-1", "7", "a whole number"),
    (env.integer, "1.5", "7", "a whole number"),
    (env.integer, "۷", "7", "a whole number"),
    (env.integer, "1_000", "7", "a whole number"),
    (env.seconds, "0", "1", "a number of seconds above zero"),
    (env.seconds, ".", "1", "a number of seconds above zero"),
    (env.seconds, "inf", "1", "a number of seconds above zero"),
    (env.seconds, "1s", "1", "a number of seconds above zero"),
    (env.addresses, "10.0.0.0/99", "", "IP addresses or ranges"),
    (env.addresses, "nginx", "", "IP addresses or ranges"),
    (env.rate, "0/minute", "10/minute", "a rate such as 10/minute"),
    (env.rate, "10/week", "10/minute", "a rate such as 10/minute"),
    (env.rate, "10", "10/minute", "a rate such as 10/minute"),
]


@pytest.mark.parametrize(("kind", "value", "default", "expected"), GOOD)
def test_a_variable_is_read_as_its_kind(
    monkeypatch: pytest.MonkeyPatch, kind: Callable[..., Any], value: str, default: str, expected: Any
) -> None:
    assert read(monkeypatch, kind, value, default) == expected
    env.raise_faults()


def test_addresses_are_single_ones_and_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    proxies = read(monkeypatch, env.addresses, "127.0.0.1, 10.1.2.3/8", "")
    assert "127.0.0.1" in proxies
    assert "10.9.9.9" in proxies
    assert "127.0.0.2" not in proxies
    assert not read(monkeypatch, env.addresses, "", "")
    env.raise_faults()


@pytest.mark.parametrize(("kind", "value", "default", "wanted"), BAD)
def test_a_wrong_variable_is_named_with_what_it_should_be(
    monkeypatch: pytest.MonkeyPatch, kind: Callable[..., Any], value: str, default: str, wanted: str
) -> None:
    read(monkeypatch, kind, value, default)
    with pytest.raises(ImproperlyConfigured) as fault:
        env.raise_faults()
    assert f"BW_TEST={value!r} is not {wanted}" in str(fault.value)


def test_hosts_are_names_and_addresses_each_with_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = read(monkeypatch, env.hosts, "n1, n2:5673,[2001:db8::1]:5674,/run/postgresql", "", 5672)
    assert hosts == [
        env.Host("n1", 5672),
        env.Host("n2", 5673),
        env.Host("2001:db8::1", 5674),
        env.Host("/run/postgresql", 5672),
    ]
    assert [str(host) for host in hosts[1:3]] == ["n2:5673", "[2001:db8::1]:5674"]
    env.raise_faults()


@pytest.mark.parametrize("value", [",", "a:b", "a:123456", "a b", "amqp://a", "a;b", "::1"])
def test_what_is_no_list_of_hosts_is_a_fault(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    read(monkeypatch, env.hosts, value, "localhost", 5672)
    with pytest.raises(ImproperlyConfigured, match="host names such as"):
        env.raise_faults()


def database(**variables: str) -> Any:
    shell = "from django.conf import settings; import json; print(json.dumps(settings.DATABASES['default']))"
    told = manage("shell", "-v0", "-c", shell, SECRET_KEY="a" * 50, **variables)
    return json.loads(told.stdout)


def test_of_several_postgresql_servers_the_one_that_takes_writes_is_used() -> None:
    several = database(POSTGRES_HOST="a,b:5433", POSTGRES_PORT="6432")
    assert (several["HOST"], several["PORT"]) == ("a,b", "6432,5433")
    assert several["OPTIONS"]["target_session_attrs"] == "read-write"
    assert "target_session_attrs" not in database(POSTGRES_HOST="a")["OPTIONS"]


def test_a_pooler_gets_no_options_and_no_cursor_that_outlives_a_transaction() -> None:
    pooled = database(POSTGRES_POOLER="on")
    assert "options" not in pooled["OPTIONS"]
    assert pooled["DISABLE_SERVER_SIDE_CURSORS"]


def test_a_choice_is_one_of_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, env.choice, "en", "fa", ("fa", "en")) == "en"
    read(monkeypatch, env.choice, "de", "fa", ("fa", "en"))
    assert faults() == ["BW_TEST='de' is not fa or en."]


def test_a_variable_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from the file\n")
    monkeypatch.setenv("BW_TEST_FILE", str(secret))
    assert read(monkeypatch, env.text, "", "") == "from the file"


@pytest.mark.parametrize("kind", [env.text, env.integer])
def test_a_file_that_cannot_be_read_is_a_fault_like_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: Callable[..., Any]
) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (binary, tmp_path, tmp_path / "missing"):
        monkeypatch.setenv("BW_TEST_FILE", str(path))
        read(monkeypatch, kind, "", "7")
    assert len(faults()) == 3
    assert all(fault.startswith("BW_TEST_FILE=") for fault in faults())


def test_what_has_no_default_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BW_TEST", "")
    env.required("BW_TEST", "For a test.", "Set it so.")
    assert faults() == ["BW_TEST is not set. Set it so."]


def test_beside_a_running_stack_its_settings_count_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "stack.env").write_text("# of make run\nBW_ONE=stack\nBW_TWO=stack=2\nnonsense\n")
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    monkeypatch.setenv("BW_ONE", "environment")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    env.load_state()
    assert (os.environ["BW_ONE"], os.environ["BW_TWO"]) == ("environment", "stack=2")
    assert "nonsense" not in os.environ


def test_without_a_stack_the_environment_is_all_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    before = dict(os.environ)
    env.load_state()
    assert dict(os.environ) == before


def test_a_server_does_not_look_for_a_stack_where_it_was_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "stack.env").write_text("BW_ONE=left behind\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STATE_DIR")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert not env.load_state()
    assert "BW_ONE" not in os.environ


def test_manage_finds_the_stack_that_runs_and_not_one_that_has_died(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(manage_py, "STATE_DIR", tmp_path)
    monkeypatch.setattr(os, "environ", {})
    manage_py.find_stack()
    (tmp_path / "lock").touch()
    manage_py.find_stack()
    assert os.environ == {}
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        manage_py.find_stack()
    assert os.environ == {"STATE_DIR": str(tmp_path)}


def manage(*arguments: Any, **environment: Any) -> Any:
    """Run manage.py with no settings but these."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "STATE_DIR": "/nonexistent"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_all_faults_are_said_at_once() -> None:
    checked = manage("check", RATE_LIMIT="often", DEBUG="maybe", REDIS_PORT="x", POSTGRES_PASSWORD_FILE="/no")
    assert checked.returncode != 0
    for name in ("SECRET_KEY", "RATE_LIMIT", "DEBUG", "REDIS_PORT", "POSTGRES_PASSWORD_FILE"):
        assert name in checked.stderr
    assert "secrets.token_urlsafe" in checked.stderr
    assert "Traceback" not in checked.stderr


def test_a_short_secret_and_open_doors_are_found_by_check() -> None:
    checked = manage("check", SECRET_KEY="short", ALLOWED_HOSTS="*", CORS_ALLOWED_ORIGINS="*")
    assert checked.returncode != 0
    for found in ("breakwater.E001", "breakwater.W001", "breakwater.E002", "HINT"):
        assert found in checked.stderr


def test_good_settings_pass_the_check() -> None:
    checked = manage("check", SECRET_KEY="x" * 50)
    assert checked.returncode == 0
    assert "no issues" in checked.stdout


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"LANDING_DIR": "{here}"}, "page.toml, line 2: [colours] accent is 'blue'"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY is shorter than 32 characters"),
        ({"RATE_LIMIT": "often"}, "RATE_LIMIT='often' is not a rate"),
    ],
    ids=["the page's file", "a check of ours", "a setting"],
)
def test_the_web_server_does_not_start_with_what_is_wrong(
    tmp_path: Path, environment: dict[str, Any], said: str
) -> None:
    (tmp_path / "page.toml").write_text('[colours]\naccent = "blue"\n')
    own = {name: value.format(here=tmp_path) for name, value in environment.items()}
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "config.asgi:application"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "STATE_DIR": "/nonexistent", "PORT": str(Ports.pick().epmd)}
        | {"SECRET_KEY": "x" * 50}
        | own,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def written(name: str) -> Any:
    return (ROOT / name).read_text("utf-8")


def test_the_documentation_of_the_settings_is_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "VARIABLES", settings_reference.VARIABLES)
    assert written(".env.example") == settings_reference.example()
    assert written("docs/configuration.md") == settings_reference.page()


def test_every_variable_that_the_servers_read_is_documented() -> None:
    import re

    sources = [
        path for folder in ("config", "landing", "lib", "logs") for path in Path(ROOT, folder).rglob("*.py")
    ]
    read_directly = {
        name
        for path in sources
        for name in re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', path.read_text("utf-8"))
    }
    known = set(settings_reference.VARIABLES) | {"STATE_DIR", "DJANGO_SETTINGS_MODULE"}
    assert read_directly <= known


def test_a_catalogue_that_is_not_compiled_is_an_error(settings: Settings, tmp_path: Path) -> None:
    settings.LOCALE_PATHS = [tmp_path]
    assert [error.id for error in check_messages()] == ["breakwater.E004"]


def test_the_web_can_be_loaded_before_django_knows_its_tables() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import config.asgi"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "STATE_DIR": "/nonexistent", "SECRET_KEY": "x" * 50}
        | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
