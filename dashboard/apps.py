"""What operators see and run."""

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin import apps as admin_apps
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class DashboardConfig(AppConfig):
    """Exports and dead letters in the admin, and the operators' commands."""

    name = "dashboard"
    verbose_name = _("Operations")


class StaffAdminConfig(admin_apps.AdminConfig):
    """Django's admin behind the staff's door."""

    default = False  # this module's own is DashboardConfig
    default_site = "dashboard.desk.login.StaffSite"

    def ready(self) -> None:
        """Find the admin modules of both our applications, which are in their desk/."""
        super().ready()
        modules = ("desk.admin", "desk.codes_admin", "desk.webhooks_admin", "desk.erasures_admin")
        autodiscover_modules(*modules, register_to=admin.site)
