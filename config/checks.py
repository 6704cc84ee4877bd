"""Settings that are wrong together, said with a hint. `manage.py check` shows them."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, register

SHORTEST_SECRET = 32


@register
def check_secret_key(**_: Any) -> list[CheckMessage]:
    """The key seals request ids, so a short one lets strangers make genuine-looking ids."""
    if len(settings.SECRET_KEY) >= SHORTEST_SECRET:
        return []
    hint = 'python3 -c "import secrets; print(secrets.token_urlsafe(50))"'
    return [checks.Error("SECRET_KEY is shorter than 32 characters.", hint=hint, id="breakwater.E001")]


@register
def check_open_doors(**_: Any) -> list[CheckMessage]:
    """Warn about wildcard hosts and CORS origins in production."""
    found: list[CheckMessage] = []
    if settings.DEBUG:
        return found
    if "*" in settings.ALLOWED_HOSTS:
        hint = "Name the hosts that visitors use."
        found.append(checks.Warning("ALLOWED_HOSTS lets every Host pass.", hint=hint, id="breakwater.W001"))
    if "*" in settings.CORS_ALLOWED_ORIGINS:
        hint = "Name the origins of your pages, such as https://example.com."
        found.append(checks.Error("CORS_ALLOWED_ORIGINS cannot be *.", hint=hint, id="breakwater.E002"))
    return found


@register
def check_messages(**_: Any) -> list[CheckMessage]:
    """Without the compiled catalogue all people are answered in English, and nothing else says so."""
    if (settings.LOCALE_PATHS[0] / "fa/LC_MESSAGES/django.mo").exists():
        return []
    return [
        checks.Error(
            "The Persian messages are not compiled.", hint="python locale/compile.py", id="breakwater.E004"
        )
    ]
