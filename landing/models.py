"""The tables: registrations, the submissions they come from, and documents that wait for MongoDB."""

from django.db import models
from django.db.models.functions import Now


class Registration(models.Model):
    """One phone number, however often it was submitted."""

    class Status(models.TextChoices):
        """Whether the phone is proven to be its sender's."""

        PENDING = "pending"
        CONFIRMED = "confirmed"

    # Digits sort the same everywhere, and with another collation Django adds an index for LIKE.
    phone_number = models.CharField(max_length=11, unique=True, db_collation="C")
    status = models.CharField(max_length=9, choices=Status, default=Status.PENDING, db_default=Status.PENDING)
    first_seen = models.DateTimeField(help_text="When its earliest submission was accepted.")
    last_seen = models.DateTimeField(help_text="When its latest submission was accepted.")

    def __str__(self) -> str:
        return f"registration {self.pk}"


class StoredSubmission(models.Model):
    """One accepted request: the row that a 202 promises."""

    request_id = models.UUIDField(primary_key=True)
    registration = models.ForeignKey(Registration, models.CASCADE, related_name="submissions")
    accepted_at = models.DateTimeField()
    stored_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "landing_submission"
        verbose_name = "submission"

    def __str__(self) -> str:
        return str(self.request_id)


class ParkedLog(models.Model):
    """A document that MongoDB could not take yet: the outbox that keeps its outage off PostgreSQL."""

    request_id = models.UUIDField(primary_key=True)
    document = models.JSONField()
    parked_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "landing_parked_log"

    def __str__(self) -> str:
        return str(self.request_id)
