"""Simple HTTP requests and whole answers, as the ASGI server has them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings
from django.http.request import split_domain_port, validate_host

Headers = list[tuple[bytes, bytes]]

# Headers that the answer depends on. Others change nothing.
_READ = frozenset(
    {
        b"host",
        b"content-type",
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"origin",
        b"referer",
        b"user-agent",
        b"idempotency-key",
        b"x-forwarded-for",
    }
)
# Django and DRF change the answer for them, or refuse: a compressed body, another host, another method, a login.
_UNUSUAL = frozenset({b"content-encoding", b"x-forwarded-host", b"x-http-method-override", b"authorization"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: status, headers in lower case, body."""

    status: int
    headers: Headers
    body: bytes


def read(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[bytes, bytes] | None:
    """Return the headers that an answer depends on, or None if Django must look at the request."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _READ:
            if name in found:
                return None  # sent twice: WSGI joins them with a comma, and Django judges the result
            found[name] = value
        elif name in _UNUSUAL:
            return None
    return found if is_our_host(found.get(b"host", b"")) else None


@lru_cache(maxsize=1024)
def is_our_host(host: bytes) -> bool:
    """Return whether a Host header names this site (ALLOWED_HOSTS)."""
    domain, _ = split_domain_port(host.decode("latin-1"))
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)
