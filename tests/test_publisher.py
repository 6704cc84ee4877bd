"""A publish is a promise only when RabbitMQ has confirmed it; every other outcome is NotConfirmed."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest
from amqp.exceptions import AMQPError
from celery import current_app
from django.conf import settings

from landing.keeping import queues
from landing.keeping.publisher import NotConfirmed, Publisher
from landing.submission import Submission
from local.servers import Servers
from tests.waiting import eventually
from tools.drills.proxy import Link, Network


@asynccontextmanager
async def publisher(timeout: float | int = 1.0) -> Any:
    made = Publisher(settings.RABBITMQ_URLS, timeout=timeout)
    try:
        yield made
    finally:
        made.close()


def batch(count: int = 1) -> Any:
    now = datetime.now(UTC)
    return [Submission(f"0912{n:07}", str(uuid4()), "192.0.2.1", "", "", now) for n in range(count)]


@pytest.fixture
def node() -> Iterator[Link]:
    """A node of RabbitMQ that can be made to hang or to break off."""
    link = Link(Network(), 0, settings.RABBITMQ_HOSTS[0].port)
    yield link
    link.refuse()


@pytest.fixture
def first_node(node: Link, monkeypatch: pytest.MonkeyPatch) -> Link:
    """A node that every publisher of this test begins with."""
    monkeypatch.setattr("landing.keeping.publisher.crc32", lambda name: -os.getpid())
    return node


def url_of(node: Link) -> str:
    return str(settings.RABBITMQ_URLS[0].replace(str(settings.RABBITMQ_HOSTS[0]), f"127.0.0.1:{node.front}"))


def publish(submissions: list[Submission]) -> None:
    async def once() -> None:
        async with publisher() as one:
            await one.publish(submissions)

    asyncio.run(once())


def messages() -> Any:
    """Take all messages off the live queue."""
    with current_app.connection_for_write() as connection:
        queue = queues.live.bind(connection.default_channel)
        return list(iter(lambda: queue.get(no_ack=True), None))


def queues_are_served() -> bool | None:
    """Tell whether RabbitMQ, which takes logins first after a restart, has come to its queues too."""
    try:
        with current_app.connection_for_write() as connection:
            for queue in (queues.live, queues.dead):
                queue.bind(connection.default_channel).purge()
            return True
    except AMQPError:
        return False


async def refuses(one: Any) -> bool:
    """Tell whether a publish is refused as it should be: with NotConfirmed and nothing else."""
    with pytest.raises(NotConfirmed):
        await one.publish(batch())
    return True


async def eventually_in_loop(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


async def recovers(one: Any) -> Any:
    """Publish again until the broker confirms, as the next senders do."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await one.publish(batch())
            except NotConfirmed:
                await asyncio.sleep(0.05)


def test_a_batch_is_one_message_with_every_submission() -> None:
    sent = batch(3)
    publish(sent)
    [message] = messages()
    args, kwargs, _ = orjson.loads(message.body)
    assert args == [[submission.to_wire() for submission in sent]]
    assert datetime.fromisoformat(kwargs["queued_at"]).tzinfo


def test_a_message_outlives_the_broker_and_hides_its_phones() -> None:
    publish(batch(3))
    [message] = messages()
    assert message.properties["delivery_mode"] == 2
    assert message.headers["argsrepr"] == "(3 registrations)"
    assert "0912" not in repr(message.headers)


def test_one_connection_serves_many_publishes(node: Link) -> None:
    async def many() -> None:
        one = Publisher([url_of(node)], timeout=1.0)
        await asyncio.gather(*(one.publish(batch()) for _ in range(20)))
        await one.publish(batch())
        assert node.served == 1
        one.close()

    asyncio.run(many())
    assert len(messages()) == 21


def test_a_message_without_a_queue_to_go_to_is_not_confirmed() -> None:
    async def unroutable() -> None:
        with current_app.connection_for_write() as connection:
            queues.live.bind(connection.default_channel).unbind_from(queues.live.exchange, queues.LIVE)
            async with publisher() as one:
                try:
                    assert await refuses(one)
                finally:
                    queues.declare(connection)
                await one.publish(batch())

    asyncio.run(unroutable())
    assert len(messages()) == 1


def test_a_message_without_an_exchange_to_go_to_is_not_confirmed() -> None:
    async def unroutable() -> None:
        with current_app.connection_for_write() as connection:
            queues.live.bind(connection.default_channel).exchange.delete()
            async with publisher() as one:
                try:
                    assert await refuses(one)
                finally:
                    queues.declare(connection)
                await one.publish(batch())

    asyncio.run(unroutable())
    assert len(messages()) == 1


def test_a_broker_that_is_killed_during_a_publish_has_confirmed_nothing(servers: Servers) -> None:
    async def killed() -> None:
        async with publisher(timeout=20) as one:
            await one.publish(batch())
            # RabbitMQ 3 loses a quorum queue for good if it is killed within a second of the queue's making.
            await asyncio.sleep(3)
            servers.rabbitmq.pause()
            under_way = asyncio.create_task(refuses(one))
            await asyncio.sleep(0.1)
            servers.rabbitmq.kill()
            try:
                assert await under_way
                assert await refuses(one)
            finally:
                servers.rabbitmq.start()
                eventually(queues_are_served)
            await recovers(one)

    asyncio.run(killed())
    assert messages()


def test_a_broker_that_hangs_has_confirmed_nothing_and_a_late_confirm_is_not_anothers(
    servers: Servers,
) -> None:
    async def hung() -> None:
        async with publisher() as one:
            await one.publish(batch())
            servers.rabbitmq.pause()
            try:
                assert await refuses(one)
                assert await refuses(one)
            finally:
                servers.rabbitmq.resume()
            await recovers(one)

    asyncio.run(hung())
    assert len(messages()) >= 2


def test_what_a_hanging_node_does_not_confirm_another_confirms_in_the_same_time(first_node: Link) -> None:
    async def first_hangs() -> None:
        one = Publisher([url_of(first_node), *settings.RABBITMQ_URLS], timeout=2.0)
        await one.publish(batch())
        first_node.stall()
        await asyncio.gather(*(one.publish(batch()) for _ in range(5)))
        # The next ones do not ask it first again.
        async with asyncio.timeout(1.0):
            await one.publish(batch())
        one.close()

    asyncio.run(first_hangs())
    assert len(messages()) == 7


def test_what_a_node_that_breaks_off_does_not_confirm_another_confirms(first_node: Link) -> None:
    async def first_breaks_off() -> None:
        one = Publisher([url_of(first_node), *settings.RABBITMQ_URLS], timeout=2.0)
        await one.publish(batch())
        first_node.refuse()
        await one.publish(batch())
        one.close()

    asyncio.run(first_breaks_off())
    assert len(messages()) == 2


def test_the_connection_to_the_second_node_is_open_before_it_is_needed(node: Link) -> None:
    async def warm() -> None:
        one = Publisher([*settings.RABBITMQ_URLS, url_of(node)], timeout=2.0)
        await one.publish(batch())
        await eventually_in_loop(lambda: node.served == 1)
        one.close()

    asyncio.run(warm())
    messages()


def test_nodes_that_all_hang_have_confirmed_nothing_when_the_time_is_over(first_node: Link) -> None:
    async def both_hang() -> None:
        one = Publisher([url_of(first_node)] * 2, timeout=0.4)
        await one.publish(batch())
        first_node.stall()
        async with asyncio.timeout(1.5):
            assert await refuses(one)
        one.close()

    asyncio.run(both_hang())
    messages()


def test_processes_begin_with_different_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = set()
    for pid in range(3):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        first.add(Publisher(["amqp://a", "amqp://b", "amqp://c"], timeout=1).first)
    assert first == {"a", "b", "c"}
