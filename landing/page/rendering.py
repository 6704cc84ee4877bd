"""Renders the landing page, and serves it from memory: a wave asks for it as often as it registers.

Django needs 2 ms for a page. nginx and CDNs keep it too; this serves those who have neither.
"""

import gzip
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import re_accepts_gzip
from django.shortcuts import render
from django.urls import reverse

from landing.door import plain_http, problems
from landing.door.plain_http import Answer, Headers
from landing.page import branding
from lib import phones, request_ids

FRESH = 10.0
"""Seconds for which one copy, with one key in its form, is served to everybody; as long as in nginx."""

_SCRIPT_TEXTS = ("page", "form", "processing", "delayed", "registered", "failed", "problems")
_LANGUAGES = {"/": "", "/fa/": "fa", "/en/": "en"}


@dataclass(frozen=True, slots=True)
class Copy:
    """A page as bytes, compressed too, and the headers of both."""

    plain: bytes
    compressed: bytes
    headers: Headers


def render_home(
    request: HttpRequest, language: str, code: int = 200, typed: str = "", error: str = ""
) -> HttpResponse:
    """Return the landing page with this HTTP status, what was typed, and what is wrong with it."""
    context = {
        "action": reverse("home", args=[language]),
        "api_url": reverse("register"),
        "phone_number": typed[: phones.LONGEST_INPUT],
        "longest_input": phones.LONGEST_INPUT,
        "error": error,
        # Pressing twice without JavaScript is one registration. A copy gives one key to many
        # visitors: it counts only together with the number.
        "key": request.POST.get("key") or request_ids.new(settings.SECRET_KEY.encode()),
    }
    return render_page(request, "landing/index.html", language, context, code)


def render_page(
    request: HttpRequest, template: str, language: str, context: dict[str, Any], code: int = 200
) -> HttpResponse:
    """Return one of the visitor's pages, with the content policy that allows what is inside it."""
    shown = branding.current()
    texts = shown.texts[language]
    words = {
        "texts": texts,
        "script_texts": {name: texts[name] for name in _SCRIPT_TEXTS} | {"phone": {"marks": phones.MARKS}},
        "page": shown,
        "links": [(link["url"], link[language]) for link in shown.links],
        "language": language,
        "other_language": "en" if language == "fa" else "fa",
    }
    answer = render(request, template, words | context, status=code)
    answer.headers["Content-Language"] = language
    answer.headers["Cache-Control"] = cache_control(request.path)
    answer.headers["Content-Security-Policy"] = shown.inline.policy
    return answer


def cache_control(path: str) -> str:
    """Return a page's Cache-Control.

    No proxy may rewrite the page: its content policy has the hashes of its styles and scripts. "/" comes in each
    visitor's language, and some CDNs ignore Vary: they must not keep it.
    """
    return "private, no-transform" if path == "/" else "no-transform"


def from_memory(path: str, headers: Iterable[tuple[bytes, bytes]]) -> Answer | None:
    """Answer a GET of the landing page, or return None for another path or if Django must look at the request."""
    if (language := _LANGUAGES.get(path)) is None or (plain := plain_http.read(headers)) is None:
        return None
    language = language or problems.language_of(plain.get(b"accept-language", b"").decode("latin-1"))
    try:
        copy = _copy(language, int(time.monotonic() / FRESH))
    except ImproperlyConfigured:
        return None  # Django's answer says in the log what is wrong with the page's settings
    takes_gzip = re_accepts_gzip.search(plain.get(b"accept-encoding", b"").decode("latin-1"))
    body = copy.compressed if takes_gzip else copy.plain
    own = [
        (b"x-request-id", request_ids.new(settings.SECRET_KEY.encode()).encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", cache_control(path).encode()),
    ]
    if takes_gzip:
        own.append((b"content-encoding", b"gzip"))
    return Answer(200, copy.headers + own, body)


@lru_cache(maxsize=4)
def _copy(language: str, _period: int) -> Copy:
    written = render_home(HttpRequest(), language)
    del written.headers["Cache-Control"]  # goes by the path
    own = [(name.lower().encode(), value.encode()) for name, value in written.items()]
    headers = [*own, (b"vary", b"Accept-Encoding, Accept-Language")]
    return Copy(written.content, gzip.compress(written.content), headers)
