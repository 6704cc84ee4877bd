"""The landing application."""

from django.apps import AppConfig

from landing.words import word


class LandingConfig(AppConfig):
    """A registration, from POST to row."""

    name = "landing"
    verbose_name = word("Registrations")
