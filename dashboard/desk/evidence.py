"""Who agreed to what: the text that a person was shown, when, from which address, sealed against changes."""

from collections.abc import Iterator
from typing import Any

import orjson
from django.utils.crypto import constant_time_compare, salted_hmac

from campaigns.models import ConsentText
from landing.models import StoredSubmission
from landing.storing import outbox
from lib.clock import now

_SALT = "breakwater.evidence"


def of(phone_number: str, campaign: str = "") -> dict[str, Any]:
    """Return the evidence of a phone number's consents, in all campaigns or in one, as JSON can carry it.

    A text that this installation has never published is null: what named it was no page of ours.
    Raises django.db.Error or StoreUnavailable.
    """
    found = StoredSubmission.objects.filter(
        registration__phone_number=phone_number, details__has_key="consent"
    )
    if campaign:
        found = found.filter(registration__campaign__slug=campaign)
    submissions = list(found.select_related("registration__campaign").order_by("accepted_at", "pk"))
    return {
        "phone_number": phone_number,
        "printed_at": now().isoformat(),
        "consents": list(_consents(submissions)),
    }


def _consents(submissions: list[StoredSubmission]) -> Iterator[dict[str, Any]]:
    versions = {one.pk: str((one.details or {})["consent"]) for one in submissions}
    texts = ConsentText.objects.in_bulk(set(versions.values()))
    documents = outbox.find_many([str(one.pk) for one in submissions])
    for one in submissions:
        text, document = texts.get(versions[one.pk]), documents.get(str(one.pk), {})
        yield {
            "request_id": str(one.pk),
            "campaign": str(one.registration.campaign),
            "accepted_at": one.accepted_at.isoformat(),
            "version": versions[one.pk],
            "language": text and text.language,
            "text": text and text.text,
            "published_at": text and text.published_at.isoformat(),
            "ip_address": document.get("ip_address"),
            "user_agent": document.get("user_agent"),
        }


def seal(evidence: dict[str, Any]) -> str:
    """Return the HMAC-SHA-256 of evidence, by a key that is made of SECRET_KEY."""
    text = orjson.dumps(evidence, option=orjson.OPT_SORT_KEYS)
    return salted_hmac(_SALT, text, algorithm="sha256").hexdigest()


def is_genuine(evidence: dict[str, Any], given: str) -> bool:
    """Return whether this installation has sealed exactly this."""
    return constant_time_compare(seal(evidence), given)
