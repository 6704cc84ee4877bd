"""The express lane: simple requests answered without Django, several times as fast.

It answers a JSON POST with known headers and a valid phone number, the question about a registration's
state, and the preflight of a page on another site. For anything else it returns None, and Django answers.
Both use the same phone rule, intake, ids and problems; a property test sends any request to both and
compares the answers.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from corsheaders.conf import conf
from django.conf import settings

from campaigns.definition import Campaign, Shut
from landing.door import plain_http, problems, receipts, registering, status
from landing.door.plain_http import Answer, Headers
from landing.keeping import intake, proofs
from landing.storing import backlog
from landing.storing.task_states import Known, State
from landing.submission import Submission
from lib import request_ids
from lib.client_ip import client_ip
from lib.clock import now
from lib.texts import header_text

log = logging.getLogger(__name__)

_JSON = frozenset({b"application/json", b"application/json; charset=utf-8"})
# What curl, fetch, axios and our own page send. JSON comes first in each.
_ACCEPTS_JSON = frozenset(
    {
        b"*/*",
        b"application/json",
        b"application/json, */*",
        b"application/json, text/plain, */*",
        b"application/json, application/problem+json",
    }
)


@dataclass(frozen=True, slots=True)
class Pending:
    """An answer that waits for a disk or a store, until `done` is done."""

    done: asyncio.Future[Any]
    _plain: Mapping[bytes, bytes]
    _finish: Callable[[Any], Answer]

    def answer(self) -> Answer:
        error = self.done.exception()
        return self._finish(self.done.result()) if error is None else _refusal(error, self._plain)


def register(
    peer: str, headers: Iterable[tuple[bytes, bytes]], body: bytes, campaign: Campaign
) -> Answer | Pending | None:
    """Take a POST to a campaign's address, or return None if it is not simple.

    peer: the address at the other end of the connection. headers: names in lower case, as ASGI
    has them. body: all of it.
    """
    plain = _for_json(headers)
    # A form or another charset: Django has parsers for them.
    if plain is None or plain.get(b"content-type", b"").lower() not in _JSON or len(body) > settings.MAX_BODY:
        return None
    time = now()
    language = plain.get(b"accept-language", b"").decode("latin-1")
    try:
        sent = orjson.loads(body)
        if not isinstance(sent, dict):
            return None
        phone_number, details = registering.judge(campaign, sent, language, time)
    except Shut as shut:
        return _refusal(shut, plain)  # a crowd may press before the opening
    except ValueError:
        return None  # other refusals are rare, and Django words them
    # Bytes above ASCII are read as Latin-1, as Django reads headers: the same key gives the same id at both doors.
    key = plain.get(b"idempotency-key", b"")
    if len(key) > receipts.LONGEST_KEY:
        return None
    request_id = receipts.request_id_for(key.decode("latin-1"), phone_number, campaign.slug)
    submission = Submission(
        phone_number=phone_number,
        request_id=request_id,
        ip_address=client_ip(
            peer, plain.get(b"x-forwarded-for", b"").decode("latin-1"), settings.TRUSTED_PROXIES
        ),
        referrer=header_text(plain.get(b"referer", b"")),
        user_agent=header_text(plain.get(b"user-agent", b"")),
        accepted_at=time,
        campaign=campaign.slug,
        details=details,
        has_proof=proofs.has_proof(sent, request_id),
    )
    kept = intake.current().accept(submission)
    return Pending(kept, plain, lambda _: _receipt(submission.request_id, plain))


def poll(task_id: str, headers: Iterable[tuple[bytes, bytes]]) -> Answer | Pending | None:
    """Take a GET of a task's state, or return None if it is not simple or the id is not ours.

    For the event loop of the intake. Most of a waiting crowd is answered at once, without any store.
    """
    if not status.is_ours(task_id) or (plain := _for_json(headers)) is None:
        return None
    if status.surely_waits(task_id):
        return _state(task_id, Known(State.WAITING), plain)
    asked = asyncio.ensure_future(status.ask(task_id))
    return Pending(asked, plain, lambda known: _state(task_id, known, plain))


def preflight(headers: Iterable[tuple[bytes, bytes]]) -> Answer | None:
    """Answer a CORS preflight, or return None for another OPTIONS request."""
    plain = plain_http.read(headers)
    if plain is None or not any(name == b"access-control-request-method" for name, _ in headers):
        return None
    own = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"x-request-id", request_ids.new(settings.SECRET_KEY.encode()).encode()),
    ]
    if plain.get(b"origin", b"").decode("latin-1") in settings.CORS_ALLOWED_ORIGINS:
        own += [
            (b"access-control-allow-headers", ", ".join(settings.CORS_ALLOW_HEADERS).encode()),
            (b"access-control-allow-methods", ", ".join(settings.CORS_ALLOW_METHODS).encode()),
            (b"access-control-max-age", str(conf.CORS_PREFLIGHT_MAX_AGE).encode()),
        ]
    return _answer(200, own, b"", plain, vary=b"origin, Accept-Language")


def _for_json(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[bytes, bytes] | None:
    read = plain_http.read(headers)
    # Any other Accept may prefer HTML, or nothing that we have: weighing it is DRF's.
    return read if read is not None and read.get(b"accept", b"*/*") in _ACCEPTS_JSON else None


def _state(task_id: str, known: Known, plain: Mapping[bytes, bytes]) -> Answer:
    if known.state is State.ERASED:
        return _problem("erased", plain, [(b"allow", b"GET, HEAD, OPTIONS")])
    own = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_ids.new(settings.SECRET_KEY.encode()).encode()),
        (b"allow", b"GET, HEAD, OPTIONS"),
    ]
    if known.state is State.WAITING:
        own.append((b"retry-after", str(backlog.retry_after()).encode()))
    return _answer(200, own, orjson.dumps(status.body(task_id, known)), plain)


def _receipt(request_id: str, plain: Mapping[bytes, bytes]) -> Answer:
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"location", receipts.status_url(request_id).encode()),
        (b"x-request-id", request_id.encode()),
        (b"allow", b"POST, OPTIONS"),
    ]
    return _answer(202, headers, orjson.dumps(receipts.receipt(request_id)), plain)


def _refusal(error: BaseException, plain: Mapping[bytes, bytes]) -> Answer:
    if (code := problems.code_of(error)) is None:
        log.error("a registration failed", exc_info=error)
    retry = [(name.lower().encode(), value.encode()) for name, value in problems.retry_headers(error).items()]
    return _problem(code or "internal", plain, [(b"allow", b"POST, OPTIONS"), *retry], error)


def too_slow(headers: Iterable[tuple[bytes, bytes]]) -> Answer:
    """Refuse a request whose body did not arrive in time, and close its connection."""
    return _problem("too_slow", dict(headers), [(b"connection", b"close")])


def _problem(
    code: str, plain: Mapping[bytes, bytes], headers: Headers, error: BaseException | None = None
) -> Answer:
    problems.count_refusal(code)
    request_id = request_ids.new(settings.SECRET_KEY.encode())
    language = plain.get(b"accept-language", b"").decode("latin-1")
    problem = problems.body(code, request_id, language, error)
    headers = [
        (b"content-type", problems.CONTENT_TYPE.encode()),
        (b"x-request-id", request_id.encode()),
        *headers,
    ]
    return _answer(problem["status"], headers, orjson.dumps(problem), plain)


def _answer(
    status: int,
    headers: Headers,
    body: bytes,
    plain: Mapping[bytes, bytes],
    vary: bytes = b"Accept, origin, Accept-Language",
) -> Answer:
    headers += _common(plain.get(b"accept-language", b""), plain.get(b"origin", b""))
    headers.append((b"vary", vary))
    headers.append((b"content-length", str(len(body)).encode()))
    return Answer(status, headers, body)


@lru_cache(maxsize=1024)
def _common(accept_language: bytes, origin: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return what Django's middleware adds to every answer of the API."""
    headers = [(b"content-language", problems.language_of(accept_language.decode("latin-1")).encode())]
    if origin.decode("latin-1") in settings.CORS_ALLOWED_ORIGINS:
        headers.append((b"access-control-allow-origin", origin))
        headers.append((b"access-control-expose-headers", ", ".join(settings.CORS_EXPOSE_HEADERS).encode()))
    return tuple(headers)
