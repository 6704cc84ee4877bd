"""The server's end of a connection, with a short way for what visitors ask most.

For each request uvicorn makes a task, an event and an ASGI conversation, which together cost more
than a registration, a poll or a page from memory does. So a request that arrives whole, in one read,
is handed straight to the express lane, and its answer is written when it is there. Whatever the lane
does not take, and whatever arrives in pieces, goes uvicorn's way to config/asgi.py, as if it had
never been here.
"""

import asyncio
import logging
import time
from functools import partial
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from config.asgi import STATUS_PATH, campaign_at, security_headers
from landing.door import express
from landing.door.express import Pending
from landing.door.plain_http import Answer
from landing.page import rendering
from lib import metrics

log = logging.getLogger(__name__)

LAST_CALL = 0.5
"""Seconds in which a server that stops still takes a request on an idle connection: it may be on its way."""

_LINE = b"%b: %b\r\n"


class Exchange:
    """A request on the short way, where uvicorn looks for a RequestResponseCycle."""

    message_event: Final = asyncio.Event()
    """uvicorn sets it when the connection is lost; nobody waits for it."""

    def __init__(self, path: str, *, keep_alive: bool) -> None:
        self.started = time.perf_counter()
        self.path = path
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, and the short way."""

    cycle: RequestResponseCycle | Exchange | None  # type: ignore[assignment]
    _body: bytes | None = None
    """What has come of a request's body, while it is on the short way."""
    _is_last = False
    """Whether the next request is this connection's last, since the server stops."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # What has not come whole by now may take seconds: uvicorn's way waits for it, with a deadline.
        if self._body is not None and not self.transport.is_closing():
            self._leave()

    def on_headers_complete(self) -> None:
        self._unset_keepalive_if_required()  # it came behind another, in one read
        if self.transport.is_closing():
            return
        if self._may_be_short():
            self._body = b""
        else:
            self._begin()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        if self._body is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """Act on a whole request."""
        # should_keep_alive() is known only when the message is complete, and shutdown() may come before the answer.
        if self._body is not None and (answer := self._take(self._body)):
            self._body = None
            keep_alive = self.parser.should_keep_alive() and not self._is_last
            exchange = self.cycle = Exchange(self.url.decode("ascii"), keep_alive=keep_alive)
            if isinstance(answer, Pending):
                answer.done.add_done_callback(partial(self._finish, exchange, answer))
            else:
                self._write(exchange, answer)
            return
        if self._body is not None:
            self._leave()
        super().on_message_complete()

    def shutdown(self) -> None:
        """Stop after the request under way, or after one that may be on its way: uvicorn would cut that off."""
        if self._is_idle():
            self._is_last = True
            self.loop.call_later(LAST_CALL, self._hang_up)
        else:
            super().shutdown()

    def _hang_up(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _may_be_short(self) -> bool:
        return (
            self.parser.get_http_version() == "1.1"
            and not (self.expect_100_continue or self.parser.should_upgrade())
            and self._is_idle()
            # A sender who does not read its answers waits in uvicorn's way, which holds back the next one.
            and not self.flow.write_paused
        )

    def _take(self, body: bytes) -> Answer | Pending | None:
        method, path = self.parser.get_method(), self.url.decode("latin-1")
        try:
            if method == b"POST" and (campaign := campaign_at(path)):
                return express.register(self.client[0] if self.client else "", self.headers, body, campaign)
            if method == b"GET" and (task := STATUS_PATH.fullmatch(path)):
                return express.poll(task[1], self.headers)
            if method == b"GET":
                return rendering.from_memory(path, self.headers)
        except Exception:
            # Nothing was kept. A parser's callback must not raise; uvicorn's way answers 500 and logs why.
            log.exception("the short way failed")
        return None

    def _leave(self) -> None:
        """Go on as uvicorn would have done from the start."""
        body, self._body = self._body, None
        self._begin()
        if body:
            super().on_body(body)

    def _begin(self) -> None:
        super().on_headers_complete()
        if self._is_last and self.cycle is not None:
            self.cycle.keep_alive = False

    def _finish(self, exchange: Exchange, pending: Pending, _: object) -> None:
        answer = pending.answer()
        if campaign_at(exchange.path):
            metrics.observe("register_seconds", time.perf_counter() - exchange.started)
        self._write(exchange, answer)

    def _write(self, exchange: Exchange, answer: Answer) -> None:
        # Before the write: on_response_complete() may start the next request of the same read at once.
        exchange.response_complete = True
        if exchange.disconnected:
            return
        headers = (*self.server_state.default_headers, *security_headers.join(exchange.path, answer.headers))
        lines = [_LINE % header for header in headers]
        if not exchange.keep_alive:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"".join((STATUS_LINE[answer.status], *lines, b"\r\n", answer.body)))
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()
