"""Every error answer as application/problem+json (RFC 9457), in the visitor's language.

A problem's code never changes; its words may. `urn:breakwater:problem:<code>` is its type.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from math import ceil
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from django.utils.translation.trans_real import parse_accept_lang_header
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.definition import LANGUAGES, ConsentRequired, Shut
from campaigns.fields import InvalidFields
from landing.keeping.refusals import TooManyRequests, Unavailable
from lib import metrics
from lib.phones import InvalidPhone

CONTENT_TYPE = "application/problem+json"


class Texts(NamedTuple):
    """Titles and details by code, and what is wrong with a phone number, a field and a one-time code, by reason."""

    problems: dict[str, tuple[str, str]]
    phone_reasons: dict[str, str]
    field_reasons: dict[str, str]
    code_reasons: dict[str, str]


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
    "invalid_fields": (400, _("Invalid fields"), ""),
    "consent_required": (
        400,
        _("Consent required"),
        _("Nobody is registered without having agreed to the text. Tick its box."),
    ),
    "invalid_code": (400, _("Invalid code"), ""),
    "bad_request": (400, _("Bad request"), _("The request cannot be understood.")),
    "forbidden": (403, _("Forbidden"), _("You may not do this.")),
    "not_open_yet": (403, _("Not open yet"), _("Registration has not begun yet.")),
    "campaign_closed": (403, _("Closed"), _("Registration is over.")),
    "campaign_full": (403, _("Full"), _("All places are taken, and so is the line for them.")),
    "not_found": (404, _("Not found"), _("There is nothing at this address.")),
    "method_not_allowed": (
        405,
        _("Method not allowed"),
        _("This address does not take this method; the Allow header names those it takes."),
    ),
    "not_acceptable": (406, _("Not acceptable"), _("The answer can be application/json or text/html.")),
    "too_slow": (408, _("Too slow"), _("The body did not arrive in time.")),
    "erased": (410, _("Erased"), _("This registration was erased, as its sender has asked.")),
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
    "too_many_codes": (
        429,
        _("Too many codes"),
        _(
            "Too many codes were asked for from your address. Ask again after the time that Retry-After gives."
        ),
    ),
    "too_many_tries": (
        429,
        _("Too many tries"),
        _("Too many codes were typed. Try again after the time that Retry-After gives."),
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
_OF_OTHER_REQUESTS = frozenset(
    {"forbidden", "not_found", "erased", "method_not_allowed", "not_acceptable"}
    | {"invalid_code", "too_many_codes", "too_many_tries"}
)

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

# What is wrong with a field of a campaign: InvalidFields.errors.
FIELD_REASONS = {
    "required": _("This is needed."),
    "not_text": _("Send this as text."),
    "too_long": _("This is too long."),
    "malformed": _("This is not written as it should be."),
    "not_a_choice": _("Choose one of the list."),
    "bad_characters": _("There is a character here that cannot be taken."),
}

# What is wrong with a code that was typed: confirmations.codes.InvalidCode.reason.
CODE_REASONS = {
    "required": _("The code is missing."),
    "blank": _("The code is empty."),
    "not_text": _("Send the code as text."),
    "bad_characters": _("A code has digits only."),
    "too_short": _("The code is too short: it has six digits."),
    "too_long": _("The code is too long: it has six digits."),
}

STATUSES = {code: problem[0] for code, problem in _PROBLEMS.items()}
"""The HTTP status of each code."""
_CODES_BY_STATUS = {status: code for code, status in reversed(STATUSES.items())}


class Refused(exceptions.APIException):
    """A request that is answered with the problem of this code.

    reason: one of CODE_REASONS. retry_after: seconds.
    """

    def __init__(self, code: str, *, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(detail="", code=code)
        self.reason, self.retry_after = reason, retry_after


@cache
def in_language(language: str) -> Texts:
    """Return all texts in a language.

    Translated once: the express lane has no time for gettext. The server calls this before its first request.
    """
    with translation.override(language):
        texts = {code: (str(title), str(detail)) for code, (_status, title, detail) in _PROBLEMS.items()}
        phone_reasons = {reason: str(text) for reason, text in PHONE_REASONS.items()}
        field_reasons = {reason: str(text) for reason, text in FIELD_REASONS.items()}
        code_reasons = {reason: str(text) for reason, text in CODE_REASONS.items()}
        return Texts(texts, phone_reasons, field_reasons, code_reasons)


def body(
    code: str, request_id: str, accept_language: str, error: BaseException | None = None
) -> dict[str, Any]:
    """Return the problem document for a code, with what the error that it comes from tells more."""
    language = language_of(accept_language)
    texts = in_language(language)
    title, detail = texts.problems[code]
    problem = {
        "type": f"urn:breakwater:problem:{code}",
        "title": title,
        "status": STATUSES[code],
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if errors := _errors(error, texts, language):
        # A form that shows one sentence shows the first.
        problem |= {"detail": errors[0]["detail"], "errors": errors}
    if isinstance(error, TooManyRequests):
        problem["challenge"] = error.challenge._asdict()
    if isinstance(error, Shut) and error.opens:
        problem["opens_at"] = error.opens.isoformat()
    return problem


def _errors(error: BaseException | None, texts: Texts, language: str) -> list[dict[str, str]]:
    if isinstance(error, InvalidPhone):
        detail = texts.phone_reasons[error.reason]
        return [{"field": "phone_number", "code": error.reason, "detail": detail}]
    if isinstance(error, Refused) and error.reason:
        return [{"field": "code", "code": error.reason, "detail": texts.code_reasons[error.reason]}]
    if isinstance(error, InvalidFields):
        return [
            {
                "field": field.name,
                "code": code,
                "detail": f"{field.labels[language]}: {texts.field_reasons[code]}",
            }
            for field, code in error.errors
        ]
    return []


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
    problem = body(code, _request_id(request), request.headers.get("Accept-Language", ""), error)
    as_json = isinstance(getattr(request, "accepted_renderer", JSONRenderer()), JSONRenderer)
    return Response(
        problem,
        status=problem["status"],
        headers=retry_headers(error),
        content_type=CONTENT_TYPE if as_json else None,
    )


_CODES = {
    InvalidPhone: "invalid_phone",
    InvalidFields: "invalid_fields",
    ConsentRequired: "consent_required",
    TooManyRequests: "rate_limited",
    Unavailable: "unavailable",
    exceptions.ParseError: "malformed_json",
}


def code_of(error: BaseException) -> str | None:
    """Return the code of an exception's problem, or None for a fault of ours."""
    if isinstance(error, Shut):
        return error.code
    if code := _CODES.get(type(error)):
        return code
    if isinstance(error, exceptions.APIException):
        codes = error.get_codes()
        return codes if codes in _PROBLEMS else _CODES_BY_STATUS.get(error.status_code)
    return None


def retry_headers(error: BaseException) -> dict[str, str]:
    """Return Retry-After in whole seconds, if it helps to wait."""
    if (seconds := getattr(error, "retry_after", None)) is None:
        return {}
    return {"Retry-After": str(max(1, ceil(seconds)))}


def _request_id(request: HttpRequest | Request) -> str:
    return str(request.META.get("breakwater.request_id", ""))
