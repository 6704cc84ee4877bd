"""The one table."""

from typing import ClassVar

from django.db import models


class Registration(models.Model):
    """A phone number, its confirmation status and its times."""

    phone_number = models.CharField(max_length=11, unique=True)
    status = models.CharField(max_length=9, default="pending")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager["Registration"]] = models.Manager()

    class Meta:
        app_label = "drf_sync"
        db_table = "registration"

    def __str__(self) -> str:
        return f"registration {self.pk}"
