"""What a submission holds beside the phone number, read off the queue: anybody may have written it."""

from typing import Any

from campaigns import sources
from campaigns.definition import NAME, VERSION
from campaigns.fields import LONGEST_EMAIL, MOST_FIELDS, is_printable


def read(raw: object) -> dict[str, Any]:
    """Return details as jsonb takes them. Raises ValueError for what no door of ours has written."""
    if not isinstance(raw, dict):
        raise ValueError("no object")  # noqa: TRY004  bad data, not a bad call
    fields = {name: value for name, value in raw.items() if name not in ("consent", "source")}
    if len(fields) > MOST_FIELDS or not all(map(_is_sound, fields, fields.values())):
        raise ValueError("fields")
    consent = raw.get("consent", "")
    if consent != "" and not (isinstance(consent, str) and VERSION.fullmatch(consent)):
        raise ValueError("consent")
    source = sources.read(raw.get("source"))
    return fields | ({"consent": consent} if consent else {}) | ({"source": source} if source else {})


def _is_sound(name: str, value: object) -> bool:
    is_text = isinstance(value, str) and len(value) <= LONGEST_EMAIL and is_printable(value)
    return bool(NAME.fullmatch(name)) and is_text
