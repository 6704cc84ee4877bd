"""What staff ask for in the admin: exports with their files, and erasures; and the dead letters' place there."""

from datetime import datetime, timedelta

from django.contrib.admin.models import LogEntry
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from landing.models import Registration
from lib.tables import FORMATS

KEPT_FOR = timedelta(hours=24)
"""How long a file can be downloaded: it is full of phone numbers."""


class Export(models.Model):
    """One export: what is asked, and how far it is."""

    class State(models.TextChoices):
        """Where it is."""

        WAITING = "waiting", _("waiting for a worker")
        RUNNING = "running", _("being written")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")
        EXPIRED = "expired", _("deleted")

    format = models.CharField(
        _("format"), max_length=5, choices=[(one, one) for one in FORMATS], default="xlsx"
    )
    since = models.DateTimeField(_("from"), null=True, blank=True)
    until = models.DateTimeField(_("to before"), null=True, blank=True)
    status = models.CharField(_("status"), max_length=9, choices=Registration.Status, blank=True)
    campaign = models.CharField(_("campaign"), max_length=31, blank=True, default="", db_default="")
    referrer = models.BooleanField(_("with the referrer"), default=False)
    # A name and no key: users can be deleted, and the web may change no export.
    requested_by = models.CharField(_("who"), max_length=150)
    requested_at = models.DateTimeField(_("time"), db_default=Now())
    state = models.CharField(
        _("state"), max_length=7, choices=State, default=State.WAITING, db_default=State.WAITING
    )
    alive_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    rows = models.BigIntegerField(_("rows"), null=True)
    bytes = models.BigIntegerField(default=0, db_default=0)
    error = models.TextField(blank=True, default="", db_default="")

    class Meta:
        verbose_name, verbose_name_plural = _("export"), _("exports")
        # landing.export_registration is the one permission for all that concerns exports.
        default_permissions = ()

    def __str__(self) -> str:
        return f"{gettext('export')} {self.pk}"

    @property
    def file_name(self) -> str:
        """The name of the file for who downloads it."""
        return f"registrations-{self.pk}.{self.format}"

    @property
    def expires_at(self) -> datetime | None:
        """When the file is deleted (UTC)."""
        return self.finished_at + KEPT_FOR if self.finished_at else None


class ExportChunk(models.Model):
    """A piece of an export's file.

    It is in PostgreSQL since that is the one place which all containers share: a worker writes it, and
    whichever web container is asked sends it. dashboard/desk/export_jobs.py bounds what may be there.
    """

    export = models.ForeignKey(Export, models.CASCADE, related_name="chunks")
    number = models.IntegerField()
    body = models.BinaryField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["export", "number"], name="export_chunk_number")]

    def __str__(self) -> str:
        return f"chunk {self.number} of export {self.export_id}"


class ErasureRequest(models.Model):
    """A person whom staff ask to erase. `manage.py erase --asked` does it: the web may delete nothing."""

    # Empty once the person is erased.
    phone_number = models.CharField(_("phone number"), max_length=11)
    # A name and no key, as in Export.
    requested_by = models.CharField(_("who"), max_length=150)
    requested_at = models.DateTimeField(_("asked at"), db_default=Now())
    erased_at = models.DateTimeField(_("erased at"), null=True)

    class Meta:
        verbose_name, verbose_name_plural = _("erasure"), _("erasures")
        default_permissions = ()
        permissions = [("erase_person", "Can erase a person")]
        constraints = [
            models.UniqueConstraint(
                fields=["phone_number"], condition=models.Q(erased_at=None), name="erasure_asked_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{gettext('erasure')} {self.pk}"


class DeadLetter(models.Model):
    """No table: a place in the admin and permissions. Dead letters are in RabbitMQ alone."""

    class Meta:
        managed = False
        verbose_name, verbose_name_plural = _("dead letter"), _("dead letters")
        default_permissions = ("view",)
        permissions = [
            ("replay_deadletter", "Can replay dead letters"),
            ("discard_deadletter", "Can discard dead letters"),
        ]

    def __str__(self) -> str:
        return "dead letter"


class AuditEntry(LogEntry):
    """Django's admin log, as superusers read it: who did what."""

    class Meta:
        proxy = True
        verbose_name, verbose_name_plural = _("audit entry"), _("audit log")
        default_permissions = ()
