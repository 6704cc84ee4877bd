"""The tables: campaigns by their slug, and each consent text that was ever shown."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from campaigns.line import Line


class NoSuchCampaign(ValueError):
    """There is no campaign with this slug; the text names those that there are."""


class CampaignRow(models.Model):
    """What a worker and the admin know of a campaign. Its files are the truth for the door: campaigns/definition.py."""

    id = models.SmallAutoField(primary_key=True)
    slug = models.CharField(_("address"), max_length=31, unique=True, db_collation="C")
    field_names = models.JSONField(_("fields"), default=list, db_default=models.Value([], models.JSONField()))
    # As the files say it, at the last `migrate`. Workers and commands have no files.
    closes = models.DateTimeField(_("closes"), null=True, blank=True)
    announces = models.DateTimeField(_("announces"), null=True, blank=True)
    longest_line = models.IntegerField(_("longest line"), null=True, blank=True)
    keep_until = models.DateTimeField(_("kept until"), null=True, blank=True)
    # How many registrations `purge` has deleted.
    purged = models.IntegerField(_("deleted"), default=0, db_default=0)
    confirms = models.BooleanField(_("sends codes"), default=False, db_default=False)
    # Its places: campaigns/line.py. landing/storing/places.py alone changes them, with the row locked.
    is_numbered = models.BooleanField(_("gives numbers"), default=False, db_default=False)
    capacity = models.IntegerField(_("capacity"), null=True, blank=True)
    admitted = models.IntegerField(_("admitted up to number"), default=0, db_default=0)
    last_number = models.IntegerField(_("last number"), default=0, db_default=0)
    cancelled = ArrayField(
        models.IntegerField(), default=list, db_default=models.Value([], ArrayField(models.IntegerField()))
    )

    class Meta:
        db_table = "campaigns_campaign"
        verbose_name, verbose_name_plural = _("campaign"), _("campaigns")

    def __str__(self) -> str:
        return self.slug

    @classmethod
    def named(cls, slug: str, *, locked: bool = False) -> "CampaignRow":
        """Return the campaign with a slug, its row locked if so asked. Raises NoSuchCampaign or django.db.Error."""
        rows = cls.objects.select_for_update() if locked else cls.objects.all()
        if (row := rows.filter(slug=slug).first()) is None:
            known = ", ".join(cls.objects.order_by("slug").values_list("slug", flat=True))
            raise NoSuchCampaign(f"No campaign is named {slug}. Known: {known}. See: manage.py campaign list")
        return row

    @property
    def line(self) -> Line:
        """The line of those who are registered."""
        return Line(
            self.capacity,
            self.admitted,
            self.last_number,
            tuple(self.cancelled),
            self.longest_line,
            self.announces,
        )


class ConsentText(models.Model):
    """A text that visitors were shown. A submission names it by its version."""

    version = models.CharField(_("version"), primary_key=True, max_length=12, db_collation="C")
    slug = models.CharField(_("campaign"), max_length=31)
    language = models.CharField(_("language"), max_length=2)
    text = models.TextField(_("text"))
    published_at = models.DateTimeField(_("published at"), db_default=Now())

    class Meta:
        db_table = "campaigns_consent_text"
        verbose_name, verbose_name_plural = _("consent text"), _("consent texts")

    def __str__(self) -> str:
        return self.version
