"""The landing application."""

from django.apps import AppConfig
from django.core import checks

from landing.page import branding
from landing.words import word


class LandingConfig(AppConfig):
    """A registration, from POST to row."""

    name = "landing"
    verbose_name = word("Registrations")

    def ready(self) -> None:
        """Have the landing page's settings checked with the others."""
        checks.register(branding.check)
