"""What the two addresses of a confirmation take and answer, for the OpenAPI schema."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from confirmations import codes
from landing.door.serializers import ConfirmationSerializer


@extend_schema_field(
    {"type": "string", "pattern": codes.PATTERN, "maxLength": codes.LONGEST_INPUT, "example": "123456"}
)
class CodeField(serializers.CharField):
    """A code in any accepted spelling."""


class CodeSerializer(serializers.Serializer[Any]):
    """A typed code. confirmations/codes.py judges it. Other members are ignored."""

    code = CodeField(help_text="Six digits, Persian ones too; spaces and hyphens between them are fine.")


class CheckingSerializer(serializers.Serializer[Any]):
    """A code is on its way to its verdict."""

    status = serializers.ChoiceField(["checking"])

    def get_fields(self) -> dict[str, Any]:
        """Add the member whose name Python keeps to itself."""
        return super().get_fields() | {
            "try": serializers.UUIDField(help_text="Compare with `last_try` of the state.")
        }


class AskedSerializer(serializers.Serializer[Any]):
    """The question for a code is kept."""

    task_id = serializers.UUIDField()
    status = serializers.ChoiceField(["Processing", "Registered", "Failed"])
    status_url = serializers.CharField(help_text="Ask here what became of it.")
    confirmation = ConfirmationSerializer()


class TypedSerializer(AskedSerializer):
    """The typed code is kept, and will be judged by when it arrived."""

    confirmation = CheckingSerializer()  # type: ignore[assignment]
