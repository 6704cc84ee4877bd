"""One version: package, OpenAPI, chart and change log name the same."""

import asyncio
import json
import re
from pathlib import Path

import yaml
from django.conf import settings
from pytest_django.fixtures import Settings

from config import health

ROOT = Path(settings.BASE_DIR)


def test_the_api_has_the_packages_version() -> None:
    assert yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())["info"]["version"] == settings.VERSION


def test_the_chart_and_the_image_it_names_have_the_packages_version() -> None:
    chart = yaml.safe_load((ROOT / "deploy/helm/breakwater/Chart.yaml").read_text())
    assert {chart["version"], chart["appVersion"]} == {settings.VERSION}


def test_the_change_log_tells_what_is_new_in_this_version() -> None:
    newest = re.findall(
        r"^## (\d\S*) \(\d{4}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )[0]
    assert newest == settings.VERSION


def test_a_monitor_is_told_the_version_without_any_store(settings: Settings) -> None:
    settings.COMMIT = "809efa4"
    told = asyncio.run(health.version())
    assert told.status == 200
    assert json.loads(told.body) == {
        "source": None,
        "version": settings.VERSION,
        "commit": "809efa4",
        "build": None,
    }
