"""The courier application."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CourierConfig(AppConfig):
    """What goes out: codes by SMS, and webhooks."""

    name = "courier"
    verbose_name = _("Webhooks")
