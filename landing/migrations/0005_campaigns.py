import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("campaigns", "0001_campaigns"),
        ("landing", "0004_refused_logs"),
    ]

    operations = [
        # Both are done at once, however many rows there are: no row is written anew.
        migrations.AddField(
            model_name="registration",
            name="campaign",
            field=models.ForeignKey(
                db_constraint=False,
                db_default=1,
                db_index=False,
                default=1,
                on_delete=django.db.models.deletion.DO_NOTHING,
                to="campaigns.campaignrow",
                verbose_name="campaign",
            ),
        ),
        migrations.AddField(
            model_name="storedsubmission",
            name="details",
            field=models.JSONField(null=True, verbose_name="details"),
        ),
    ]
