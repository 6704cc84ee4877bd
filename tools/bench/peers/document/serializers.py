"""The payload."""

from typing import Any

from rest_framework import serializers


class RegistrationSerializer(serializers.Serializer[Any]):
    """One phone number."""

    phone_number = serializers.RegexField(r"^0[0-9]{10}\Z")
