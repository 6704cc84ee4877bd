"""Every error answer as application/problem+json (RFC 9457), in the visitor's language.

A problem's code never changes; its words may. `urn:breakwater:problem:<code>` is its type.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from math import ceil
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from django.utils.translation.trans_real import parse_accept_lang_header
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from landing.keeping.refusals import TooManyRequests, Unavailable
from lib import metrics
from lib.phones import InvalidPhone

CONTENT_TYPE = "application/problem+json"
LANGUAGES = ("fa", "en")

Texts = tuple[dict[str, tuple[str, str]], dict[str, str]]

# code: (status, title, detail). The Persian is in locale/.
_PROBLEMS = {
    "invalid_phone": (400, _("Invalid phone number"), ""),
    "malformed_json": (
        400,
        _("Malformed JSON"),
        _('The body is not JSON. Send {"phone_number": "09123456789"} in UTF-8.'),
    ),
    "invalid_body": (
        400,
        _("Invalid body"),
        _('The body is not an object. Send {"phone_number": "09123456789"}.'),
    ),
    "invalid_idempotency_key": (
        400,
        _("Invalid Idempotency-Key"),
        _("The Idempotency-Key header is longer than 255 characters."),
    ),
    "bad_request": (400, _("Bad request"), _("The request cannot be understood.")),
    "forbidden": (403, _("Forbidden"), _("You may not do this.")),
    "not_found": (404, _("Not found"), _("There is nothing at this address.")),
    "method_not_allowed": (
        405,
        _("Method not allowed"),
        _("This address does not take this method; the Allow header names those it takes."),
    ),
    "not_acceptable": (406, _("Not acceptable"), _("The answer can be application/json or text/html.")),
    "too_slow": (408, _("Too slow"), _("The body did not arrive in time.")),
    "too_large": (413, _("Body too large"), _("The body is larger than 16 KB.")),
    "unsupported_media_type": (
        415,
        _("Unsupported media type"),
        _("Send application/json or application/x-www-form-urlencoded, not compressed."),
    ),
    "rate_limited": (
        429,
        _("Too many requests"),
        _("Too many registrations from your address. Try again after the time that Retry-After gives."),
    ),
    "internal": (
        500,
        _("Internal error"),
        _("Something went wrong on our side. Nothing was promised; try again."),
    ),
    "unavailable": (
        503,
        _("Try again soon"),
        _("The registration could not be accepted just now. Send it again with the same Idempotency-Key."),
    ),
}

# They answer other requests than registrations, and are not counted in refused_total.
_OF_OTHER_REQUESTS = frozenset({"forbidden", "not_found", "method_not_allowed", "not_acceptable"})

# What is wrong with a phone number: InvalidPhone.reason, and "required" when there is none.
PHONE_REASONS = {
    "required": _("The phone number is missing."),
    "blank": _("The phone number is empty."),
    "not_text": _("Send the phone number as text."),
    "bad_characters": _("A phone number has digits only."),
    "wrong_country": _("Only Iranian numbers (+98) can register."),
    "wrong_start": _("A phone number starts with 0."),
    "too_short": _("The phone number is too short: 0 and ten digits."),
    "too_long": _("The phone number is too long: 0 and ten digits."),
}

STATUSES = {code: problem[0] for code, problem in _PROBLEMS.items()}
"""The HTTP status of each code."""
_CODES_BY_STATUS = {status: code for code, status in reversed(STATUSES.items())}


class Refused(exceptions.APIException):
    """A request that is answered with the problem of this code."""

    def __init__(self, code: str) -> None:
        super().__init__(detail="", code=code)


@cache
def in_language(language: str) -> Texts:
    """Return the titles and details by code, and what is wrong with a phone number by reason.

    Translated once: the express lane has no time for gettext. The server calls this before its first request.
    """
    with translation.override(language):
        texts = {code: (str(title), str(detail)) for code, (_status, title, detail) in _PROBLEMS.items()}
        return texts, {reason: str(text) for reason, text in PHONE_REASONS.items()}


def body(code: str, request_id: str, accept_language: str, reason: str = "") -> dict[str, Any]:
    """Return the problem document for a code; `reason` is a phone number's."""
    texts, reasons = in_language(language_of(accept_language))
    title, detail = texts[code]
    problem = {
        "type": f"urn:breakwater:problem:{code}",
        "title": title,
        "status": STATUSES[code],
        "detail": reasons[reason] if reason else detail,
        "code": code,
        "request_id": request_id,
    }
    if reason:
        problem["errors"] = [{"field": "phone_number", "code": reason, "detail": problem["detail"]}]
    return problem


def count_refusal(code: str) -> None:
    """Count a refused registration. A refusal of another request is not counted."""
    if code not in _OF_OTHER_REQUESTS:
        metrics.count(f"refused:{code}")


@lru_cache(maxsize=1024)
def language_of(accept_language: str) -> str:
    """Return "fa" or "en": the first that Accept-Language names, else DEFAULT_LANGUAGE."""
    for name, _quality in parse_accept_lang_header(accept_language[:200].lower()):
        language = name.partition("-")[0]
        if language in LANGUAGES:
            return language
    return settings.LANGUAGE_CODE


def answer(request: HttpRequest, code: str, headers: Mapping[str, str] | None = None) -> JsonResponse:
    """Return a problem as a plain Django response."""
    count_refusal(code)
    problem = body(code, _request_id(request), request.headers.get("Accept-Language", ""))
    return JsonResponse(
        problem,
        status=problem["status"],
        headers=headers,
        content_type=CONTENT_TYPE,
        json_dumps_params={"ensure_ascii": False},
    )


def answer_exception(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answer an exception of a DRF view, or return None for Django's 500: DRF's EXCEPTION_HANDLER."""
    request = context["request"]
    code = code_of(error)
    if code is None:
        return None
    count_refusal(code)
    reason = getattr(error, "reason", "")
    problem = body(code, _request_id(request), request.headers.get("Accept-Language", ""), reason)
    as_json = isinstance(getattr(request, "accepted_renderer", JSONRenderer()), JSONRenderer)
    return Response(
        problem,
        status=problem["status"],
        headers=retry_headers(error),
        content_type=CONTENT_TYPE if as_json else None,
    )


def code_of(error: BaseException) -> str | None:
    """Return the code of an exception's problem, or None for a fault of ours."""
    if isinstance(error, InvalidPhone):
        return "invalid_phone"
    if isinstance(error, TooManyRequests):
        return "rate_limited"
    if isinstance(error, Unavailable):
        return "unavailable"
    if isinstance(error, exceptions.ParseError):
        return "malformed_json"
    if isinstance(error, exceptions.APIException):
        codes = error.get_codes()
        return codes if codes in _PROBLEMS else _CODES_BY_STATUS.get(error.status_code)
    return None


def retry_headers(error: BaseException) -> dict[str, str]:
    """Return Retry-After in whole seconds, if it helps to wait."""
    if not isinstance(error, (TooManyRequests, Unavailable)):
        return {}
    return {"Retry-After": str(max(1, ceil(error.retry_after)))}


def _request_id(request: HttpRequest | Request) -> str:
    return str(request.META.get("breakwater.request_id", ""))
