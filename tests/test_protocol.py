"""The end of a connection when the server stops: who has just connected is still answered."""

import asyncio
import re
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from config import protocol
from config.asgi import application
from landing.door import express
from landing.door.plain_http import Answer
from lib import metrics

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
REGISTER = (
    b"POST /api/register/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b'Content-Length: 31\r\n\r\n{"phone_number": "09123456789"}'
)


@asynccontextmanager
async def connected() -> Any:
    """A sender's connection and the server's end of it."""
    config = Config(application, http=protocol.Protocol, lifespan="off", log_config=None)
    config.load()
    ends = []

    def end() -> Any:
        ends.append(protocol.Protocol(config, ServerState(), {}))
        return ends[0]

    server = await asyncio.get_running_loop().create_server(end, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await asyncio.sleep(0.05)
    try:
        yield reader, writer, ends[0]
    finally:
        writer.close()
        server.close()


def kept(*_: Any) -> Any:
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return express.Pending(future, {}, lambda _: express._receipt("an id", {}))


@pytest.mark.parametrize(("request_", "status"), [(LIVEZ, b"200"), (REGISTER, b"202")])
def test_a_request_that_is_on_its_way_when_the_server_stops_is_answered(
    request_: bytes, status: bytes
) -> None:
    async def scene() -> Any:
        async with connected() as (reader, writer, end):
            end.shutdown()
            writer.write(request_)
            return await asyncio.wait_for(reader.read(), 5)  # to its end: the connection is closed

    with patch.object(express, "register", kept):
        answer = asyncio.run(scene())
    assert answer.split()[1] == status
    assert b"connection: close\r\n" in answer


def test_how_long_a_registration_took_is_counted() -> None:
    async def scene() -> Any:
        async with connected() as (reader, writer, _):
            writer.write(REGISTER)
            return await asyncio.wait_for(reader.readline(), 5)

    metrics.take()
    with patch.object(express, "register", kept):
        asyncio.run(scene())
    taken = metrics.take()
    assert sum(taken.get(bucket, 0) for bucket in metrics.buckets("register_seconds")[:-1]) == 1


def test_a_connection_that_stays_idle_is_closed() -> None:
    async def scene() -> Any:
        async with connected() as (reader, _, end):
            end.shutdown()
            return await asyncio.wait_for(reader.read(), 5)

    assert asyncio.run(scene()) == b""


def test_pages_that_nobody_reads_do_not_pile_up_in_memory() -> None:
    page = b"GET /fa/ HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async def scene() -> Any:
        async with connected() as (_, writer, end):
            writer.write(page * 4000)
            await asyncio.sleep(0.5)
            return end.transport.get_write_buffer_size()

    copy = b"x" * 20_000
    with patch.object(protocol.rendering, "from_memory", lambda *_: Answer(200, [], copy)):
        assert asyncio.run(scene()) < 2_000_000


def test_requests_in_one_read_are_answered_in_their_order() -> None:
    async def scene() -> Any:
        async with connected() as (reader, writer, _):
            writer.write(LIVEZ + REGISTER + LIVEZ.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            return await asyncio.wait_for(reader.read(), 5)

    with patch.object(express, "register", kept):
        answers = asyncio.run(scene())
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"202", b"200"]
