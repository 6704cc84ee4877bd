"""Renders the landing page, and serves it from memory: a wave asks for it as often as it registers.

Django needs 2 ms for a page. nginx and CDNs keep it too; this serves those who have neither.
"""

import gzip
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import re_accepts_gzip
from django.shortcuts import render
from django.urls import reverse

from campaigns.definition import DEFAULT, LANGUAGES, Campaign, Shut
from landing.door import plain_http, problems, registering
from landing.door.plain_http import Answer, Headers
from landing.page import branding
from landing.storing import lines
from lib import calendars, phones, request_ids
from lib.clock import now

FRESH = 10.0
"""Seconds for which one copy, with one key in its form, is served to everybody; as long as in nginx."""

_SCRIPT_TEXTS = ("page", "form", "processing", "delayed", "registered", "failed", "problems")
"""What the script says, in tables of texts/. Each page carries it, so the others stay out."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A page as bytes, compressed too, and the headers of both."""

    plain: bytes
    compressed: bytes
    headers: Headers


def render_home(
    request: HttpRequest, language: str, slug: str, code: int = 200, error: str = ""
) -> HttpResponse:
    """Return a campaign's page with this HTTP status, what was typed in `request`, and what is wrong with it."""
    campaign = branding.current(slug).campaign
    context = {
        "action": address("home", slug, language),
        "other_url": address("home", slug, other(language)),
        "api_url": address("register", slug),
        "phone_number": request.POST.get("phone_number", "")[: phones.LONGEST_INPUT],
        "fields": [
            (field, field.labels[language], request.POST.get(field.name, "")[: field.longest])
            for field in campaign.fields
        ],
        "campaign": campaign,
        "consent_version": campaign.consents[language].version,
        "opens": int(campaign.opens.timestamp() * 1000) if campaign.opens else "",
        "shut": _shut_words(campaign, language),
        "longest_input": phones.LONGEST_INPUT,
        "error": error,
        # Pressing twice without JavaScript is one registration. A copy gives one key to many
        # visitors: it counts only together with the number.
        "key": request.POST.get("key") or request_ids.new(settings.SECRET_KEY.encode()),
    }
    return render_page(request, "landing/index.html", language, slug, context, code)


def address(name: str, slug: str, *arguments: str) -> str:
    """Return the address of this name (landing/urls.py) in a campaign."""
    if slug == DEFAULT:
        return reverse(name, args=arguments)
    return reverse(f"{name}_in_campaign", args=[slug, *arguments])


def _shut_words(campaign: Campaign, language: str) -> str:
    """Return the sentence of a page whose campaign takes nobody now, or "" while it does."""
    texts = branding.current(campaign.slug).texts[language]["campaign"]
    try:
        registering.require_room(campaign, now())
    except Shut as shut:
        calendar = settings.CALENDAR if language == "fa" else calendars.GREGORIAN
        shown = calendars.show(shut.opens, calendar, settings.DISPLAY_TIME_ZONE)[:-3] if shut.opens else ""
        return filled(texts[shut.code], language, time=shown)
    return ""


def place_words(place: Mapping[str, Any] | None, language: str, slug: str) -> str:
    """Return what a page says of a place (Line.place_of), or "" if there is nothing to say."""
    if not place:
        return ""
    words = branding.current(slug).texts[language]["place"][place["state"]]
    return filled(words, language, number=place["number"], position=place.get("position", ""))


def filled(text: str, language: str, **values: object) -> str:
    """Return a marketer's text with its {names} filled in, and any other braces as they are."""
    for name, value in values.items():
        shown = calendars.in_persian_digits(str(value)) if language == "fa" else str(value)
        text = text.replace(f"{{{name}}}", shown)
    return text


def _script_texts(campaign: Campaign) -> tuple[str, ...]:
    more = ("campaign",) if campaign.fields or campaign.opens else ()
    has_places = campaign.gives_places or campaign.slug in lines.current()
    return (*_SCRIPT_TEXTS, *more, *(("place",) if has_places else ()))


def other(language: str) -> str:
    """Return the page's other language."""
    return "en" if language == "fa" else "fa"


def render_page(
    request: HttpRequest, template: str, language: str, slug: str, context: dict[str, Any], code: int = 200
) -> HttpResponse:
    """Return one of the visitor's pages, with the content policy that allows what is inside it."""
    shown = branding.current(slug)
    texts = shown.texts[language]
    words = {
        "texts": texts,
        "script_texts": {name: texts[name] for name in _script_texts(shown.campaign)}
        | {"phone": {"marks": phones.MARKS}},
        "page": shown,
        "links": [(link["url"], link[language]) for link in shown.links],
        "language": language,
        "other_language": other(language),
    }
    answer = render(request, template, words | context, status=code)
    answer.headers["Content-Language"] = language
    answer.headers["Cache-Control"] = cache_control(request.path)
    answer.headers["Content-Security-Policy"] = shown.inline.policy
    return answer


def cache_control(path: str) -> str:
    """Return a page's Cache-Control.

    No proxy may rewrite the page: its content policy has the hashes of its styles and scripts. "/" and "/c/SLUG/" come
    in each visitor's language, and some CDNs ignore Vary: they must not keep them.
    """
    return "no-transform" if path.endswith(("/fa/", "/en/")) else "private, no-transform"


def from_memory(path: str, headers: Iterable[tuple[bytes, bytes]]) -> Answer | None:
    """Answer a GET of the landing page, or return None for another path or if Django must look at the request."""
    if (asked := _pages().get(path)) is None or (plain := plain_http.read(headers)) is None:
        return None
    slug, language = asked
    language = language or problems.language_of(plain.get(b"accept-language", b"").decode("latin-1"))
    try:
        copy = _copy(slug, language, int(time.monotonic() / FRESH))
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


@cache
def _pages() -> dict[str, tuple[str, str]]:
    """Return the campaign and the language, "" for the visitor's, of each page's path."""
    pages = {}
    for slug in branding.campaigns():
        pages[address("any_home", slug)] = (slug, "")
        pages |= {address("home", slug, language): (slug, language) for language in LANGUAGES}
    return pages


@lru_cache(maxsize=64)
def _copy(slug: str, language: str, _period: int) -> Copy:
    written = render_home(HttpRequest(), language, slug)
    del written.headers["Cache-Control"]  # goes by the path
    own = [(name.lower().encode(), value.encode()) for name, value in written.items()]
    headers = [*own, (b"vary", b"Accept-Encoding, Accept-Language")]
    return Copy(written.content, gzip.compress(written.content), headers)
