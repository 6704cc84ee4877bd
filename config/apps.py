"""Start-up of the Django side: the Celery application, so that tasks know their broker."""

from importlib import import_module

from django.apps import AppConfig


class Config(AppConfig):
    """The wiring."""

    name = "config"

    def ready(self) -> None:
        """Load the Celery application and the system checks."""
        import_module("config.celery")
        import_module("config.checks")
