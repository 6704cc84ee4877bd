"""Dead letters in the admin: seen masked, sent again or given up after a question, and written down."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django.fixtures import Settings

from config.celery import app
from dashboard.desk import admin, dead_letters
from dashboard.desk.dead_letters import Choice
from landing.keeping import queues
from landing.storing.dead_lettering import bury
from landing.submission import Submission
from lib import request_ids
from tests.messages import depth

pytestmark = pytest.mark.django_db

URL = "/admin/dashboard/deadletter/"
PHONE = "09123456789"
ENGLISH = {"Accept-Language": "en"}


@pytest.fixture
def letters() -> Any:
    """Three dead letters; their keys are returned, the oldest first."""
    for reason in (
        "malformed: phone number: too_short",
        "refused by PostgreSQL: CheckViolation",
        "<b>bold</b>",
    ):
        raw = Submission(PHONE, request_ids.new(b"x"), "192.0.2.1", "", "", datetime.now(UTC)).to_wire()
        bury(raw, reason)
    return [letter.key.hex() for letter in dead_letters.letters(Choice())]


def staff(client: Client, *permissions: Any) -> Any:
    person = get_user_model().objects.create_user(f"staff{len(permissions)}", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(person)
    return client


def act(client: Client, **fields: Any) -> Any:
    return client.post(URL, fields, headers=ENGLISH, follow=True)


def test_they_are_listed_with_masked_phones_and_a_look_changes_nothing(
    admin_client: Client, letters: list[str]
) -> None:
    page = admin_client.get(URL, headers=ENGLISH).content.decode()
    assert page.count("0912***6789") == 3
    assert PHONE not in page
    assert "<b>bold</b>" not in page
    assert depth(queues.dead) == 3


def test_a_replay_is_asked_about_first(admin_client: Client, letters: list[str]) -> None:
    page = act(admin_client, act="replay", key=letters[:2]).content.decode()
    assert "Send these 2 to the live queue again?" in page
    assert (depth(queues.dead), depth(queues.live)) == (3, 0)
    assert not LogEntry.objects.exists()


def test_what_was_chosen_is_replayed_and_nothing_else(admin_client: Client, letters: list[str]) -> None:
    page = act(admin_client, act="replay", key=letters[:2], sure="yes").content.decode()
    assert "2 replayed." in page
    assert depth(queues.live) == 2
    [left] = dead_letters.letters(Choice())
    assert left.key.hex() == letters[2]
    said = LogEntry.objects.order_by("pk").values_list("change_message", "object_repr")
    assert list(said) == [
        ("replayed dead letters", "2 letters"),
        ("replayed dead letters", "2 letters: 2 went"),
    ]


def test_the_audit_log_says_when_fewer_went_than_were_chosen(
    admin_client: Client, letters: list[str]
) -> None:
    gone = "00" * 16
    act(admin_client, act="replay", key=[letters[0], gone], sure="yes")
    assert LogEntry.objects.latest("pk").object_repr == "2 letters: 1 went"


def test_discarding_needs_a_reason_which_is_written_down(admin_client: Client, letters: list[str]) -> None:
    page = act(admin_client, act="discard", key=letters[0], sure="yes", note=" ").content.decode()
    assert "Write why" in page
    assert depth(queues.dead) == 3
    act(admin_client, act="discard", key=letters[0], sure="yes", note="test data")
    assert (depth(queues.dead), depth(queues.live)) == (2, 0)
    said = LogEntry.objects.order_by("pk").values_list("change_message", "object_repr")
    assert list(said) == [
        ("discarded dead letters", "1 letters: test data"),
        ("discarded dead letters", "1 letters: 1 went"),
    ]


@pytest.mark.parametrize("keys", [[], ["zz"], ["00" * 16]])
def test_keys_that_name_nothing_do_nothing(
    admin_client: Client, letters: list[str], keys: list[Any] | list[str]
) -> None:
    for sure in ({}, {"sure": "yes"}):
        for verb in ("replay", "discard"):
            assert act(admin_client, act=verb, key=keys, note="why", **sure).status_code == 200
    assert (depth(queues.dead), depth(queues.live)) == (3, 0)


def test_each_act_has_its_own_permission(client: Client, letters: list[str]) -> None:
    staff(client, "view_deadletter", "replay_deadletter")
    page = client.get(URL, headers=ENGLISH).content.decode()
    assert 'value="replay"' in page
    assert 'value="discard"' not in page
    assert act(client, act="discard", key=letters, sure="yes", note="why").status_code == 403
    assert act(client, act="erase", key=letters, sure="yes").status_code == 403
    assert depth(queues.dead) == 3
    staff(client)
    assert client.get(URL).status_code == 403
    assert act(client, act="replay", key=letters, sure="yes").status_code == 403


def test_only_the_oldest_are_shown_and_that_is_said(
    admin_client: Client, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "SHOWN", 2)
    page = admin_client.get(URL, headers=ENGLISH).content.decode()
    assert page.count("0912***6789") == 2
    assert "Only the oldest 2 are shown." in page


def as_web(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Talk to RabbitMQ as a user with the rights that docker/rabbitmq gives to the web, and no more."""
    rights = json.loads(Path("docker/rabbitmq/definitions.json").read_text())["permissions"]
    (web,) = [one for one in rights if one["user"] == "web"]
    login = (settings.RABBITMQ_USER, settings.RABBITMQ_PASSWORD)
    vhost = quote(settings.RABBITMQ_VHOST, safe="")
    with httpx.Client(base_url=settings.RABBITMQ_MANAGEMENT_URLS[0], auth=login, trust_env=False) as api:
        api.put("/api/users/web", json={"password": "web", "tags": ""}).raise_for_status()
        wanted = {name: web[name] for name in ("configure", "write", "read")}
        api.put(f"/api/permissions/{vhost}/web", json=wanted).raise_for_status()
    url = f"amqp://web:web@{settings.RABBITMQ_HOSTS[0]}/{vhost}"
    for name in ("broker_write_url", "broker_write_url"):
        monkeypatch.setattr(app.conf, name, url)


def test_the_rights_of_the_web_in_the_container_stack_are_enough(
    admin_client: Client, letters: list[str], monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    as_web(monkeypatch, settings)
    assert admin_client.get(URL, headers=ENGLISH).content.decode().count("0912***6789") == 3
    act(admin_client, act="replay", key=letters[0], sure="yes")
    act(admin_client, act="discard", key=letters[1], sure="yes", note="test data")
    monkeypatch.undo()
    assert (depth(queues.dead), depth(queues.live)) == (1, 1)


def test_rabbitmq_away_is_said_and_nothing_else_breaks(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.conf, "broker_write_url", "amqp://127.0.0.1:9//")
    answer = admin_client.get(URL, headers=ENGLISH)
    assert answer.status_code == 503
    assert "RabbitMQ does not answer" in answer.content.decode()
    assert admin_client.get("/admin/").status_code == 200
