"""The documents keep up with the product: what they tell to type works, what they name exists."""

import re
import subprocess
import sys
from typing import Any

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from systemtests.documents import (
    DOCUMENTS,
    OUR_FOLDERS,
    anchors_of,
    code_of,
    fences_of,
    links_of,
    name_of,
    names_in_the_code,
)
from systemtests.stack import ROOT, Stack, new_sender

MANAGE = re.compile(r"\bmanage\.py ([a-z]\w*)((?: [^|>#;`]+)?)")
OF_DJANGO = {"help", "check", "migrate", "makemigrations", "createsuperuser", "shell", "collectstatic", "spectacular"}  # fmt: skip
# An answer that is an error ends a document's script; each request comes from an address of its own.
PRELUDE = """
curl() { command curl --fail-with-body --silent --show-error -H "X-Forwarded-For: $SENDER" "$@"; }
"""

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


def as_here(text: str, stack: Stack) -> Any:
    """A document's code, with the addresses of this stack."""
    return text.replace("http://127.0.0.1:8000", stack.url).replace(".venv/bin/python", sys.executable)


def run(command: Any, stack: Stack, text: str) -> Any:
    environment = stack.shell | {"SENDER": new_sender(), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        [*command, text], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(
    "document", [one for one in DOCUMENTS if any(f.is_run for f in fences_of(one))], ids=name_of
)
def test_what_a_document_tells_to_type_works(document: Any, stack: Stack) -> None:
    script = "".join(fence.text for fence in fences_of(document) if fence.is_run)
    run(["bash", "-euo", "pipefail", "-c"], stack, PRELUDE + as_here(script, stack))


def test_the_readme_s_second_command_prints_a_trace(stack: Stack) -> None:
    hops = run(["sh", "-c"], stack, "make try").splitlines()
    assert [line.split()[0] for line in hops[3:]] == ["accepted", "queued", "stored", "logged", "state"], hops


def test_the_python_to_copy_registers(stack: Stack) -> None:
    [fence] = [fence for fence in fences_of(ROOT / "docs/api.md") if fence.language == "py"]
    assert run([sys.executable, "-c"], stack, as_here(fence.text, stack)).endswith(" Registered\n")


def test_the_javascript_to_copy_registers(stack: Stack, chromium: WebDriver) -> None:
    [fence] = [fence for fence in fences_of(ROOT / "docs/api.md") if fence.language == "js"]
    chromium.get(f"{stack.url}/en/")
    script = "const done = arguments[0]; const console = {log: done};" + as_here(fence.text, stack)
    task_id = chromium.execute_async_script(script)
    assert stack.status_of(task_id) in ("Processing", "Registered")


def test_the_code_to_copy_is_the_same_in_the_document_and_in_the_api_docs(stack: Stack) -> None:
    shown = stack.http.get("/api/schema/?format=json").json()["paths"]["/api/register/"]["post"][
        "description"
    ]
    copied = [fence.text for fence in fences_of(ROOT / "docs/api.md") if fence.language in ("sh", "js", "py")]
    assert len(copied) == 3
    assert all(text in shown for text in copied)


@documents
def test_each_block_says_whether_it_is_run(document: Any) -> None:
    for fence in fences_of(document):
        assert fence.language, f"a block without a language: {fence.text}"
        if fence.language == "sh":
            assert fence.is_run or fence.mark.startswith("not run: "), fence
            syntax = subprocess.run(
                ["bash", "-n", "-c", fence.text], capture_output=True, text=True, check=False
            )
            assert syntax.returncode == 0, syntax.stderr


@documents
def test_its_links_lead_somewhere(document: Any) -> None:
    for link in links_of(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


@documents
def test_the_files_that_it_names_exist(document: Any) -> None:
    for code in code_of(document):
        if re.fullmatch(rf"(?:{'|'.join(OUR_FOLDERS)})/[\w./*-]*", code):
            assert list(ROOT.glob(code.rstrip("/"))), code


@documents
def test_the_make_targets_that_it_names_exist(document: Any) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name for code in code_of(document) for name in re.findall(r"^(?:[A-Z_]+=\S+ )*make ([a-z-]+)", code)
    }
    assert named <= targets, named - targets


@documents
def test_the_settings_that_it_names_exist(document: Any) -> None:
    for code in code_of(document):
        for name in re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_\*|\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", code):
            prefix = name.removesuffix("*")
            known = names_in_the_code()
            assert name in known or (name != prefix and any(one.startswith(prefix) for one in known)), code


def test_the_commands_that_they_name_exist_with_their_options(stack: Stack) -> None:
    known = set(stack.manage("help", "--commands").stdout.split())
    calls = {call for document in DOCUMENTS for code in code_of(document) for call in MANAGE.findall(code)}
    assert {name for name, _ in calls} <= known
    for name, rest in sorted(calls):
        words = rest.split()
        verb = [words[0]] if name == "dead_letters" and words and words[0].isalpha() else []
        options = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--no-input"}
        if options and name not in OF_DJANGO:
            told = stack.manage(name, *verb, "--help").stdout
            assert all(option in told for option in options), (name, rest)


def test_each_requirement_names_where_it_is_met_and_what_shows_it() -> None:
    rows = re.findall(
        r"^\| R(\d+) \|(.*)\|(.*)\|(.*)\|$", (ROOT / "docs/requirements.md").read_text(), re.MULTILINE
    )
    assert [int(number) for number, *_ in rows] == list(range(1, len(rows) + 1))
    for number, _, met, shown in rows:
        assert "`" in met, number
        assert re.search(r"`(system)?tests/test_\w+\.py`", shown), number


def test_each_requirement_that_is_cited_exists() -> None:
    known = set(re.findall(r"^\| (R\d+) ", (ROOT / "docs/requirements.md").read_text(), re.MULTILINE))
    texts = [path.read_text("utf-8") for folder in OUR_FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert {name for text in texts for name in re.findall(r"equirement (R\d+)", text)} <= known
