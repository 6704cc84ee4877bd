from django.db import migrations, models

# Registrations come meanwhile, so the index is built beside them. What an interrupted try has left goes first. A worker
# of the version before cannot store from here on: it waits with its messages, and the new one takes them.
_AWAY = "DROP INDEX CONCURRENTLY IF EXISTS registration_phone_in_campaign"
_BUILD = """
CREATE UNIQUE INDEX CONCURRENTLY registration_phone_in_campaign ON landing_registration (phone_number, campaign_id)
"""
_SWAP = """
ALTER TABLE landing_registration
    DROP CONSTRAINT landing_registration_phone_number_key,
    ADD CONSTRAINT registration_phone_in_campaign UNIQUE USING INDEX registration_phone_in_campaign
"""
# It fails if a phone is in two campaigns: the version before has no place for that.
_SWAP_BACK = """
ALTER TABLE landing_registration
    DROP CONSTRAINT registration_phone_in_campaign,
    ADD CONSTRAINT landing_registration_phone_number_key UNIQUE (phone_number)
"""


_AWAY_TOO = "DROP INDEX CONCURRENTLY IF EXISTS registration_campaign"
_BUILD_TOO = """
CREATE INDEX CONCURRENTLY registration_campaign ON landing_registration (campaign_id, id) WHERE campaign_id > 1
"""


class Migration(migrations.Migration):

    atomic = False

    dependencies = [("landing", "0005_campaigns")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(_AWAY, migrations.RunSQL.noop),
                migrations.RunSQL(_BUILD, migrations.RunSQL.noop),
                migrations.RunSQL(_AWAY_TOO, migrations.RunSQL.noop),
                migrations.RunSQL(_BUILD_TOO, _AWAY_TOO),
                # The last one: all before it may be done again.
                migrations.RunSQL(_SWAP, _SWAP_BACK),
            ],
            state_operations=[
                migrations.RemoveConstraint(
                    model_name="registration", name="landing_registration_phone_number_key"
                ),
                migrations.AddIndex(
                    model_name="registration",
                    index=models.Index(
                        condition=models.Q(("campaign__gt", 1)),
                        fields=["campaign", "id"],
                        name="registration_campaign",
                    ),
                ),
                migrations.AddConstraint(
                    model_name="registration",
                    constraint=models.UniqueConstraint(
                        fields=("phone_number", "campaign"), name="registration_phone_in_campaign"
                    ),
                ),
            ],
        ),
    ]
