"""What senders may do with a connection: pipeline, send in pieces, hang up, close, break the rules."""

import itertools
import json
import socket
from http.client import parse_headers
from typing import Any

import pytest

from systemtests.stack import Stack

BODY = b'{"phone_number": "09123456789"}'
senders = itertools.count(1)


class Sender:
    """One connection, and what comes back on it."""

    def __init__(self, stack: Stack) -> None:
        self.socket = socket.create_connection(("127.0.0.1", stack.port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> Any:
        self.stream.close()
        self.socket.close()

    def send(self, request: Any) -> None:
        self.socket.sendall(request)

    def answer(self) -> Any:
        """Status and body of the next answer."""
        status = int(self.stream.readline().split()[1])
        headers = parse_headers(self.stream)
        body = self.stream.read(int(headers.get("Content-Length", 0)))
        return status, json.loads(body) if "json" in headers.get("Content-Type", "") else body


def post(*headers: Any, version: Any = "1.1", body: Any = BODY) -> Any:
    number = next(senders)
    lines = [
        f"POST /api/register/ HTTP/{version}",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"X-Forwarded-For: 198.19.{number // 250}.{number % 250}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_pipelined_requests_are_answered_in_their_order(stack: Stack) -> None:
    livez = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with Sender(stack) as sender:
        sender.send(post() + livez + post() + post(body=b"{}") + post())
        first, alive, second, refused, third = (sender.answer() for _ in range(5))

    assert [status for status, _ in (first, alive, second, refused, third)] == [202, 200, 202, 400, 202]
    assert alive[1] == {"status": "alive"}
    assert len({first[1]["task_id"], second[1]["task_id"], third[1]["task_id"]}) == 3


@pytest.mark.parametrize("size", [1, 40, 190])
def test_a_registration_may_come_in_pieces(stack: Stack, size: Any) -> None:
    request = post()
    with Sender(stack) as sender:
        for start in range(0, len(request), size):
            sender.send(request[start : start + size])
        assert sender.answer()[0] == 202
        sender.send(post())
        assert sender.answer()[0] == 202


@pytest.mark.parametrize("request_", [post("Connection: close"), post(version="1.0")], ids=["close", "1.0"])
def test_a_sender_that_wants_the_connection_closed_is_answered_first(stack: Stack, request_: Any) -> None:
    with Sender(stack) as sender:
        sender.send(request_)
        assert sender.answer()[0] == 202
        assert sender.stream.read() == b""


def test_a_sender_that_asks_whether_to_go_on_is_told_so(stack: Stack) -> None:
    request = post("Expect: 100-continue")
    with Sender(stack) as sender:
        sender.send(request[: -len(BODY)])
        assert sender.answer() == (100, b"")
        sender.send(BODY)
        assert sender.answer()[0] == 202


@pytest.mark.parametrize(
    "tail",
    [
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nno chunk",
        b"Content-Length: -1\r\n\r\n",
        b"no header\r\n\r\n",
    ],
)
def test_a_broken_request_is_refused_and_its_connection_closed(stack: Stack, tail: Any) -> None:
    with Sender(stack) as sender:
        sender.send(b"POST /api/register/ HTTP/1.1\r\nHost: 127.0.0.1\r\n" + tail)
        assert sender.answer()[0] == 400


def test_senders_that_hang_up_harm_nobody(stack: Stack) -> None:
    for _ in range(50):
        with Sender(stack) as sender:
            sender.send(post())
    with Sender(stack) as sender:
        sender.send(post())
        assert sender.answer()[0] == 202
