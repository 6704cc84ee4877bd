"""What the OpenAPI document says of codes."""

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema

from confirmations.serializers import AskedSerializer, CodeSerializer, TypedSerializer
from landing.door import receipts
from landing.door.openapi import LANGUAGE, REQUEST_ID, answered, errors

_RETRY_AFTER = answered("Retry-After", {"type": "integer", "minimum": 1}, "Seconds to wait.", [429, 503])
_COMMON = ("bad_request", "not_found", "not_acceptable", "internal", "unavailable")
_KEPT = {"task_id": REQUEST_ID, "status": "Registered", "status_url": receipts.status_url(REQUEST_ID)}

ask = extend_schema(
    operation_id="ask_for_code",
    request=None,
    description="Ask for a one-time code by SMS, or say that you are still here. 202 means that the question is kept; "
    "the state of the registration tells the rest. To repeat it is harmless.",
    parameters=[LANGUAGE, _RETRY_AFTER],
    responses={
        202: OpenApiResponse(
            AskedSerializer,
            "Kept.",
            [OpenApiExample("in line", _KEPT | {"confirmation": {"status": "waiting"}})],
        ),
        **errors((*_COMMON, "too_many_codes")),
    },
)
"""What the document says of a question for a code."""

confirm = extend_schema(
    operation_id="confirm",
    request={"application/json": CodeSerializer, "application/x-www-form-urlencoded": CodeSerializer},
    description="Send the code that was typed. 202 means that it is kept and will be judged by when it arrived; the verdict "
    "is in the state of the registration, usually within 0.3 seconds. Send an `Idempotency-Key` of its own with each code "
    "that is typed, and the same one when you send it again.",
    parameters=[LANGUAGE, _RETRY_AFTER],
    examples=[OpenApiExample("Persian digits", {"code": "۱۲۳۴۵۶"}, request_only=True)],
    responses={
        202: OpenApiResponse(
            TypedSerializer,
            "Kept.",
            [OpenApiExample("checking", _KEPT | {"confirmation": {"status": "checking", "try": REQUEST_ID}})],
        ),
        **errors(
            (
                *_COMMON,
                *("invalid_code", "malformed_json", "invalid_body", "too_slow", "too_large"),
                *("unsupported_media_type", "too_many_tries", "invalid_idempotency_key"),
            )
        ),
    },
)
"""What the document says of a typed code."""
