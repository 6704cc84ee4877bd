"""The landing application."""

from django.apps import AppConfig


class LandingConfig(AppConfig):
    """A registration, from POST to row."""

    name = "landing"
    verbose_name = "Registrations"
