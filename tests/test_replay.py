"""A stream beside the queue keeps copies, and manage.py replay gives them to the workers again."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from celery import current_app
from django.core.management import CommandError, call_command

from dashboard.desk import doctor
from dashboard.desk import kept as kept_copies
from dashboard.desk.queue_messages import Message, Sender, call
from landing.keeping import broker, queues
from landing.models import Registration, StoredSubmission
from landing.submission import Submission
from tests.messages import depth, ready
from tests.waiting import eventually
from tests.workers import worker

pytestmark = pytest.mark.django_db(transaction=True)


def wire() -> Any:
    return Submission("09123456789", str(uuid4()), "192.0.2.1", "", "A browser", datetime.now(UTC)).to_wire()


def publish(*raws: Any, body: bytes = b"") -> None:
    """Send a message as the web does: through the exchange, which Celery itself passes by."""
    written, properties = call(list(raws))
    with Sender() as sender:
        sender.send(body or written, properties)


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("replay", *arguments, "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


@pytest.fixture
def kept(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Copies are kept for a week."""
    settings.KEEP_DAYS = 7
    monkeypatch.setitem(queues.kept.queue_arguments, "x-max-age", "7D")
    monkeypatch.setattr(queues, "promised", [*queues.promised, queues.kept])
    with current_app.connection_for_write() as connection:
        queues.declare(connection)
        yield connection.default_channel
    # By a connection of its own: RabbitMQ closes a channel at each error that a test provokes.
    with broker.errand(5) as connection:
        connection.default_channel.queue_delete(queues.KEPT)
        connection.default_channel.queue_unbind(queues.LIVE, queues.LIVE, queues.REPLAYED)


def test_a_database_that_was_set_back_is_made_whole(kept: Any) -> None:
    for _ in range(3):
        publish(wire(), wire())
    with worker():
        eventually(lambda: StoredSubmission.objects.count() == 6)
        before = set(StoredSubmission.objects.values_list("pk", "accepted_at"))
        Registration.objects.all().delete()
        assert run("--since", "1h") == {"registrations": 6, "sent": True}
        eventually(lambda: StoredSubmission.objects.count() == 6)
    assert set(StoredSubmission.objects.values_list("pk", "accepted_at")) == before


def test_a_dry_run_counts_and_sends_nothing(kept: Any) -> None:
    publish(wire(), wire())
    ready(queues.live)
    assert run("--since", "1h", "--dry-run") == {"registrations": 2, "sent": False}
    assert depth(queues.live) == 0


def test_a_replay_is_not_kept_again(kept: Any) -> None:
    publish(wire())
    assert [run("--since", "1h")["registrations"] for _ in range(3)] == [1, 1, 1]


def test_what_was_kept_before_stays_out(kept: Any) -> None:
    publish(wire())
    assert run("--since", "2099-01-01") == {"registrations": 0, "sent": True}


def test_a_message_that_is_no_registration_is_passed_over(kept: Any) -> None:
    publish(body=b"\xff{")
    publish(wire())
    assert run("--since", "1h")["registrations"] == 1


def test_a_stream_that_falls_silent_midway_is_no_success(kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ cannot be made to stop in the middle of a stream here: the deliveries are a stand-in."""
    message = Message(b"", {}, 1)
    monkeypatch.setattr(
        kept_copies, "_deliveries", lambda offset, _: iter([(9 if offset == "last" else 3, message)])
    )
    with pytest.raises(CommandError, match="fell silent at message 3 of 9"):
        run("--since", "1h")


def test_without_a_kept_copy_the_command_says_what_to_set() -> None:
    with pytest.raises(CommandError, match="Set KEEP_DAYS"):
        run("--since", "1h")


def test_another_number_of_days_is_told_and_keeps_the_stream(
    kept: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(wire())
    monkeypatch.setitem(queues.kept.queue_arguments, "x-max-age", "9D")
    with broker.errand(5) as connection:
        queues.declare(connection)
    assert "the stream keeps its former days" in caplog.text
    assert run("--since", "1h", "--dry-run")["registrations"] == 1
    told = [one.saw for one in doctor.examine() if one.part == "queues" and one.verdict != "ok"]
    assert told == ["registrations.kept has {'x-max-age': '7D'}"]
