"""manage.py dead_letters: a look changes nothing, a replay loses nothing, and phones are masked."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from django.core.management import CommandError, call_command
from kombu import Producer

from config.celery import app
from dashboard.desk import dead_letters
from dashboard.desk.dead_letters import Choice
from dashboard.desk.queue_messages import Queue
from landing.door import status
from landing.door.status import Known, State
from landing.keeping import broker, queues
from landing.models import Registration
from landing.storing.dead_lettering import bury
from landing.submission import Submission
from landing.tasks import save_phones_async
from lib import request_ids
from tests.messages import ready
from tests.waiting import eventually
from tests.workers import worker

NOON = datetime(2026, 3, 21, 12, tzinfo=UTC)
MALFORMED = "malformed: phone number: too_short"


def wire(phone_number: str = "09123456789") -> Any:
    request_id = request_ids.new(b"x")
    return Submission(
        phone_number, request_id, "192.0.2.1", "https://a.example/", "A browser", NOON
    ).to_wire()


def buried(*raws: Any, reason: Any = MALFORMED) -> None:
    for raw in raws:
        bury(raw, reason)


def rejected_by_rabbitmq(body: bytes, **properties: Any) -> None:
    """Let RabbitMQ itself put a message on the dead-letter queue."""
    with app.connection_for_write(transport_options={"confirm_publish": True}) as connection:
        channel = connection.default_channel
        Producer(channel).publish(body, exchange=queues.live.exchange, routing_key=queues.LIVE, **properties)
        queues.live.bind(channel).get().reject(requeue=False)
        eventually(lambda: channel.queue_declare(queues.DEAD, passive=True).message_count)


def run(*arguments: Any) -> Any:
    out = StringIO()
    call_command("dead_letters", *arguments, stdout=out)
    return out.getvalue()


def ids() -> Any:
    return [one for letter in dead_letters.letters(Choice()) for one in letter.request_ids]


def test_they_are_counted_by_reason_and_listed_with_masked_phones() -> None:
    one, other = wire("0912"), wire()
    buried(one)
    buried(other, reason="refused by PostgreSQL: CheckViolation")
    shown = run("list")
    assert "2 dead letters" in shown
    assert f"1  {MALFORMED}" in shown
    assert one[1] in shown
    assert "0912***6789" in shown
    assert "09123456789" not in shown


def test_the_list_as_json_and_by_reason() -> None:
    one = wire()
    buried(wire("0912"))
    buried(one, reason="refused by PostgreSQL: CheckViolation")
    shown = json.loads(run("list", "--json", "--reason", "refused"))
    assert shown["count"] == 1
    [letter] = shown["letters"]
    assert letter["request_ids"] == [one[1]]
    assert letter["phones"] == ["0912***6789"]
    assert datetime.now(UTC) >= datetime.fromisoformat(letter["time"]) > NOON


def test_a_list_shows_no_more_than_its_limit_and_counts_all() -> None:
    buried(*(wire() for _ in range(5)))
    shown = run("list", "--limit", "2")
    assert "5 dead letters" in shown
    assert shown.count("0912***6789") == 2
    assert "and 3 more" in shown


def test_listing_a_hundred_times_loses_nothing_and_changes_no_order() -> None:
    raws = [wire() for _ in range(5)]
    buried(*raws)
    for _ in range(100):
        assert "5 dead letters" in run("list", "--limit", "2")
    assert ids() == [raw[1] for raw in raws]


def test_rabbitmq_4_would_drop_a_dead_letter_after_twenty_looks_without_a_limit_of_its_own() -> None:
    assert queues.dead.queue_arguments["x-delivery-limit"] >= 1_000_000


def test_a_list_that_is_killed_in_the_middle_loses_nothing() -> None:
    raws = [wire() for _ in range(5)]
    buried(*raws)
    code = (
        "import django, time; django.setup()\n"
        "from dashboard.desk import dead_letters\n"
        "letters = dead_letters.letters(dead_letters.Choice())\n"
        "next(letters), next(letters); print('two', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "two\n"
    process.kill()
    process.wait()
    process.stdout.close()
    with Queue(queues.DEAD) as queue:
        eventually(lambda: queue.ready() == 5)
    assert ids() == [raw[1] for raw in raws]


def test_what_rabbitmq_dead_lettered_is_listed_whole_batches_and_unreadable_bodies_alike() -> None:
    batch = [wire(), wire("09351112233")]
    rejected_by_rabbitmq(**in_celery_s_form(batch))
    rejected_by_rabbitmq(b"\x80\x04\xff no json", content_type="application/x-python-serialize")
    shown = json.loads(run("list", "--json"))
    assert shown["reasons"] == {"rejected": 2}
    first, second = shown["letters"]
    assert first["request_ids"] == [batch[0][1], batch[1][1]]
    assert not second["readable"]
    assert all(
        abs(time.time() - datetime.fromisoformat(one["time"]).timestamp()) < 60 for one in (first, second)
    )
    assert "unreadable" in run("list")
    assert "rejected" in run("show", second["request_ids"][0])


def in_celery_s_form(batch: list[list[str]]) -> Any:
    message = app.amqp.as_task_v2(str(uuid4()), save_phones_async.name, args=(batch,))
    body = json.dumps(message.body).encode()
    return {"body": body, "headers": message.headers, "content_type": "application/json"}


def test_one_is_shown_whole_with_its_phone_masked_until_it_is_revealed() -> None:
    one, other = wire(), wire("09351112233")
    buried(other, one)
    shown = run("show", one[1])
    assert MALFORMED in shown
    assert "https://a.example/" in shown
    assert "0912***6789" in shown
    assert "09123456789" not in shown
    assert "09351112233" not in shown
    assert "09123456789" in run("show", one[1], "--reveal")
    assert json.loads(run("show", one[1], "--json"))[0]["phone_number"] == "0912***6789"


def test_what_strangers_wrote_is_shown_as_text() -> None:
    one = wire()
    one[3], one[4] = "[red]x[/red] :smile:", "\x1b[31mred 09123456789"
    buried(one)
    shown = run("show", one[1])
    assert "[red]x[/red] :smile:" in shown
    assert "\x1b" not in shown
    assert "09123456789" not in shown


def test_one_that_is_not_there_is_said() -> None:
    for arguments in (["show", "x"], ["replay", "--request-id", "x"]):
        with pytest.raises(CommandError, match="No dead letter holds x") as error:
            run(*arguments)
        assert error.value.returncode == 1


@pytest.mark.django_db(transaction=True)
def test_a_replayed_letter_is_stored_by_a_worker() -> None:
    one = wire()
    buried(one, reason="refused by PostgreSQL: CheckViolation")
    assert "1 dead letters replayed" in run("replay", "--all")
    with worker():
        eventually(lambda: status.of(one[1]) == Known(State.STORED))
    assert Registration.objects.get().phone_number == "09123456789"
    assert ids() == []


def test_what_rabbitmq_dead_lettered_is_replayed_byte_for_byte() -> None:
    body = b"\x80\x04\xff\x00 no json"
    headers = {"task": "unknown", "n": 7, "nested": {"a": ["b", True]}}
    rejected_by_rabbitmq(body, headers=headers, content_type="application/x", correlation_id="c", priority=3)
    run("replay", "--reason", "rejected")
    with Queue(queues.LIVE) as queue:
        [message] = queue.messages()
    assert message.body == body
    assert message.headers == headers | {"x-delivery-count": 0}
    assert message.properties["content_type"] == "application/x"
    assert message.properties["correlation_id"] == "c"
    assert message.properties["priority"] == 3


def test_only_the_chosen_are_replayed_and_the_others_keep_their_order() -> None:
    raws = [wire() for _ in range(4)]
    for number, raw in enumerate(raws):
        buried(raw, reason="odd" if number % 2 else "even")
    run("replay", "--reason", "odd")
    assert ids() == [raws[0][1], raws[2][1]]
    run("replay", "--request-id", raws[2][1])
    assert ids() == [raws[0][1]]
    assert [batch[0][1] for [batch] in ready(queues.live)] == [raws[1][1], raws[3][1], raws[2][1]]


def test_a_dry_run_sends_nothing() -> None:
    buried(wire())
    assert "1 dead letters would be replayed" in run("replay", "--all", "--dry-run")
    assert len(ids()) == 1
    assert ready(queues.live) == []


def test_as_json_a_replay_prints_its_count_and_nothing_else() -> None:
    buried(wire())
    assert json.loads(run("replay", "--all", "--dry-run", "--json"))["count"] == 1
    assert json.loads(run("replay", "--all", "--json"))["count"] == 1


def test_a_batch_is_replayed_one_by_one() -> None:
    batch = [wire(), wire("09351112233")]
    rejected_by_rabbitmq(**in_celery_s_form(batch))
    run("replay", "--all", "--one-by-one")
    assert ready(queues.live) == [[[batch[0]]], [[batch[1]]]]
    assert ids() == []


def test_a_letter_that_is_not_confirmed_stays_a_dead_letter() -> None:
    one = wire()
    buried(one)
    with app.connection_for_write() as connection:
        queues.live.bind(connection.default_channel).delete()
    try:
        with pytest.raises(CommandError, match="declare_queues") as error:
            run("replay", "--all")
        assert error.value.returncode == 2
        assert ids() == [one[1]]
    finally:
        with app.connection_for_write() as connection:
            queues.declare(connection)


def test_nothing_is_discarded_without_a_yes() -> None:
    buried(wire())
    assert "nothing was" in run("discard", "--all", "--reason-note", "a test")
    assert len(ids()) == 1


def test_a_discarded_letter_is_gone_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    one, other = wire(), wire()
    buried(one, other)
    assert "1 dead letters discarded" in run(
        "discard", "--request-id", one[1], "--reason-note", "a test", "--yes"
    )
    assert ids() == [other[1]]
    [record] = [record for record in caplog.records if record.message == "dead letter discarded"]
    assert (record.request_ids, record.note) == ([one[1]], "a test")


def test_a_discard_needs_a_note_and_a_choice() -> None:
    for arguments in (
        ["discard", "--all"],
        ["discard", "--reason-note", "x"],
        ["replay"],
        ["replay", "--reason", ""],
    ):
        with pytest.raises(CommandError):
            run(*arguments)


def test_a_broker_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "current_app", Celery(broker="amqp://127.0.0.1:9//", set_as_current=False))
    with pytest.raises(CommandError, match="RabbitMQ does not answer") as error:
        run("list")
    assert error.value.returncode == 2
