"""The one sender of requests, beside servers that do everything wrong."""

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lib import load

GET = load.request("GET", "/", {"Host": "x"})
GOOD = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\n{}"


@asynccontextmanager
async def server(*answers: Any) -> Any:
    """Answer each connection's requests with these bytes in turn, then close it; yields what was asked on which."""
    asked = []

    async def serve(reader: Any, writer: Any) -> None:
        asked.append(0)
        place = len(asked) - 1
        try:
            for answer in answers:
                await reader.readuntil(b"\r\n\r\n")
                asked[place] += 1
                if answer is None:
                    await asyncio.sleep(60)
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    listening.asked = asked
    listening.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield listening
    finally:
        listening.close()


def ask(*answers: Any, times: Any = 1, **options: Any) -> Any:
    """Ask a server times over, one after the other; return the answers and what was asked on each connection."""

    async def asking() -> Any:
        async with server(*answers) as there:
            sender = load.Sender(there.url, **options)
            try:
                return [await sender.ask(GET) for _ in range(times)], there.asked
            finally:
                sender.close()

    return asyncio.run(asking())


def test_answers_are_read_and_their_connection_is_kept() -> None:
    answers, asked = ask(*[GOOD] * 3, times=3)
    assert asked == [3]
    assert [one.status for one in answers] == [202] * 3
    assert answers[0].json() == {}
    assert answers[0].retry_after == 7


@pytest.mark.parametrize(
    "spelled",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde",
        b"HTTP/1.0 200 OK\r\n\r\nabcde",
    ],
)
def test_a_body_may_come_in_every_way_of_http(spelled: bytes) -> None:
    [answer], _ = ask(spelled)
    assert (answer.status, answer.body) == (200, b"abcde")


def test_a_kept_connection_that_the_server_has_closed_is_not_the_visitors_trouble() -> None:
    answers, asked = ask(GOOD, times=3)
    assert [one.status for one in answers] == [202] * 3
    assert asked == [1, 1, 1]


@pytest.mark.parametrize(
    "spelled",
    [b"", GOOD[:-1], GOOD[:20], b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\n"],
)
def test_half_an_answer_and_nonsense_are_no_answer(spelled: bytes) -> None:
    with pytest.raises(ConnectionError):
        ask(spelled)


def test_an_endless_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "LARGEST", 1000)
    with pytest.raises(ConnectionError):
        ask(b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + b"x" * 2000)


def test_who_never_answers_is_waited_for_until_the_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        ask(None, deadline=0.2)
    assert time.monotonic() - began < 5


def test_there_are_never_more_connections_than_allowed() -> None:
    async def asking() -> Any:
        async with server(*[GOOD] * 50) as there:
            sender = load.Sender(there.url, connections=3)
            await asyncio.gather(*(sender.ask(GET) for _ in range(50)))
            return there.asked

    asked = asyncio.run(asking())
    assert sum(asked) == 50
    assert len(asked) <= 3


def test_arrivals_are_as_many_and_as_often_as_asked_for() -> None:
    async def moments(**options: Any) -> Any:
        return [due async for due in load.arrivals(1000, **options)]

    even = asyncio.run(moments(count=20))
    assert even[-1] - even[0] == pytest.approx(0.019)
    people = asyncio.run(moments(seconds=0.3, chance=random.Random(7)))
    assert 200 < len(people) < 400


def test_percentiles() -> None:
    values = [n / 1000 for n in range(100, 0, -1)]
    assert [load.percentile(values, share) for share in (0.5, 0.99, 1)] == [0.05, 0.099, 0.1]
    assert load.percentile([], 0.5) == 0
