"""The campaigns application."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

# Its id is a constant, so that nobody asks for it: campaigns/models.py. The sequence must not give it to another one.
_DEFAULT = """
INSERT INTO campaigns_campaign (id, slug) VALUES (1, 'default') ON CONFLICT DO NOTHING;
SELECT setval(pg_get_serial_sequence('campaigns_campaign', 'id'), (SELECT max(id) FROM campaigns_campaign));
"""


class CampaignsConfig(AppConfig):
    """What a campaign is: its fields, its times, its consent texts."""

    name = "campaigns"
    verbose_name = _("Campaigns")

    def ready(self) -> None:
        """Have the default campaign's row made with the tables."""
        post_migrate.connect(_make_default, sender=self)


def _make_default(using: str, plan: Any = None, **_: Any) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regclass('campaigns_campaign')")
        if cursor.fetchone()[0]:  # not after a migration back to zero
            cursor.execute(_DEFAULT)
