"""The tables of webhooks. They hold no address, no secret and nothing of a person but the ids of submissions."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from landing.models import Event


class Receiver(models.Model):
    """How a webhook's receiver is now, as the couriers have seen it."""

    name = models.CharField(_("name"), primary_key=True, max_length=31, db_collation="C")
    # Which courier calls it, and until when the others keep away: one open call at a time.
    held_by = models.CharField(max_length=100, default="")
    held_until = models.DateTimeField(null=True)
    # Calls in a row that failed, and the time before which there is no other.
    failures = models.IntegerField(_("failures in a row"), default=0)
    wait_until = models.DateTimeField(_("no call before"), null=True)
    last_delivered_at = models.DateTimeField(_("last delivered at"), null=True)
    # It has answered 410 Gone: nothing is sent until a test succeeds.
    is_paused = models.BooleanField(_("paused"), default=False)

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """One message to one webhook: up to 50 submissions, sent until the receiver has taken it."""

    class State(models.TextChoices):
        """Waiting, or one of the others, which are final until somebody replays it."""

        WAITING = "waiting", _("waiting")
        DELIVERED = "delivered", _("delivered")
        FAILED = "failed", _("failed for good")
        EMPTY = "empty", _("nothing left to send")

    # The header webhook-id: the same at each try, so that a receiver knows what it has had.
    message_id = models.UUIDField("webhook-id", default=uuid4, editable=False)
    webhook = models.CharField(_("webhook"), max_length=31, db_collation="C")
    kind = models.CharField(_("event"), max_length=9, choices=Event.Kind)
    request_ids = ArrayField(models.UUIDField())
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.WAITING)
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    tries = models.SmallIntegerField(_("tries"), default=0)
    first_tried_at = models.DateTimeField(null=True)
    next_at = models.DateTimeField(_("next try at"), db_default=Now())
    ended_at = models.DateTimeField(_("ended at"), null=True)
    reason = models.CharField(_("reason"), max_length=100, default="")

    class Meta:
        verbose_name, verbose_name_plural = _("delivery"), _("deliveries")
        indexes = [
            models.Index(
                fields=["webhook", "next_at", "id"],
                condition=models.Q(state="waiting"),
                name="delivery_waiting",
            ),
            models.Index(fields=["webhook"], condition=models.Q(state="failed"), name="delivery_failed"),
            models.Index(fields=["created_at"], name="delivery_created"),
        ]

    def __str__(self) -> str:
        return str(self.message_id)


class Attempt(models.Model):
    """One call to a receiver, and what came of it. Never what the receiver wrote: it may repeat a phone number."""

    class Outcome(models.TextChoices):
        """How it ended."""

        DELIVERED = "delivered", _("delivered")
        FAILED = "failed", _("failed")

    delivery = models.ForeignKey(
        Delivery, models.CASCADE, related_name="attempts", verbose_name=_("delivery")
    )
    at = models.DateTimeField(_("at"), db_default=Now())
    seconds = models.FloatField(_("seconds"))
    outcome = models.CharField(_("outcome"), max_length=9, choices=Outcome)
    # Of HTTP; null: there was no answer.
    status = models.SmallIntegerField(_("HTTP status"), null=True)
    reason = models.CharField(_("reason"), max_length=100, default="")

    class Meta:
        verbose_name, verbose_name_plural = _("attempt"), _("attempts")

    def __str__(self) -> str:
        return f"{self.delivery} {self.outcome}"
