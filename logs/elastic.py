"""Request metadata in Elasticsearch or OpenSearch, by the part of their HTTP API that both have.

Ours: their two clients exclude each other, and each refuses the other's server.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
import orjson
from django.conf import settings

from logs.stores import PAGE, READ_TIMEOUT, Document, DocumentsRefused, StoreUnavailable

CREATED, KNOWN = 201, 409
_PASSING = frozenset({429, 502, 503, 504})
_TIMES = ("accepted_at", "queued_at", "logged_at")
# A field that is not named is kept and not indexed: nobody can fill the index with fields, or have a document refused.
_MAPPINGS = {
    "dynamic": False,
    "properties": {
        "request_id": {"type": "keyword"},
        "registration_id": {"type": "long"},
        "ip_address": {"type": "keyword", "ignore_above": 256},
        "referrer": {"type": "keyword", "ignore_above": 1024},
        "user_agent": {"type": "text"},
        **{name: {"type": "date"} for name in _TIMES},
    },
}


class ElasticStore:
    """Keeps documents in one index, ELASTIC_INDEX, by their _id."""

    def __init__(self) -> None:
        key = settings.ELASTIC_API_KEY
        self._index = quote(settings.ELASTIC_INDEX, safe="")
        self._client = httpx.Client(
            base_url=settings.ELASTIC_URL,
            timeout=settings.MONGODB_TIMEOUT,
            headers={"Authorization": f"ApiKey {key}"} if key else {},
            verify=settings.ELASTIC_CA_PATH or True,
            trust_env=False,
        )
        self._is_made = False

    def insert(self, documents: Sequence[Document]) -> None:
        """Keep documents in one bulk of `create`: a known _id answers 409, and stays as it is."""
        self._make()
        lines = []
        for document in documents:
            request_id = str(document["_id"])
            fields = {name: value for name, value in document.items() if name != "_id"}
            kept = fields | {"request_id": request_id}
            lines += [orjson.dumps({"create": {"_id": request_id}}), orjson.dumps(kept)]
        refused = [one for one in self._bulk(lines, "create") if one["status"] not in (CREATED, KNOWN)]
        if any(one["status"] in _PASSING for one in refused):
            raise StoreUnavailable(f"{len(refused)} documents not taken now: {refused[0]['status']}")
        if refused:
            raise DocumentsRefused(f"{len(refused)} documents refused: {str(refused[0].get('error'))[:150]}")

    def find(self, request_id: str) -> dict[str, Any] | None:
        found = self.find_many([request_id])
        return found[0] if found else None

    def find_many(self, ids: Sequence[Any]) -> list[dict[str, Any]]:
        if not ids:
            return []
        told = self._ask("POST", f"/{self._index}/_mget", {"ids": [str(one) for one in ids]})
        return [_document(one["_source"]) for one in told.get("docs", []) if one.get("found")]

    def ids(self, since: datetime | None, until: datetime | None) -> Iterator[Any] | None:
        """Yield the _ids, page by page, in their order."""
        window = {name: time.isoformat() for name, time in (("gte", since), ("lt", until)) if time}
        query: dict[str, Any] = {"range": {"accepted_at": window}} if window else {"match_all": {}}
        return self._pages({"query": query, "size": PAGE, "sort": ["request_id"], "_source": ["request_id"]})

    def delete(self, ids: Sequence[Any]) -> int:
        if not ids:
            return 0
        lines = [orjson.dumps({"delete": {"_id": str(one)}}) for one in ids]
        return sum(one.get("result") == "deleted" for one in self._bulk(lines, "delete"))

    def members(self) -> tuple[int, int]:
        """Return how many copies the index is to have, and how many of them are not there."""
        self._make()
        told = self._ask("GET", f"/{self._index}/_settings")
        copies = 1 + int(next(iter(told.values()))["settings"]["index"]["number_of_replicas"])
        is_whole = self._ask("GET", f"/_cluster/health/{self._index}")["status"] == "green"
        return copies, 0 if is_whole else copies - 1

    def _make(self) -> None:
        """Make the index where it is missing. Another process may do so at the same moment."""
        if self._is_made:
            return
        if self._send("HEAD", f"/{self._index}").status_code == httpx.codes.NOT_FOUND:
            self._send("PUT", f"/{self._index}", orjson.dumps({"mappings": _MAPPINGS}))
        self._is_made = True

    def _bulk(self, lines: Sequence[bytes], act: str) -> list[Mapping[str, Any]]:
        answer = self._send(
            "POST", f"/{self._index}/_bulk", b"\n".join([*lines, b""]), "application/x-ndjson"
        )
        return [one[act] for one in _told(answer)["items"]]

    def _pages(self, question: dict[str, Any]) -> Iterator[Any]:
        # What was written is found by its _id at once, and by a search after a refresh.
        self._send("POST", f"/{self._index}/_refresh", timeout=READ_TIMEOUT)
        while hits := self._ask("POST", f"/{self._index}/_search", question)["hits"]["hits"]:
            yield from (one["_source"]["request_id"] for one in hits)
            question = question | {"search_after": hits[-1]["sort"]}

    def _ask(self, method: str, path: str, question: Mapping[str, Any] | None = None) -> Any:
        body = orjson.dumps(question) if question is not None else b""
        answer = self._send(method, path, body, timeout=READ_TIMEOUT)
        return {} if answer.status_code == httpx.codes.NOT_FOUND else _told(answer)

    def _send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        kind: str = "application/json",
        timeout: float | None = None,
    ) -> httpx.Response:
        try:
            headers = {"Content-Type": kind} if body else {}
            limits = {"timeout": timeout} if timeout else {}
            return self._client.request(method, path, content=body, headers=headers, **limits)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            raise StoreUnavailable(repr(error)) from error


def _document(source: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in source.items() if name != "request_id"}
    times = {name: datetime.fromisoformat(fields[name]) for name in _TIMES if fields.get(name)}
    return {"_id": source["request_id"], **fields, **times}


def _told(answer: httpx.Response) -> Any:
    if not answer.is_success:
        raise StoreUnavailable(f"HTTP {answer.status_code}")
    try:
        return answer.json()
    except ValueError as error:
        raise StoreUnavailable("an answer that is no JSON") from error
