"""The landing application."""

from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from landing.page import branding


class LandingConfig(AppConfig):
    """A registration, from POST to row."""

    name = "landing"
    verbose_name = _("Registrations")

    def ready(self) -> None:
        """Have the landing page's settings checked with the others, and brought to PostgreSQL by `migrate`."""
        checks.register(branding.check)
        # After the default campaign's row: the apps are called in the order of INSTALLED_APPS.
        post_migrate.connect(_publish, sender=self)


def _publish(using: str, **_: Any) -> None:
    # Imported now: it needs the models, which are not there before ready().
    import_module("landing.page.publication").publish(using)
