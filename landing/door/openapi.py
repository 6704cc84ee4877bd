"""What the OpenAPI document says beyond types: examples, errors and when they come, code to copy.

The examples of errors are made by landing/door/problems.py, which answers with them.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from campaigns.definition import Shut
from campaigns.fields import Field, InvalidFields
from landing.door import problems, receipts
from landing.door.serializers import (
    CHALLENGE,
    CampaignRegistrationSerializer,
    ProblemSerializer,
    ReceiptSerializer,
    RegistrationSerializer,
    StatusSerializer,
)
from landing.keeping.refusals import TooManyRequests
from lib.phones import InvalidPhone

View = TypeVar("View", bound=Callable[..., Any])

REQUEST_ID = "0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"

# When each problem comes.
WHEN = {
    "invalid_phone": "`phone_number` is missing, or no phone number of Iran; `errors` gives the reason.",
    "malformed_json": "The body is not JSON in UTF-8.",
    "invalid_body": "The body is JSON, but not an object.",
    "invalid_idempotency_key": "`Idempotency-Key` is longer than 255 characters.",
    "invalid_fields": "A campaign does not take what was sent for its fields; `errors` names each field and the reason.",
    "consent_required": "The campaign asks for `consent`, and it is not `true`.",
    "invalid_code": "`code` is missing, or not six digits; `errors` gives the reason. No try is spent.",
    "bad_request": "The request is not for this site: its `Host` is not among ALLOWED_HOSTS.",
    "forbidden": "A page's form was sent without its secret. Never from the API.",
    "not_open_yet": "The campaign has not begun. `opens_at` and `Retry-After` say when.",
    "campaign_closed": "The campaign is over.",
    "campaign_full": "All places of the campaign are taken, and nobody more may wait for one.",
    "not_found": "There is nothing at this address, or this id was never given out.",
    "method_not_allowed": "The address does not take this method; `Allow` names those it takes.",
    "not_acceptable": "`Accept` asks for something else than JSON or HTML.",
    "too_slow": "The body took longer than 10 seconds. The connection is closed.",
    "erased": "The registration was erased, as its sender has asked.",
    "too_large": "The body is larger than 16 KB.",
    "unsupported_media_type": "The body is neither JSON nor a form, or it is compressed.",
    "rate_limited": "The address has used up its share. `Retry-After` says when there is room for one more. With a proof of "
    "work, the answer to `challenge`, it need not wait.",
    "too_many_codes": "The address has asked for too many codes. `Retry-After` says when it may ask again.",
    "too_many_tries": "Too many codes were typed for this registration. `Retry-After` says when to go on.",
    "internal": "A fault of ours. Nothing was promised.",
    "unavailable": "Neither queue nor spool could keep it in time. `Retry-After` says when to try again.",
}

_REGISTER_ERRORS = (
    "invalid_phone",
    "malformed_json",
    "invalid_body",
    "invalid_idempotency_key",
    "invalid_fields",
    "consent_required",
    "not_open_yet",
    "campaign_closed",
    "campaign_full",
    "bad_request",
    "not_found",
    "not_acceptable",
    "too_slow",
    "too_large",
    "unsupported_media_type",
    "rate_limited",
    "internal",
    "unavailable",
)
_PASSING = (
    *(
        "not_open_yet",
        "too_slow",
        "rate_limited",
        "too_many_codes",
        "too_many_tries",
        "internal",
        "unavailable",
    ),
)
_STATUS_ERRORS = ("bad_request", "not_found", "erased", "not_acceptable", "internal")

_SNIPPETS = Path(__file__).parent / "snippets"
_SNIPPET_TITLES = {"register.sh": "curl", "register.js": "JavaScript", "register.py": "Python"}

LANGUAGE = OpenApiParameter(
    "Accept-Language", str, OpenApiParameter.HEADER, description="`fa` or `en`: the language of errors."
)
_STATES = {
    "Processing": "Kept, and on its way.",
    "Registered": "In the database.",
    "Failed": "Put aside for an operator: the data cannot be stored.",
}
_WAITS = {
    "task_id": REQUEST_ID,
    "status": "Registered",
    "place": {"state": "waiting", "number": 1060, "position": 47},
}
_STATUS_LINK = {
    "operationId": "status",
    "parameters": {"task_id": "$response.body#/task_id"},
    "description": "Ask with the id of the answer.",
}


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add what no view can say: one of drf-spectacular's POSTPROCESSING_HOOKS."""
    result["info"]["description"] = _description()
    for path, status in (("/api/register/", "202"), ("/api/register/{task_id}/", "200")):
        for operation in result["paths"][path].values():
            operation["responses"][status]["links"] = {"status": _STATUS_LINK}
    return result


def _description() -> str:
    rows = "\n".join(
        f"| {status} | `{code}` | {WHEN[code]} | {'yes' if code in _PASSING else 'no'} |"
        for code, status in problems.STATUSES.items()
    )
    return f"""Takes registrations at once, keeps every one it has accepted, and tells what became of it.

**A 202 means kept**: it will be stored whatever happens. Anything else means that nothing was promised.

**Errors** are `application/problem+json` (RFC 9457), in Persian or English as `Accept-Language` asks.
Decide by `code`, which never changes; words may. `request_id` is also in the header `X-Request-ID` of every answer.

| Status | `code` | When it comes | The same request may pass later |
| --- | --- | --- | --- |
{rows}

**Repeats.** Send an `Idempotency-Key` with each registration, and the same one when you send it again.

**Limits.** RATE_LIMIT (10 a minute unless changed) for one IPv4 address or IPv6 /64. 429 and 503 carry `Retry-After`: wait that
many seconds. There are no other rate-limit headers: behind a shared address, what is left is not yours alone.
"""


def answered(name: str, schema: Any, meaning: str, statuses: list[int]) -> OpenApiParameter:
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, description=meaning, response=statuses)


def errors(codes: tuple[str, ...]) -> dict[Any, OpenApiResponse]:
    found = {}
    for status in sorted({problems.STATUSES[code] for code in codes}):
        its = [code for code in codes if problems.STATUSES[code] == status]
        found[status, problems.CONTENT_TYPE] = OpenApiResponse(
            ProblemSerializer,
            "\n\n".join(f"`{code}`: {WHEN[code]}" for code in its),
            [example for code in its for example in _examples(code)],
        )
    return found


_CITY = Field("city", "choice", is_required=True, longest=60, choices=(), labels={"fa": "شهر", "en": "City"})
_ERRORS: dict[str, Exception] = {
    "rate_limited": TooManyRequests(7, CHALLENGE),
    "invalid_fields": InvalidFields([(_CITY, "required")]),
    "invalid_code": problems.Refused("invalid_code", reason="too_short"),
    "not_open_yet": Shut("not_open_yet", datetime(2026, 12, 11, 6, 30, tzinfo=UTC)),
}


def _examples(code: str) -> Iterator[OpenApiExample]:
    if code != "invalid_phone":
        yield OpenApiExample(code, problems.body(code, REQUEST_ID, "en", _ERRORS.get(code)))
        return
    for reason in problems.PHONE_REASONS:
        yield OpenApiExample(f"{code}: {reason}", problems.body(code, REQUEST_ID, "en", InvalidPhone(reason)))
    yield OpenApiExample(
        f"{code}, in Persian", problems.body(code, REQUEST_ID, "fa", InvalidPhone("too_short"))
    )


_CODE = "\n".join(
    f"{title}:\n\n```{name.rpartition('.')[2]}\n{(_SNIPPETS / name).read_text('utf-8')}```\n"
    for name, title in _SNIPPET_TITLES.items()
)


def _registering(
    operation_id: str, sent: Any, more: str, examples: list[OpenApiExample], codes: tuple[str, ...]
) -> Callable[[View], View]:
    """Return what the document says of an address that registers: which body it takes, and what it answers."""
    return extend_schema(
        operation_id=operation_id,
        request={"application/json": sent, "application/x-www-form-urlencoded": sent},
        description=f"{more}\n\n{_TAKEN}",
        parameters=_REGISTER_PARAMETERS,
        examples=examples,
        responses={
            202: OpenApiResponse(
                ReceiptSerializer, "Kept.", [OpenApiExample("accepted", receipts.receipt(REQUEST_ID))]
            ),
            **errors(codes),
        },
    )


_TAKEN = f"""Accept a registration. 202 means that it is kept, and will be stored whatever happens.

`phone_number` may be spelled as people do: ASCII, Persian, Arabic-Indic or full-width digits, with spaces, hyphens, dots, slashes,
brackets and the like between them, from `0`, `+98`, `0098`, `98` (each also with the national `0`) or a bare `9`, with or
without `tel:`. All spellings of a number are one registration.

{_CODE}"""
_REGISTER_PARAMETERS = [
    OpenApiParameter(
        "Idempotency-Key",
        {"type": "string", "maxLength": receipts.LONGEST_KEY},
        OpenApiParameter.HEADER,
        description="Any text of up to 255 characters, best a UUID version 7. The same key and phone number give the same receipt "
        "and are stored once, however often they are sent.",
        examples=[OpenApiExample("a UUID for each form", REQUEST_ID)],
    ),
    LANGUAGE,
    answered("X-Request-ID", {"type": "string", "format": "uuid"}, "The same as `request_id`.", [202]),
    answered("Location", str, "Where to ask what became of it.", [202]),
    answered("Retry-After", {"type": "integer", "minimum": 1}, "Seconds to wait.", [403, 429, 503]),
]
register = _registering(
    "register",
    RegistrationSerializer,
    "Register for the default campaign.",
    [
        OpenApiExample("as it is", {"phone_number": "09123456789"}, request_only=True),
        OpenApiExample("Persian digits", {"phone_number": "۰۹۱۲ ۳۴۵ ۶۷۸۹"}, request_only=True),
        OpenApiExample("international", {"phone_number": "+98 912-345-6789"}, request_only=True),
    ],
    tuple(code for code in _REGISTER_ERRORS if code != "not_found"),
)
"""What the document says of a registration."""

register_in = _registering(
    "register_in_campaign",
    CampaignRegistrationSerializer,
    "Register for a campaign (docs/campaigns.md). Its fields stand beside `phone_number`, by their names. "
    "A phone number is one registration in each campaign.",
    [
        OpenApiExample(
            "with a field, consent and source",
            {
                "phone_number": "09123456789",
                "city": "tehran",
                "consent": True,
                "source": {"utm_source": "sms"},
            },
            request_only=True,
        )
    ],
    _REGISTER_ERRORS,
)
"""What the document says of a registration for a campaign."""

status = extend_schema(
    operation_id="status",
    parameters=[
        LANGUAGE,
        answered(
            "Retry-After",
            {"type": "integer", "minimum": 1, "maximum": 60},
            "With `Processing`: seconds to wait before asking again. It grows while registrations wait.",
            [200],
        ),
    ],
    responses={
        200: OpenApiResponse(
            StatusSerializer,
            "What became of it.",
            [
                OpenApiExample(state, {"task_id": REQUEST_ID, "status": state}, description=meaning)
                for state, meaning in _STATES.items()
            ]
            + [
                OpenApiExample(
                    "with a place", _WAITS, description="Number 1060 of its campaign, and 47th in line."
                )
            ],
        ),
        **errors(_STATUS_ERRORS),
    },
)
"""What the document says of a question about a registration."""
