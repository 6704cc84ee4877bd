"""The security headers of every answer, errors included."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from landing.door.plain_http import Headers
from lib import content_policy

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_POLICY = b"content-security-policy"
_LENIENT_PATHS = ("/api/", "/admin/")

_COMMON = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_HSTS = b"strict-transport-security"


class SecurityHeaders:
    """The headers to add to what an ASGI application sends; they replace any of the same name.

    Only a content policy of the answer's own stays.

    hsts: the value of Strict-Transport-Security, which browsers do not forget before its time; "": none.
    """

    def __init__(self, *, hsts: str) -> None:
        self._always = [*_COMMON, (_HSTS, hsts.encode())] if hsts else _COMMON
        self._strict = [*self._always, (_POLICY, content_policy.STRICT.encode())]
        self._lenient = [*self._always, (_POLICY, content_policy.LENIENT.encode())]
        self._names = frozenset(name for name, _ in self._always)

    def of(self, path: str) -> Headers:
        """Return the headers that belong to a path."""
        return self._lenient if path.startswith(_LENIENT_PATHS) else self._strict

    def join(self, path: str, own: Headers) -> Headers:
        """Return an answer's own headers with those that belong to its path."""
        kept = [header for header in own if header[0] not in self._names]
        has_policy = any(name == _POLICY for name, _ in kept)
        return kept + (self._always if has_policy else self.of(path))

    def wrap(self, path: str, send: Send) -> Send:
        """Return a `send` that adds the headers that belong to a path."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self.join(path, message["headers"])
            await send(message)

        return send_with_headers
