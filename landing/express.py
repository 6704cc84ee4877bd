"""The express lane: a plain registration answered without Django, five times as fast.

It takes only what needs no thought: a JSON POST with nothing unusual about it and a valid phone.
For all else it returns None, and the DRF door answers. It has no rules of its own: the phone rule,
the intake, the ids and the problem documents are the same, and a property test sends any request
through both doors and compares the answers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import orjson
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from landing import intake, problems, receipts
from landing.submission import Submission, header_text, now
from lib import phones, request_ids
from lib.client_ip import client_ip

Headers = list[tuple[bytes, bytes]]

_JSON = frozenset({b"application/json", b"application/json; charset=utf-8"})
_ANY = frozenset(
    {b"*/*", b"application/json", b"application/json, */*", b"application/json, text/plain, */*"}
)

# What the answer depends on. Each may come once; the rest of a request's headers change nothing.
_READ = frozenset(
    {
        b"host",
        b"content-type",
        b"accept",
        b"accept-language",
        b"origin",
        b"referer",
        b"user-agent",
        b"idempotency-key",
        b"x-forwarded-for",
    }
)
# Headers with a meaning that the lane leaves to Django.
_UNUSUAL = frozenset({b"content-encoding", b"x-forwarded-host", b"x-http-method-override", b"authorization"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: status, headers in lower case, body."""

    status: int
    headers: Headers
    body: bytes


async def register(peer: str, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Answer | None:
    """Answer a POST to /api/register/, or return None if it is not plain.

    peer: the address at the other end of the connection. headers: names in lower case, as ASGI
    has them. body: all of it.
    """
    if (plain := _plain(headers)) is None:
        return None
    if (phone_number := _phone_number(body)) is None:
        return None
    key = plain.get(b"idempotency-key", b"")
    if len(key) > receipts.LONGEST_KEY:
        return None
    language = plain.get(b"accept-language", b"").decode("latin-1")
    submission = Submission(
        phone_number=phone_number,
        request_id=receipts.request_id_for(key.decode("latin-1"), phone_number),
        ip_address=client_ip(
            peer, plain.get(b"x-forwarded-for", b"").decode("latin-1"), settings.TRUSTED_PROXIES
        ),
        referrer=header_text(plain.get(b"referer", b"")),
        user_agent=header_text(plain.get(b"user-agent", b"")),
        accepted_at=now(),
    )
    try:
        await intake.current().accept(submission)
    except (intake.TooManyRequests, intake.Unavailable) as error:
        return _refusal(error, language, plain.get(b"origin", b""))
    return _receipt(submission.request_id, language, plain.get(b"origin", b""))


def _plain(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[bytes, bytes] | None:
    read: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _READ:
            if name in read:
                return None
            read[name] = value
        elif name in _UNUSUAL:
            return None
    if read.get(b"content-type", b"").lower() not in _JSON or read.get(b"accept", b"*/*") not in _ANY:
        return None
    return read if _is_our_host(read.get(b"host", b"")) else None


@lru_cache(maxsize=1024)
def _is_our_host(host: bytes) -> bool:
    domain, _ = split_domain_port(host.decode("latin-1"))
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def _phone_number(body: bytes) -> str | None:
    try:
        return phones.normalise(orjson.loads(body)["phone_number"])
    except (orjson.JSONDecodeError, phones.InvalidPhone, KeyError, TypeError):
        return None


def _receipt(request_id: str, language: str, origin: bytes) -> Answer:
    body = orjson.dumps(receipts.receipt(request_id))
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"location", receipts.status_url(request_id).encode()),
        (b"x-request-id", request_id.encode()),
    ]
    return _answer(202, headers, body, language, origin)


def _refusal(error: Exception, language: str, origin: bytes) -> Answer:
    request_id = request_ids.new(settings.SECRET_KEY.encode())
    problem = problems.body(problems.code_of(error) or "internal", request_id, language)
    headers = [
        (b"content-type", problems.CONTENT_TYPE.encode()),
        (b"x-request-id", request_id.encode()),
    ]
    headers += [
        (name.lower().encode(), value.encode()) for name, value in problems.retry_headers(error).items()
    ]
    return _answer(problem["status"], headers, orjson.dumps(problem), language, origin)


def _answer(status: int, headers: Headers, body: bytes, language: str, origin: bytes) -> Answer:
    headers += _common(language, origin)
    headers.append((b"content-length", str(len(body)).encode()))
    return Answer(status, headers, body)


@lru_cache(maxsize=1024)
def _common(language: str, origin: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return what Django's middleware adds to every answer of the API."""
    headers = [
        (b"vary", b"Accept, Accept-Language, origin"),
        (b"allow", b"POST, OPTIONS"),
        (b"content-language", problems.language_of(language).encode()),
    ]
    if origin.decode("latin-1") in settings.CORS_ALLOWED_ORIGINS:
        headers.append((b"access-control-allow-origin", origin))
        headers.append((b"access-control-expose-headers", ", ".join(settings.CORS_EXPOSE_HEADERS).encode()))
    return tuple(headers)
