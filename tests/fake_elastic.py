"""The part of Elasticsearch's HTTP API that logs/elastic.py uses, in memory. No real one is in any package index.

ELASTIC_URL runs the same tests on a real one.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Index:
    """One index. refuses: a status for each document whose referrer is "refused"."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.refused: list[str] = []
        self.is_made = False
        self.refuses = 400
        self.lock = threading.Lock()

    def answer(self, method: str, path: str, body: str) -> tuple[int, Any]:
        act = path.partition("?")[0].rpartition("/")[2]
        with self.lock:
            if method == "HEAD":
                return (200 if self.is_made else 404), {}
            self.is_made = self.is_made or method == "PUT"
            if act == "_bulk":
                items = list(self._bulk(body.splitlines()))
                return 200, {"items": items, "errors": any("error" in one.get("create", {}) for one in items)}
            if act == "_mget":
                return 200, {"docs": [self._got(one) for one in json.loads(body)["ids"]]}
            if act == "_search":
                return 200, {"hits": {"hits": self._search(json.loads(body))}}
            settings = {"index": {"settings": {"index": {"number_of_replicas": "1"}}}}
            return 200, settings if act == "_settings" else {"status": "yellow"}

    def _got(self, one: str) -> dict[str, Any]:
        return {"_id": one, "found": one in self.documents, "_source": self.documents.get(one)}

    def _bulk(self, lines: list[str]) -> Iterator[dict[str, Any]]:
        lines = [line for line in lines if line]
        while lines:
            [(act, told)] = json.loads(lines.pop(0)).items()
            one = told["_id"]
            if act == "delete":
                gone = self.documents.pop(one, None)
                yield {
                    "delete": {"status": 200 if gone else 404, "result": "deleted" if gone else "not_found"}
                }
                continue
            yield {"create": {"_id": one, **self._created(one, told, json.loads(lines.pop(0)))}}

    def _created(self, one: str, told: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
        if "_type" in told or "_id" in document:
            return {"status": 400, "error": {"type": "illegal_argument_exception", "reason": "metadata"}}
        if document.get("referrer") == "refused":
            self.refused.append(one)
            return {"status": self.refuses, "error": {"type": "mapper_exception", "reason": "refused"}}
        if one in self.documents:
            return {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "there"}}
        self.documents[one] = document
        return {"status": 201}

    def _search(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        window = question["query"].get("range", {}).get("accepted_at", {})
        after = question.get("search_after", [""])[0]
        found = sorted(
            one
            for one, document in self.documents.items()
            if one > after
            and document.get("accepted_at", "") >= window.get("gte", "")
            and ("lt" not in window or document["accepted_at"] < window["lt"])
        )
        return [{"_source": {"request_id": one}, "sort": [one]} for one in found[: question["size"]]]


@contextmanager
def running(port: int = 0) -> Iterator[tuple[str, Index]]:
    """Serve an index, at a free port if none is told; give its address and the index."""
    index = Index()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # After an outage rsyslog sends one document at a time, and else each would wait 40 ms for its answer.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            status, told = index.answer(self.command, self.path, body)
            said = b"" if self.command == "HEAD" else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_PUT = do_HEAD = do_POST  # noqa: N815  the server calls them

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", index
    finally:
        server.shutdown()
        server.server_close()
