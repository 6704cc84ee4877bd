"""What every manage.py command of ours owes its reader; a new one is found by itself."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parent.parent
OURS = ("config", "landing", "logs", "dashboard")
COMMANDS = sorted(name for name, app in get_commands().items() if app in OURS)


def parser_of(name: str) -> Any:
    return load_command_class(get_commands()[name], name).create_parser("manage.py", name)


def help_of(name: str) -> str:
    parser = parser_of(name)
    return f"{parser.description}\n{parser.epilog or ''}"


def verbs_of(parser: Any) -> Any:
    """The parsers of a command's verbs, or the command's own if it has none."""
    choices = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
    return list(choices[0].values()) if choices else [parser]


def examples_of(name: str) -> Any:
    """The command lines in a command's help, without what a shell would do around them."""
    lines = re.findall(rf"manage\.py ({name}\b(?:(?!\.\s|\.$|  |[|>\n]).)*)", help_of(name))
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("name", COMMANDS)
def test_its_help_has_an_example(name: str) -> None:
    assert examples_of(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_its_help_tells_what_its_exit_codes_mean(name: str) -> None:
    assert exit_codes_of(name) > {0}


@pytest.mark.parametrize("name", sorted({*COMMANDS} - {"courier"}))  # it runs, and reports nothing
def test_it_reports_as_json_too(name: str) -> None:
    for parser in verbs_of(parser_of(name)):
        assert "--json" in parser.format_help(), parser.prog


@pytest.mark.parametrize("name", COMMANDS)
def test_its_examples_are_possible(name: str) -> None:
    for arguments in examples_of(name):
        parser_of(name).parse_args(arguments[1:])


@pytest.mark.parametrize("name", COMMANDS)
def test_with_every_server_away_it_says_so_and_exits_as_its_help_tells(name: str, tmp_path: Path) -> None:
    for arguments in examples_of(name):
        done = run_without_servers(arguments, tmp_path)
        said = f"{shlex.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode in exit_codes_of(name), said
        assert "Traceback" not in said
        assert done.returncode == 0 or done.stdout or done.stderr
        if "--json" in arguments and done.stdout:
            json.loads(done.stdout)


def exit_codes_of(name: str) -> Any:
    told = re.search(r"(?s)exit codes?:?(.*)", help_of(name), re.IGNORECASE)
    return {0, *map(int, re.findall(r"\b[0-9]\b", told[1]))} if told else set()


def run_without_servers(arguments: list[str], directory: Path) -> Any:
    away = {f"{server}_{part}": value for server in ("POSTGRES", "RABBITMQ", "REDIS", "MONGODB")
            for part, value in (("HOST", "127.0.0.1"), ("PORT", "1"))}  # fmt: skip
    settings = {
        "SECRET_KEY": "a-key-for-commands-that-reach-nothing-and-nobody-at-all",
        "STATE_DIR": str(directory),
        "SPOOL_DIR": str(directory / "spool"),
        "PATH": os.environ["PATH"],
        "PORT": "1",
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=settings | away,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
