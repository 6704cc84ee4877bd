"""The landing application."""

from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _

from landing.page import branding


class LandingConfig(AppConfig):
    """A registration, from POST to row."""

    name = "landing"
    verbose_name = _("Registrations")

    def ready(self) -> None:
        """Have the landing page's settings checked with the others."""
        checks.register(branding.check)
