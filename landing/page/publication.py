"""Brings what the files of the campaigns say to PostgreSQL, for those who have no files: workers, exports, evidence."""

from django.db import connections

from campaigns.models import CampaignRow, ConsentText
from landing.page import branding


def publish(using: str) -> None:
    """Note each campaign with its fields, and each consent text that is shown now. Texts of before stay.

    Runs after each `migrate`. Files that cannot be used are left out: `manage.py check` names them.
    """
    if "campaigns_consent_text" not in connections[using].introspection.table_names():
        return  # a migration back to before there were campaigns
    for campaign in branding.campaigns().values():
        CampaignRow.objects.using(using).update_or_create(
            slug=campaign.slug, defaults={"field_names": [field.name for field in campaign.fields]}
        )
        if not campaign.consent:
            continue
        for language, consent in campaign.consents.items():
            told = {"slug": campaign.slug, "language": language, "text": consent.text}
            ConsentText.objects.using(using).get_or_create(version=consent.version, defaults=told)
