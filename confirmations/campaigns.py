"""Which campaigns ask for a proof. The web asks this without a store, and before Django's tables are known."""

from django.conf import settings

from landing.page import branding


def any_confirms() -> bool:
    """Return whether any campaign here sends codes."""
    return settings.SENDS_CODES and any(one.confirms for one in branding.campaigns().values())
