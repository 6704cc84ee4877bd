"""The security headers of every answer, errors included."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_STRICT = b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
# DRF's browsable page, the API docs and Django's admin style some elements in place.
_LENIENT = _STRICT + b"; style-src 'self' 'unsafe-inline'"
_LENIENT_PATHS = ("/api/", "/admin/")

_COMMON = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class SecurityHeaders:
    """The headers to add to what an ASGI application sends; they replace any of the same name.

    https: whether visitors come by https, so that browsers are told to stay with it for a year.
    """

    def __init__(self, *, https: bool) -> None:
        always = [*_COMMON, _HSTS] if https else _COMMON
        self._strict = [*always, (b"content-security-policy", _STRICT)]
        self._lenient = [*always, (b"content-security-policy", _LENIENT)]
        self._names = frozenset(name for name, _ in self._strict)

    def of(self, path: str) -> Headers:
        """Return the headers that belong to a path."""
        return self._lenient if path.startswith(_LENIENT_PATHS) else self._strict

    def wrap(self, path: str, send: Send) -> Send:
        """Return a `send` that adds the headers that belong to a path."""
        added, names = self.of(path), self._names

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [header for header in message["headers"] if header[0] not in names]
                message["headers"] = own + added
            await send(message)

        return send_with_headers
