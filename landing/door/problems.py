"""Every error answer as application/problem+json (RFC 9457), in the visitor's language.

A problem's code never changes; its words may. `urn:breakwater:problem:<code>` is its type.
"""

from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from math import ceil
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.utils.translation.trans_real import parse_accept_lang_header
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from landing.keeping.refusals import TooManyRequests, Unavailable
from lib import metrics

CONTENT_TYPE = "application/problem+json"
_LANGUAGES = ("fa", "en")

# code: (status, English title, English detail, Persian title, Persian detail)
_PROBLEMS = {
    "invalid_phone": (400, "Invalid phone number", "", "شمارهٔ تلفن نادرست است", ""),
    "malformed_json": (
        400,
        "Malformed JSON",
        'The body is not JSON. Send {"phone_number": "09123456789"} in UTF-8.',
        "JSON نادرست است",
        'متن درخواست JSON نیست. {"phone_number": "09123456789"} را با UTF-8 بفرستید.',
    ),
    "invalid_body": (
        400,
        "Invalid body",
        'The body is not an object. Send {"phone_number": "09123456789"}.',
        "متن درخواست نادرست است",
        'متن درخواست یک شیء نیست. {"phone_number": "09123456789"} را بفرستید.',
    ),
    "invalid_idempotency_key": (
        400,
        "Invalid Idempotency-Key",
        "The Idempotency-Key header is longer than 255 characters.",
        "Idempotency-Key نادرست است",
        "سرآیند Idempotency-Key از ۲۵۵ نویسه بلندتر است.",
    ),
    "bad_request": (
        400,
        "Bad request",
        "The request cannot be understood.",
        "درخواست نادرست است",
        "درخواست فهمیده نشد.",
    ),
    "forbidden": (
        403,
        "Forbidden",
        "You may not do this.",
        "اجازه ندارید",
        "اجازهٔ این کار را ندارید.",
    ),
    "not_found": (
        404,
        "Not found",
        "There is nothing at this address.",
        "پیدا نشد",
        "در این نشانی چیزی نیست.",
    ),
    "method_not_allowed": (
        405,
        "Method not allowed",
        "This address does not take this method; the Allow header names those it takes.",
        "این روش پذیرفته نیست",
        "این نشانی این روش را نمی‌پذیرد؛ سرآیند Allow روش‌های پذیرفته را می‌گوید.",
    ),
    "not_acceptable": (
        406,
        "Not acceptable",
        "The answer can be application/json or text/html.",
        "پذیرفتنی نیست",
        "پاسخ می‌تواند application/json یا text/html باشد.",
    ),
    "too_slow": (
        408,
        "Too slow",
        "The body did not arrive in time.",
        "درخواست دیر رسید",
        "متن درخواست به موقع نرسید.",
    ),
    "too_large": (
        413,
        "Body too large",
        "The body is larger than 16 KB.",
        "متن درخواست بزرگ است",
        "متن درخواست از ۱۶ کیلوبایت بزرگ‌تر است.",
    ),
    "unsupported_media_type": (
        415,
        "Unsupported media type",
        "Send application/json or application/x-www-form-urlencoded, not compressed.",
        "نوع متن پشتیبانی نمی‌شود",
        "متن را به صورت application/json یا application/x-www-form-urlencoded و بدون فشرده‌سازی بفرستید.",
    ),
    "rate_limited": (
        429,
        "Too many requests",
        "Too many registrations from your address. Try again after the time that Retry-After gives.",
        "درخواست‌ها زیاد است",
        "از نشانی شما درخواست‌های زیادی رسیده است. کمی بعد دوباره بفرستید.",
    ),
    "internal": (
        500,
        "Internal error",
        "Something went wrong on our side. Nothing was promised; try again.",
        "خطای درونی",
        "خطایی از سوی ما رخ داد. دوباره بفرستید.",
    ),
    "unavailable": (
        503,
        "Try again soon",
        "The registration could not be accepted just now. Send it again with the same Idempotency-Key.",
        "کمی بعد دوباره بفرستید",
        "اکنون پذیرش ممکن نشد. درخواست را با همان Idempotency-Key دوباره بفرستید.",
    ),
}

# What refuses no registration: it is not counted among the refusals.
_OF_OTHER_REQUESTS = frozenset({"forbidden", "not_found", "method_not_allowed", "not_acceptable"})

# What is wrong with a phone number: InvalidPhone.reason, and "required" when there is none.
PHONE_REASONS = {
    "required": ("The phone number is missing.", "شمارهٔ تلفن وارد نشده است."),
    "blank": ("The phone number is empty.", "شمارهٔ تلفن خالی است."),
    "not_text": ("Send the phone number as text.", "شمارهٔ تلفن باید متن باشد."),
    "bad_characters": (
        "A phone number has digits only.",
        "شمارهٔ تلفن فقط رقم دارد.",
    ),
    "wrong_country": (
        "Only Iranian numbers (+98) can register.",
        "فقط شماره‌های ایران (۹۸+) پذیرفته می‌شوند.",
    ),
    "wrong_start": ("A phone number starts with 0.", "شمارهٔ تلفن با صفر آغاز می‌شود."),
    "too_short": (
        "The phone number is too short: 0 and ten digits.",
        "شمارهٔ تلفن کوتاه است: صفر و ده رقم دیگر.",
    ),
    "too_long": (
        "The phone number is too long: 0 and ten digits.",
        "شمارهٔ تلفن بلند است: صفر و ده رقم دیگر.",
    ),
}

_CODES_BY_STATUS = {status: code for code, (status, *_) in reversed(_PROBLEMS.items())}


class BodyTooLarge(exceptions.APIException):
    """The body is larger than settings.MAX_BODY."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class InvalidRequest(exceptions.APIException):
    """A request that is refused with 400 and this code."""

    status_code = HTTPStatus.BAD_REQUEST

    def __init__(self, code: str) -> None:
        super().__init__(detail="", code=code)


class PhoneRefused(exceptions.APIException):
    """A phone number that is refused with 400 and this reason (see lib.phones.InvalidPhone)."""

    status_code = HTTPStatus.BAD_REQUEST

    def __init__(self, reason: str) -> None:
        super().__init__(detail="", code="invalid_phone")
        self.reason = reason


def statuses() -> dict[str, int]:
    """Return the HTTP status of each code."""
    return {code: status for code, (status, *_) in _PROBLEMS.items()}


def body(code: str, request_id: str, accept_language: str, reason: str = "") -> dict[str, Any]:
    """Return the problem document for a code; `reason` is a phone number's."""
    status, title, detail, fa_title, fa_detail = _PROBLEMS[code]
    persian = language_of(accept_language) == "fa"
    problem = {
        "type": f"urn:breakwater:problem:{code}",
        "title": fa_title if persian else title,
        "status": status,
        "detail": fa_detail if persian else detail,
        "code": code,
        "request_id": request_id,
    }
    if reason:
        problem["detail"] = explain_phone(reason, accept_language)
        problem["errors"] = [{"field": "phone_number", "code": reason, "detail": problem["detail"]}]
    return problem


def explain_phone(reason: str, accept_language: str) -> str:
    """Return what is wrong with a phone number, in the visitor's language."""
    english, persian = PHONE_REASONS[reason]
    return persian if language_of(accept_language) == "fa" else english


def count_refusal(code: str) -> None:
    """Count a registration that is refused. What refuses another request is not counted."""
    if code not in _OF_OTHER_REQUESTS:
        metrics.count(f"refused:{code}")


@lru_cache(maxsize=1024)
def language_of(accept_language: str) -> str:
    """Return "fa" or "en": the first that Accept-Language names, else DEFAULT_LANGUAGE."""
    for name, _ in parse_accept_lang_header(accept_language[:200].lower()):
        language = name.partition("-")[0]
        if language in _LANGUAGES:
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
    """Answer an exception of a DRF view: DRF's EXCEPTION_HANDLER. None leaves it to Django's 500."""
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
    """Return the code of the problem that an exception stands for, if it stands for one."""
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
    """Return Retry-After in whole seconds, for errors that pass by themselves."""
    if isinstance(error, (TooManyRequests, Unavailable)):
        return {"Retry-After": str(max(1, ceil(error.retry_after)))}
    return {}


def _request_id(request: HttpRequest | Request) -> str:
    return str(request.META.get("breakwater.request_id", ""))
