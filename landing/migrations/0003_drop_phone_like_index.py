from django.db import migrations, models

# unique=True made the constraint under this name, and an index for LIKE beside it. The constraint stays
# as it is, so that no index is built while registrations come; only the other index goes.
_DROP = "DROP INDEX IF EXISTS landing_registration_phone_number_5b5ec886_like"
_MAKE = """
CREATE INDEX landing_registration_phone_number_5b5ec886_like
ON landing_registration (phone_number varchar_pattern_ops)
"""


class Migration(migrations.Migration):

    dependencies = [
        ('landing', '0002_words_permissions_indexes'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(_DROP, _MAKE)],
            state_operations=[
                migrations.AlterField(
                    model_name='registration',
                    name='phone_number',
                    field=models.CharField(db_collation='C', max_length=11, verbose_name='phone number'),
                ),
                migrations.AddConstraint(
                    model_name='registration',
                    constraint=models.UniqueConstraint(
                        fields=('phone_number',), name='landing_registration_phone_number_key'
                    ),
                ),
            ],
        ),
    ]
