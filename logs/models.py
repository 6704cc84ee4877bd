"""The table of logs/postgresql.py. It is empty where another store is used."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models


class RequestLog(models.Model):
    """One document, as JSON; accepted_at stands beside it, so that a time is found without reading all."""

    # Text, as in every store: what is compared is never read as anything else.
    id = models.CharField(primary_key=True, max_length=64, db_collation="C")
    accepted_at = models.DateTimeField(null=True)
    document = models.JSONField()

    class Meta:
        indexes = [BrinIndex(fields=["accepted_at"], name="request_log_accepted", autosummarize=True)]

    def __str__(self) -> str:
        return self.id
