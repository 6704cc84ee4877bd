"""The campaigns application."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from campaigns.definition import DEFAULT, DEFAULT_ID

# Its id is a constant, so that nobody asks for it. The sequence must not give it to another one.
_MAKE = "INSERT INTO campaigns_campaign (id, slug) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_SKIP = """
SELECT setval(pg_get_serial_sequence('campaigns_campaign', 'id'), (SELECT max(id) FROM campaigns_campaign));
"""


class CampaignsConfig(AppConfig):
    """What a campaign is: its fields, its times, its consent texts."""

    name = "campaigns"
    verbose_name = _("Campaigns")

    def ready(self) -> None:
        """Have the default campaign's row made with the tables."""
        post_migrate.connect(_make_default, sender=self)


def _make_default(using: str, **_: Any) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regclass('campaigns_campaign')")
        if cursor.fetchone()[0]:  # not after a migration back to zero
            cursor.execute(_MAKE, [DEFAULT_ID, DEFAULT])
            cursor.execute(_SKIP)
