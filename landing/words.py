"""Messages with values in them. The messages themselves are in locale/ (gettext)."""

from django.utils.translation import get_language

from lib.calendars import in_persian_digits


def fill(message: str, **values: object) -> str:
    """Return a translated message with its {names} filled in, in Persian with Persian digits."""
    if get_language() != "fa":
        return message.format(**values)
    return message.format(**{name: in_persian_digits(str(value)) for name, value in values.items()})
