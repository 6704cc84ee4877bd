"""What operators see and run."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps

from landing.words import word


class DashboardConfig(AppConfig):
    """Exports and dead letters in the admin, and the operators' commands."""

    name = "dashboard"
    verbose_name = word("Operations")


class StaffAdminConfig(admin_apps.AdminConfig):
    """Django's admin behind the staff's door."""

    default = False  # this module's own is DashboardConfig
    default_site = "dashboard.door.StaffSite"
