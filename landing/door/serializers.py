"""What the API takes, and its answers as the OpenAPI schema shows them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from landing.door import problems
from lib import phones


@extend_schema_field(
    {"type": "string", "pattern": phones.PATTERN, "maxLength": phones.LONGEST_INPUT, "example": "09123456789"}
)
class PhoneField(serializers.CharField):
    """A phone number in any accepted spelling."""


class RegistrationSerializer(serializers.Serializer[Any]):
    """What a visitor sends, for the OpenAPI schema: landing/door/registering.py judges it. Other members are ignored."""

    phone_number = PhoneField(
        help_text="11 digits from 0; +98, Persian digits, spaces, hyphens, dots and brackets are fine."
    )


class ReceiptSerializer(serializers.Serializer[Any]):
    """A registration that is accepted: it will be stored whatever happens."""

    task_id = serializers.UUIDField()
    request_id = serializers.UUIDField(help_text="The same as task_id.")
    status = serializers.ChoiceField(["Processing"])
    status_url = serializers.CharField(help_text="Ask here what became of it.")


class StatusSerializer(serializers.Serializer[Any]):
    """What became of a registration."""

    task_id = serializers.UUIDField()
    status = serializers.ChoiceField(["Processing", "Registered", "Failed"])


class PhoneErrorSerializer(serializers.Serializer[Any]):
    """What is wrong with one field."""

    field = serializers.ChoiceField(["phone_number"])
    code = serializers.ChoiceField(
        list(problems.PHONE_REASONS), help_text="The reason, in a word that never changes."
    )
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.ChoiceField(
        list(problems.STATUSES), help_text="The kind of problem, in a word that never changes."
    )
    request_id = serializers.CharField(help_text="Name it when you ask for help.")
    errors = PhoneErrorSerializer(many=True, required=False)  # type: ignore[assignment]  # RFC 9457 extension
