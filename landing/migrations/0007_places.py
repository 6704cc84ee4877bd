from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("campaigns", "0002_places"),
        ("landing", "0006_phone_in_campaign"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="registration",
            options={
                "permissions": [
                    ("reveal_phone", "Can see a whole phone number"),
                    ("export_registration", "Can export registrations"),
                    ("cancel_place", "Can cancel a registration's place"),
                ],
                "verbose_name": "registration",
                "verbose_name_plural": "registrations",
            },
        ),
        # Done at once, however many rows there are: no row is written anew.
        migrations.AddField(
            model_name="registration",
            name="number",
            field=models.IntegerField(blank=True, null=True, verbose_name="number"),
        ),
    ]
