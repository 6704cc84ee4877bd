"""The tables: registrations, the submissions they come from, and documents that wait for MongoDB."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from campaigns.definition import DEFAULT_ID
from campaigns.models import CampaignRow


class Registration(models.Model):
    """One phone number in one campaign, however often it was submitted."""

    class Status(models.TextChoices):
        """Whether the phone is proven to be its sender's."""

        PENDING = "pending", _("pending")
        CONFIRMED = "confirmed", _("confirmed")

    # Without a constraint: its check would lock the campaign's row for each person of a wave.
    campaign = models.ForeignKey(
        CampaignRow,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        default=DEFAULT_ID,
        db_default=DEFAULT_ID,
        verbose_name=_("campaign"),
    )
    # With collation C the unique index serves the admin's search for a beginning (LIKE '0912%') too.
    phone_number = models.CharField(_("phone number"), max_length=11, db_collation="C")
    status = models.CharField(
        _("status"), max_length=9, choices=Status, default=Status.PENDING, db_default=Status.PENDING
    )
    first_seen = models.DateTimeField(
        _("first seen"), help_text=_("When its earliest submission was accepted.")
    )
    last_seen = models.DateTimeField(_("last seen"), help_text=_("When its latest submission was accepted."))

    # In its campaign, if that gives numbers.
    number = models.IntegerField(_("number"), null=True, blank=True)

    # When the right code was typed, and in which submission's page.
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True, blank=True)
    confirmed_by = models.UUIDField(null=True, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = _("registration"), _("registrations")
        constraints = [
            # Not unique=True: beside that Django makes an index for LIKE, whatever the collation. It would be
            # the most expensive one of the hottest table, and nothing would use it.
            # The phone first: staff look for a phone in all campaigns.
            models.UniqueConstraint(
                fields=["phone_number", "campaign"], name="registration_phone_in_campaign"
            ),
            # Only of campaigns that give numbers: the others pay nothing.
            models.UniqueConstraint(
                fields=["campaign", "number"],
                condition=models.Q(number__isnull=False),
                name="registration_number_in_campaign",
            ),
        ]
        permissions = [
            ("reveal_phone", gettext_noop("Can see a whole phone number")),
            ("export_registration", gettext_noop("Can export registrations")),
            ("cancel_place", gettext_noop("Can cancel a registration's place")),
        ]
        indexes = [
            # Rows come in the order of this time, nearly: a few bytes for every hundred pages find a day's
            # rows, and an insert pays nothing for them as it would for a B-tree.
            BrinIndex(fields=["first_seen"], name="registration_first_seen", autosummarize=True),
            # The rare status is found at once; a registration that is pending is not in it.
            models.Index(
                fields=["id"], condition=models.Q(status="confirmed"), name="registration_confirmed"
            ),
            # For the admin's list and exports of one campaign. The default one, which may be all, pays nothing.
            models.Index(
                fields=["campaign", "id"],
                condition=models.Q(campaign__gt=DEFAULT_ID),
                name="registration_campaign",
            ),
        ]

    def __str__(self) -> str:
        return f"{gettext('registration')} {self.pk}"


class StoredSubmission(models.Model):
    """One accepted request: the row that a 202 promises."""

    request_id = models.UUIDField(primary_key=True)
    registration = models.ForeignKey(
        Registration, models.CASCADE, related_name="submissions", verbose_name=_("registration")
    )
    accepted_at = models.DateTimeField(_("accepted at"))
    # What a campaign asks for, the version of the consent text, the source. Never changed.
    details = models.JSONField(_("details"), null=True)
    stored_at = models.DateTimeField(_("stored at"), db_default=Now())

    class Meta:
        db_table = "landing_submission"
        verbose_name, verbose_name_plural = _("submission"), _("submissions")

    def __str__(self) -> str:
        return str(self.request_id)


class Erasure(models.Model):
    """A person who has asked to be forgotten: what was accepted up to then is not stored any more, wherever it comes from."""

    # Keyed with SECRET_KEY: it tells a phone number to nobody who lacks that. Empty: everybody in the campaign.
    phone_hash = models.BinaryField()
    # Null: in all campaigns.
    campaign = models.ForeignKey(
        CampaignRow, models.DO_NOTHING, null=True, db_constraint=False, db_index=False
    )
    erased_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["phone_hash"], name="erasure_phone")]

    def __str__(self) -> str:
        return str(self.pk)


class ErasedSubmission(models.Model):
    """The id of a submission that was erased, so that its state and the ledger can say so."""

    request_id = models.UUIDField(primary_key=True)
    erased_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "landing_erased"

    def __str__(self) -> str:
        return str(self.request_id)


class Subscription(models.Model):
    """A webhook that wants to hear of campaigns. The courier writes what its file says; no address and no secret is here."""

    name = models.CharField(_("name"), primary_key=True, max_length=31, db_collation="C")
    # Slugs. Empty: all, those that come later too.
    campaigns = ArrayField(models.CharField(max_length=31))

    def __str__(self) -> str:
        return self.name


class Event(models.Model):
    """Something that webhooks are told of, written in the transaction in which it happens. The courier takes it away."""

    class Kind(models.TextChoices):
        """What has happened."""

        STORED = "stored", _("stored")
        PLACED = "placed", _("placed")
        CONFIRMED = "confirmed", _("confirmed")

    kind = models.CharField(max_length=9, choices=Kind)
    request_id = models.UUIDField()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.kind} {self.request_id}"


class ParkedLog(models.Model):
    """A document that MongoDB could not take yet: the outbox that keeps its outage off PostgreSQL."""

    request_id = models.UUIDField(primary_key=True)
    document = models.JSONField(_("document"))
    parked_at = models.DateTimeField(_("parked at"), db_default=Now())
    # Set for one that the log store itself refuses: how often, and when it is given again.
    refusals = models.IntegerField(default=0, db_default=0)
    try_at = models.DateTimeField(default=None, null=True)
    reason = models.TextField(blank=True, default="", db_default="")

    class Meta:
        db_table = "landing_parked_log"
        verbose_name, verbose_name_plural = _("parked log"), _("parked logs")

    def __str__(self) -> str:
        return str(self.request_id)
