"""What the OpenAPI document says beyond types: examples, every error and when it comes, code to copy.

Examples of errors are made by landing/door/problems.py, which answers them, so they cannot differ from it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from landing.door import problems, receipts
from landing.door.serializers import ProblemSerializer, ReceiptSerializer, StatusSerializer

REQUEST_ID = "0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"

WHEN = {
    "invalid_phone": "`phone_number` is missing, or no phone number of Iran; `errors` gives the reason.",
    "malformed_json": "The body is not JSON in UTF-8.",
    "invalid_body": "The body is JSON, but not an object.",
    "invalid_idempotency_key": "`Idempotency-Key` is longer than 255 characters.",
    "bad_request": "The request is not for this site: its `Host` is not among ALLOWED_HOSTS.",
    "forbidden": "A page's form was sent without its secret. Never from the API.",
    "not_found": "There is nothing at this address, or this id was never given out.",
    "method_not_allowed": "The address does not take this method; `Allow` names those it takes.",
    "not_acceptable": "`Accept` asks for something else than JSON or HTML.",
    "too_slow": "The body took longer than 10 seconds. The connection is closed.",
    "too_large": "The body is larger than 16 KB.",
    "unsupported_media_type": "The body is neither JSON nor a form, or it is compressed.",
    "rate_limited": "The address has used up its share. `Retry-After` says when there is room for one more.",
    "internal": "A fault of ours. Nothing was promised.",
    "unavailable": "Neither queue nor spool could keep it in time. `Retry-After` says when to try again.",
}
"""When each problem comes."""

_REGISTER_ERRORS = (
    "invalid_phone",
    "malformed_json",
    "invalid_body",
    "invalid_idempotency_key",
    "bad_request",
    "not_acceptable",
    "too_slow",
    "too_large",
    "unsupported_media_type",
    "rate_limited",
    "internal",
    "unavailable",
)
_STATUS_ERRORS = ("bad_request", "not_found", "not_acceptable", "internal")

_SNIPPETS = Path(__file__).parent / "snippets"
_SNIPPET_TITLES = {"register.sh": "curl", "register.js": "JavaScript", "register.py": "Python"}

_STATUS_LINK = {
    "operationId": "status",
    "parameters": {"task_id": "$response.body#/task_id"},
    "description": "Ask with the id of the answer.",
}


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add what no view can say: drf-spectacular's POSTPROCESSING_HOOKS."""
    result["info"]["description"] = _description()
    for path, status in (("/api/register/", "202"), ("/api/register/{task_id}/", "200")):
        for operation in result["paths"][path].values():
            operation["responses"][status]["links"] = {"status": _STATUS_LINK}
    return result


def _description() -> str:
    rows = "\n".join(
        f"| {status} | `{code}` | {WHEN[code]} | {'yes' if _is_passing(code) else 'no'} |"
        for code, status in problems.statuses().items()
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


def register_description() -> str:
    """Return the text above the registration, with code to copy."""
    code = "\n".join(
        f"{title}:\n\n```{name.rpartition('.')[2]}\n{(_SNIPPETS / name).read_text('utf-8')}```\n"
        for name, title in _SNIPPET_TITLES.items()
    )
    return f"""Accept a registration. 202 means that it is kept, and will be stored whatever happens.

`phone_number` may be spelled as people do: ASCII, Persian, Arabic-Indic or full-width digits, with spaces, hyphens, dots, slashes,
brackets and the like between them, from `0`, `+98`, `0098`, `98` (each also with the national `0`) or a bare `9`, with or
without `tel:`. All spellings of a number are one registration.

{code}"""


def register_parameters() -> list[OpenApiParameter]:
    """Return the headers that a registration reads, and those of its answers."""
    return [
        OpenApiParameter(
            "Idempotency-Key",
            {"type": "string", "maxLength": receipts.LONGEST_KEY},
            OpenApiParameter.HEADER,
            description="Any text of up to 255 characters, best a UUID version 7. The same key and phone number give the same receipt "
            "and are stored once, however often they are sent.",
            examples=[OpenApiExample("a UUID for each form", "0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")],
        ),
        _language(),
        _answered("X-Request-ID", {"type": "string", "format": "uuid"}, "The same as `request_id`.", [202]),
        _answered("Location", str, "Where to ask what became of it.", [202]),
        _answered("Retry-After", {"type": "integer", "minimum": 1}, "Seconds to wait.", [429, 503]),
    ]


def status_parameters() -> list[OpenApiParameter]:
    """Return the headers that a status question reads, and those of its answers."""
    return [
        _language(),
        _answered(
            "Retry-After",
            {"type": "integer", "minimum": 1, "maximum": 60},
            "With `Processing`: seconds to wait before asking again. It grows while registrations wait.",
            [200],
        ),
    ]


def register_examples() -> list[OpenApiExample]:
    """Return request bodies."""
    spellings = {
        "as it is": "09123456789",
        "Persian digits": "۰۹۱۲ ۳۴۵ ۶۷۸۹",
        "international": "+98 912-345-6789",
    }
    return [
        OpenApiExample(name, {"phone_number": spelling}, request_only=True)
        for name, spelling in spellings.items()
    ]


def register_responses() -> dict[Any, OpenApiResponse]:
    """Return every answer to a registration."""
    accepted = OpenApiResponse(
        ReceiptSerializer,
        "Kept.",
        [OpenApiExample("accepted", receipts.receipt(REQUEST_ID))],
    )
    return {202: accepted, **_errors(_REGISTER_ERRORS)}


def status_responses() -> dict[Any, OpenApiResponse]:
    """Return every answer to a status question."""
    meanings = {
        "Processing": "Kept, and on its way.",
        "Registered": "In the database.",
        "Failed": "Put aside for an operator: the data cannot be stored.",
    }
    told = OpenApiResponse(
        StatusSerializer,
        "What became of it.",
        [
            OpenApiExample(word, {"task_id": REQUEST_ID, "status": word}, description=meaning)
            for word, meaning in meanings.items()
        ],
    )
    return {200: told, **_errors(_STATUS_ERRORS)}


def _errors(codes: tuple[str, ...]) -> dict[Any, OpenApiResponse]:
    statuses = problems.statuses()
    return {
        (status, problems.CONTENT_TYPE): OpenApiResponse(
            ProblemSerializer,
            "\n\n".join(f"`{code}`: {WHEN[code]}" for code in codes if statuses[code] == status),
            [example for code in codes if statuses[code] == status for example in _examples(code)],
        )
        for status in sorted({statuses[code] for code in codes})
    }


def _examples(code: str) -> Iterator[OpenApiExample]:
    if code != "invalid_phone":
        yield OpenApiExample(code, problems.body(code, REQUEST_ID, "en"))
        return
    for reason in problems.PHONE_REASONS:
        yield OpenApiExample(f"{code}: {reason}", problems.body(code, REQUEST_ID, "en", reason))
    yield OpenApiExample(f"{code}, in Persian", problems.body(code, REQUEST_ID, "fa", "too_short"))


def _language() -> OpenApiParameter:
    return OpenApiParameter(
        "Accept-Language",
        str,
        OpenApiParameter.HEADER,
        description="`fa` or `en`: the language of errors.",
    )


def _answered(name: str, schema: Any, meaning: str, statuses: list[int]) -> OpenApiParameter:
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, description=meaning, response=statuses)


def _is_passing(code: str) -> bool:
    return code in ("too_slow", "rate_limited", "internal", "unavailable")
