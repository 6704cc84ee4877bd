"""Brings what the files of the campaigns say to PostgreSQL, for those who have no files: workers, exports, evidence."""

from django.db import connections

from campaigns.models import CampaignRow, ConsentText
from landing.page import branding
from landing.storing import places


def publish(using: str) -> None:
    """Note each campaign with its fields, its places, and each consent text that is shown now. Texts of before stay.

    Runs after each `migrate`. Files that cannot be used are left out: `manage.py check` names them.
    """
    if not _is_migrated(using):
        return  # a migration back to an older version
    for campaign in branding.campaigns().values():
        said = {
            "field_names": [field.name for field in campaign.fields],
            "closes": campaign.closes,
            "announces": campaign.announces,
            "longest_line": campaign.longest_line,
            "confirms": campaign.confirms,
            "keep_until": campaign.keep_until,
        }
        CampaignRow.objects.using(using).update_or_create(slug=campaign.slug, defaults=said)
        if campaign.gives_places:
            places.begin(campaign.slug)
        if not campaign.consent:
            continue
        for language, consent in campaign.consents.items():
            told = {"slug": campaign.slug, "language": language, "text": consent.text}
            ConsentText.objects.using(using).get_or_create(version=consent.version, defaults=told)


def _is_migrated(using: str) -> bool:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) = 2 FROM information_schema.columns WHERE (table_name, column_name) IN "
            "(('campaigns_campaign', 'keep_until'), ('landing_registration', 'confirmed_at'))"
        )
        return bool(cursor.fetchone()[0])
