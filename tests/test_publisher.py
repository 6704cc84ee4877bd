"""A publish is a promise only when RabbitMQ has confirmed it; every other outcome is NotConfirmed."""

import asyncio
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


@asynccontextmanager
async def publisher(timeout: float | int = 1.0) -> Any:
    made = Publisher(settings.RABBITMQ_URL, timeout=timeout)
    try:
        yield made
    finally:
        if made._connection:
            await made._connection.close()


def batch(count: int = 1) -> Any:
    now = datetime.now(UTC)
    return [Submission(f"0912{n:07}", str(uuid4()), "192.0.2.1", "", "", now) for n in range(count)]


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


def test_one_connection_serves_many_publishes() -> None:
    async def many() -> Any:
        async with publisher() as one:
            await asyncio.gather(*(one.publish(batch()) for _ in range(20)))
            connection = one._connection
            await one.publish(batch())
            return connection is one._connection

    assert asyncio.run(many())
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
