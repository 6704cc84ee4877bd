"""The locks name what pyproject.toml asks for, in versions that it allows, each with the hashes of its files."""

import re
import tomllib
from pathlib import Path

import pytest
from django.conf import settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(settings.BASE_DIR)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OPTIONAL = PROJECT["project"]["optional-dependencies"]
ASKED = {
    "image": PROJECT["project"]["dependencies"],
    "otel": PROJECT["project"]["dependencies"] + OPTIONAL["otel"],
    "run": PROJECT["project"]["dependencies"] + OPTIONAL["local"],
    "dev": PROJECT["project"]["dependencies"] + [one for extra in OPTIONAL.values() for one in extra],
    "tools": PROJECT["dependency-groups"]["tools"],
}


def locked(name: str) -> dict[str, str]:
    """The versions in a lock, by package."""
    lines = re.findall(
        r"^([A-Za-z0-9._-]+)(?:\[.*\])?==([^ ;]+)", (ROOT / f"locks/{name}.txt").read_text(), re.MULTILINE
    )
    return {canonicalize_name(package): version for package, version in lines}


@pytest.mark.parametrize("name", ASKED)
def test_a_lock_holds_what_is_asked_for_and_says_what_to_do_if_not(name: str) -> None:
    versions = locked(name)
    for requirement in map(Requirement, ASKED[name]):
        version = versions.get(canonicalize_name(requirement.name), "none")
        assert requirement.specifier.contains(version, prereleases=True), f"make lock ({requirement})"


@pytest.mark.parametrize("name", ASKED)
def test_all_locks_have_one_version_of_a_package(name: str) -> None:
    everything = locked("dev")
    assert {one for one in locked(name).items() if one[0] in everything} <= everything.items()


@pytest.mark.parametrize("name", ASKED)
def test_each_package_has_hashes(name: str) -> None:
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / f"locks/{name}.txt").read_text(), flags=re.MULTILINE)[1:]
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
