"""What the API takes, and its answers as the OpenAPI schema shows them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from campaigns import line, sources
from landing.door import problems
from landing.keeping.proofs import Challenge
from lib import phones

CHALLENGE = Challenge("697c9e7810" + 15 * "c4", 16)
"""An example. Its time is over."""
CONFIRMATION = (
    *("unasked", "waiting", "sent", "checking", "confirmed"),
    *("expired", "locked", "later", "undelivered", "impossible"),
)
"""The states of a confirmation."""


@extend_schema_field(
    {"type": "string", "pattern": phones.PATTERN, "maxLength": phones.LONGEST_INPUT, "example": "09123456789"}
)
class PhoneField(serializers.CharField):
    """A phone number in any accepted spelling."""


@extend_schema_field({"example": f"{CHALLENGE.text}.48213"})
class ProofField(serializers.Field[Any, Any, Any, Any]):
    """A proof of work. Anything else is taken too, and is as none."""


class RegistrationSerializer(serializers.Serializer[Any]):
    """What a visitor sends, for the OpenAPI schema: landing/door/registering.py judges it. Other members are ignored."""

    phone_number = PhoneField(
        help_text="11 digits from 0; +98, Persian digits, spaces, hyphens, dots and brackets are fine."
    )
    proof = ProofField(
        required=False,
        help_text="With a repeat after a 429: the `text` of its `challenge`, a dot and a decimal counter, so that the SHA-256 of "
        "this text begins with `bits` zero bits. Send the same `Idempotency-Key`. A wrong proof is as none.",
    )


@extend_schema_field({"oneOf": [{"type": "boolean"}, {"type": "string", "pattern": "^[0-9a-f]{12}$"}]})
class ConsentField(serializers.Field[Any, Any, Any, Any]):
    """true, or the version of the text that was shown."""


class CampaignRegistrationSerializer(RegistrationSerializer):
    """What a visitor sends to a campaign: its own fields stand beside these."""

    consent = ConsentField(
        required=False, help_text="true, or the version of the text that the page has shown."
    )
    source = serializers.DictField(  # type: ignore[assignment]  # the name of the member
        child=serializers.CharField(),
        required=False,
        help_text=f"Where the visitor came from: {', '.join(sources.NAMES)}. Others are left out.",
    )


class ReceiptSerializer(serializers.Serializer[Any]):
    """A registration that is accepted: it will be stored whatever happens."""

    task_id = serializers.UUIDField()
    request_id = serializers.UUIDField(help_text="The same as task_id.")
    status = serializers.ChoiceField(["Processing"])
    status_url = serializers.CharField(help_text="Ask here what became of it.")


class PlaceSerializer(serializers.Serializer[Any]):
    """A registration's place in a campaign that has places."""

    state = serializers.ChoiceField(
        list(line.STATES), help_text="declined: all places were taken, and the line was full."
    )
    number = serializers.IntegerField(help_text="Of this registration in its campaign; it never changes.")
    position = serializers.IntegerField(required=False, help_text="While waiting: 1 is the next.")


class TrySerializer(serializers.Serializer[Any]):
    """The last code that was typed."""

    id = serializers.UUIDField(help_text="The `try` of the answer to it.")
    result = serializers.ChoiceField(["wrong", "late", "locked"])


class ConfirmationSerializer(serializers.Serializer[Any]):
    """How far the proof of a phone number is, in a campaign that asks for it. Times are in seconds."""

    status = serializers.ChoiceField(CONFIRMATION)
    wait = serializers.IntegerField(required=False, help_text="About how long until a code is sent.")
    before = serializers.IntegerField(required=False, help_text="About how many people are before this one.")
    called = serializers.BooleanField(
        required=False, help_text="Ask for a code again now, or the turn passes: it says that you are here."
    )
    expires_in = serializers.IntegerField(required=False)
    again_in = serializers.IntegerField(required=False, help_text="When another code can be asked for.")
    tries_left = serializers.IntegerField(required=False)
    digits = serializers.IntegerField(required=False)
    last_try = TrySerializer(required=False)
    why = serializers.ChoiceField(["limit", "budget", "gateway", "off"], required=False)


class StatusSerializer(serializers.Serializer[Any]):
    """What became of a registration."""

    task_id = serializers.UUIDField()
    status = serializers.ChoiceField(["Processing", "Registered", "Failed"])
    place = PlaceSerializer(required=False)
    confirmation = ConfirmationSerializer(required=False)


class FieldErrorSerializer(serializers.Serializer[Any]):
    """What is wrong with one field."""

    field = serializers.CharField(help_text="phone_number, code, or the name of a campaign's field.")
    code = serializers.ChoiceField(
        sorted({*problems.PHONE_REASONS, *problems.FIELD_REASONS, *problems.CODE_REASONS}),
        help_text="The reason, in a word that never changes.",
    )
    detail = serializers.CharField()


class ChallengeSerializer(serializers.Serializer[Any]):
    """A proof of work that lets the refused registration in."""

    text = serializers.RegexField(
        "^[0-9a-f]{40}$", help_text="Good for 120 seconds, and for this registration only."
    )
    bits = serializers.IntegerField(
        min_value=16, max_value=22, help_text="Zero bits that the proof's SHA-256 begins with."
    )


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
    opens_at = serializers.DateTimeField(required=False, help_text="When the campaign begins (not_open_yet).")
    challenge = ChallengeSerializer(
        required=False,
        help_text="With rate_limited: solve it and send the registration again, with `proof`, at once.",
    )
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]  # RFC 9457 extension
