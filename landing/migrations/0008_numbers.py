from django.db import migrations, models

# Registrations come meanwhile, so the index is built beside them. What an interrupted try has left goes first.
_AWAY = "DROP INDEX CONCURRENTLY IF EXISTS registration_number_in_campaign"
_BUILD = """
CREATE UNIQUE INDEX CONCURRENTLY registration_number_in_campaign ON landing_registration (campaign_id, number)
WHERE number IS NOT NULL
"""


class Migration(migrations.Migration):

    atomic = False

    dependencies = [("landing", "0007_places")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(_AWAY, migrations.RunSQL.noop),
                migrations.RunSQL(_BUILD, _AWAY),
            ],
            state_operations=[
                migrations.AddConstraint(
                    model_name="registration",
                    constraint=models.UniqueConstraint(
                        condition=models.Q(("number__isnull", False)),
                        fields=("campaign", "number"),
                        name="registration_number_in_campaign",
                    ),
                ),
            ],
        ),
    ]
