"""The confirmations application."""

from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConfirmationsConfig(AppConfig):
    """One-time codes, from the question for one to the verdict."""

    name = "confirmations"
    verbose_name = _("Codes")

    def ready(self) -> None:
        """Have the answers about a registration tell of its confirmation too."""
        import_module("confirmations.answers").join()
