"""A campaign is a folder: what its page.toml may say, and what is said when it is wrong."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from dashboard.live import settings_drift
from dashboard.live.settings_drift import Announcement
from landing.page import branding
from tests.campaign_files import CITY, NOWRUZ, landing_dir


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Any]:
    with landing_dir(tmp_path, nowruz=NOWRUZ) as write:
        yield write


def faults() -> Any:
    return [f"{fault.msg} {fault.hint}" for fault in branding.check()]


def test_each_folder_is_a_campaign_beside_the_default_one(write: Any) -> None:
    assert faults() == []
    assert list(branding.campaigns()) == ["default", "nowruz"]
    assert [field.name for field in branding.campaigns()["nowruz"].fields] == [
        "name",
        "city",
        "email",
        "news",
    ]
    assert branding.campaigns()["default"].fields == ()


def test_its_words_and_colours_lie_over_the_defaults(write: Any, client: Client) -> None:
    write("", '[en.hero]\nheadline = "Of all campaigns"\nlead = "The same lead"\n')
    write("nowruz", '[en.hero]\nheadline = "Win a boat"\n')
    page = client.get("/c/nowruz/en/").content.decode()
    assert "Win a boat" in page
    assert "The same lead" in page
    assert "Of all campaigns" in client.get("/en/").content.decode()


@pytest.mark.parametrize(
    "written",
    [
        '"1405/09/20 10:00"',
        '"۱۴۰۵/۰۹/۲۰ ۱۰:۰۰"',
        '"2026-12-11 10:00"',
        "2026-12-11T06:30:00Z",
        "2026-12-11T10:00:00",
    ],
)
def test_times_are_of_either_calendar(write: Any, settings: Settings, written: str) -> None:
    settings.DISPLAY_TIME_ZONE = ZoneInfo("Asia/Tehran")
    write("nowruz", f"[campaign]\nopens = {written}\n")
    assert faults() == []
    assert branding.campaigns()["nowruz"].opens == datetime(2026, 12, 11, 6, 30, tzinfo=UTC)


ONE_FIELD = '[[fields]]\nname = "f{0}"\nkind = "text"\nlongest = 9\nfa = "ف"\nen = "F"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[campaign]\nopens = "soon"\n',
            "line 2: [campaign] opens is 'soon'. Write it as \"1405/09/20 10:00\"",
        ),
        ('[campaign]\nopens = "2d"\n', "line 2: [campaign] opens is '2d'."),
        (
            '[campaign]\nopens = "2026-12-02"\ncloses = "2026-12-01"\n',
            "line 3: [campaign] closes is not after opens.",
        ),
        (
            '[campaign]\nconsent = "yes"\n',
            'line 2: [campaign] consent is \'yes\'. Write "required" or "shown".',
        ),
        ("[campaign]\nplace = true\n", "line 2: [campaign] place is not known."),
        ("campaign = 3\n", "campaign is no table. Begin it with [campaign]."),
        ("fields = 3\n", "line 1: fields is no list of tables."),
        ("\n[fields]\n", "line 2: fields is no list of tables."),
        ("".join(ONE_FIELD.format(n) for n in range(11)), "line 61: [fields] 11 is one too many of 11."),
        (ONE_FIELD.format(1) * 2, "line 8: [fields.2] name is 'f1' a second time."),
        (ONE_FIELD.replace("f{0}", "consent"), "line 2: [fields.1] name is 'consent'."),
        (
            ONE_FIELD.replace("text", "file"),
            "line 3: [fields.1] kind is 'file'. Write one of text, email, choice, yes.",
        ),
        (ONE_FIELD.replace("9", "true"), "line 4: [fields.1] longest is True."),
        (ONE_FIELD.replace('en = "F"', ""), "[fields.1] en is missing."),
        (ONE_FIELD.replace("text", "choice"), "[fields.1] choices has no list of different texts."),
        (ONE_FIELD + 'choices = ["a", "b"]\n', "line 7: [fields.1] choices belongs to the kind choice."),
        (ONE_FIELD + "width = 3\n", "line 7: [fields.1] width is not known."),
        (ONE_FIELD + "required = 1\n", "line 7: [fields.1] required is 1."),
        (
            "".join(ONE_FIELD.format(n).replace("9", "250") for n in range(9)),
            "may hold 2,250 characters together.",
        ),
    ],
)
def test_a_wrong_file_is_told_with_its_line_and_the_next_step(write: Any, text: str, said: str) -> None:
    write("nowruz", text)
    assert any(said in fault for fault in faults()), faults()
    assert "nowruz" not in branding.campaigns()


@pytest.mark.parametrize("slug", ["Nowruz", "default", "rehearsal", "a", "نوروز", "a" * 32])
def test_a_folder_must_have_a_name_that_an_address_can_hold(write: Any, slug: str) -> None:
    write(slug, CITY)
    assert any("is no name of a campaign" in fault for fault in faults())
    assert set(branding.campaigns()) == {"default", "nowruz"}


def test_one_wrong_campaign_leaves_the_others_alone(write: Any) -> None:
    write("summer", "[campaign]\nopens = 3\n")
    assert set(branding.campaigns()) == {"default", "nowruz"}


def test_doctor_names_a_web_whose_files_differ(write: Any) -> None:
    def web(pid: int) -> Announcement:
        return Announcement("web", "one", pid, {settings_drift.PAGES: branding.fingerprint()})

    same = [web(1), web(2), Announcement("worker", "one", 9, {})]
    assert settings_drift.differences(same) == {}
    write("nowruz", CITY)
    assert settings_drift.differences([*same, web(3)]) == {settings_drift.PAGES: ["web on one (pid 3)"]}


def test_a_setting_that_one_process_does_not_know_differs_as_ever() -> None:
    told = [Announcement("worker", "one", pid, {"A": "1"} if pid < 3 else {}) for pid in (1, 2, 3)]
    assert settings_drift.differences(told) == {"A": ["worker on one (pid 3)"]}
