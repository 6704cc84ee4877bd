"""What stands between a visitor and the site: a CDN, a login, a broken line. A small proxy on an address of its own."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from systemtests.stack import Stack, new_sender

OF_A_CONNECTION = {"connection", "content-length", "keep-alive", "transfer-encoding"}


class Between:
    """A proxy before a stack. Each is an origin of its own, for which no browser keeps anything yet."""

    def __init__(self, stack: Stack, port: int = 0) -> None:
        self.stack = stack
        self.sender = new_sender()
        self.rewrite = None  # what it makes of a page's HTML
        self.keeps_policy = True  # whether it hands the content policy on
        self.answer: Any = lambda method, path, headers: None  # its own (status, headers, body), or None
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:  # a visitor who goes on to another page
                    self.close_connection = True

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                own = between.answer(self.command, self.path, self.headers)
                status, headers, body = own or between.ask(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_OPTIONS = do_HEAD = do_GET  # noqa: N815  the names that BaseHTTPRequestHandler wants

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Any:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> Any:
        self.server.shutdown()
        self.server.server_close()

    def ask(self, method: Any, path: str, headers: Any, body: Any) -> Any:
        """Ask the site, and return its answer as this proxy hands it on."""
        own = {"Accept-Encoding": "identity", "X-Forwarded-For": self.sender}
        asked = {name: value for name, value in headers.items() if name.title() not in own} | own
        connection = http.client.HTTPConnection("127.0.0.1", self.stack.port, timeout=20)
        try:
            connection.request(method, path, body, asked)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        dropped = OF_A_CONNECTION if self.keeps_policy else OF_A_CONNECTION | {"content-security-policy"}
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
        if self.rewrite and answer.getheader("Content-Type", "").startswith("text/html"):
            content = self.rewrite(content.decode()).encode()
        return answer.status, kept, content

    def refuse_the_api(self) -> None:
        """Answer each call of the API by 503, until let_through()."""
        busy = (
            503,
            [("Content-Type", "application/problem+json"), ("Retry-After", "1")],
            b'{"code": "unavailable"}',
        )
        self.answer = lambda method, path, headers: busy if path.startswith("/api/") else None

    def let_through(self) -> None:
        self.answer = lambda method, path, headers: None
