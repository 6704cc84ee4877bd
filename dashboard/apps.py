"""What operators see and run."""

from django.apps import AppConfig

from landing.words import word


class DashboardConfig(AppConfig):
    """Exports and dead letters in the admin, and the operators' commands."""

    name = "dashboard"
    verbose_name = word("Operations")
