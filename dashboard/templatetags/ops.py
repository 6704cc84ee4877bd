"""Words of the operator's pages, filled in."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.html import format_html

register = template.Library()


@register.simple_tag
def filled(text: str, **values: Any) -> str:
    """Return a text with its {names} filled in, each as it stands and left to right."""
    return format_html(
        text,
        **{name: format_html('<bdi dir="ltr">{}</bdi>', _shown(value)) for name, value in values.items()},
    )


@register.simple_tag
def word(words: Mapping[str, str], name: str) -> str:
    """Return the word for a name, or the name itself."""
    return words.get(name, name)


def _shown(value: Any) -> str:
    """Return a value as text; a number with a fraction is a time in seconds."""
    if not isinstance(value, float):
        return str(value)
    return f"{value * 1000:.1f} ms" if abs(value) < 1 else f"{value:.1f} s"
