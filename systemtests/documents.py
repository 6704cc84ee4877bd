"""The documents of the repository as a reader meets them: fences, code and links. No product code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from systemtests.stack import ROOT

DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tools/*/README.md")],
)
FENCE = re.compile(r"^(?:<!-- ((?:not )?run.*) -->\n)?```(.*)\n((?s:.*?))^```$", re.MULTILINE)
CODE_SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
OUR_FOLDERS = ("config", "dashboard", "deploy", "docker", "docs", "landing", "lib", "local", "logs", "systemtests", "tests", "tools")  # fmt: skip


@dataclass(frozen=True)
class Fence:
    """A block between ``` lines. `mark`: the comment above it, "run" or "not run: why"."""

    mark: str
    language: str
    text: str

    @property
    def is_run(self) -> bool:
        return self.mark == "run"


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def fences_of(document: Path) -> list[Fence]:
    return [Fence(*match) for match in FENCE.findall(document.read_text("utf-8"))]


def code_of(document: Path) -> Iterator[str]:
    """All that is set as code: spans, and lines of fences."""
    text = document.read_text("utf-8")
    yield from CODE_SPAN.findall(FENCE.sub("", text))
    for fence in fences_of(document):
        yield from fence.text.splitlines()


def links_of(document: Path) -> list[str]:
    """Links that lead into this repository."""
    text = FENCE.sub("", document.read_text("utf-8"))
    return [link for link in LINK.findall(text) if not re.match(r"[a-z]+:", link)]


def anchors_of(document: Path) -> set[str]:
    """The names that a forge gives to headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def names_in_the_code() -> frozenset[str]:
    """Every name in capitals that some file of the product, its stack or its tools holds, tests and documents aside."""
    names: set[str] = set()
    for folder in (*OUR_FOLDERS, "."):
        for path in ROOT.glob(f"{folder}/*" if folder == "." else f"{folder}/**/*"):
            is_code = path.suffix != ".md" and folder not in ("docs", "tests", "systemtests")
            if is_code and path.is_file() and path.name != ".env.example" and path.stat().st_size < 500_000:
                names |= set(
                    re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", path.read_text(errors="replace"))
                )
    return frozenset(names)
