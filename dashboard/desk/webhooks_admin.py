"""Webhooks in the admin: each message with its state, and each call with what came of it."""

from typing import Any, ClassVar

from django.contrib import admin
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from courier.models import Attempt, Delivery
from landing.desk import times
from landing.desk.admin import ReadOnlyAdmin, time_column
from lib import request_ids


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """The messages, the newest first. They name submissions by their ids alone."""

    list_display = (
        *("shown_created_at", "webhook", "kind", "submissions", "state", "tries", "shown_next_at", "reason"),
        "shown_message_id",
    )
    list_display_links = None
    list_filter = ("state", "kind")
    ordering = ("-id",)
    search_fields: ClassVar[tuple[str, ...]] = ("request_ids",)
    search_help_text = _("A request_id")

    shown_created_at = time_column("created_at", _("created at"))

    @admin.display(description=_("next try at"))
    def shown_next_at(self, delivery: Delivery) -> str:
        return times.show(delivery.next_at) if delivery.state == Delivery.State.WAITING else ""

    @admin.display(description=_("submissions"))
    def submissions(self, delivery: Delivery) -> int:
        return len(delivery.request_ids)

    @admin.display(description="webhook-id")
    def shown_message_id(self, delivery: Delivery) -> str:
        return format_html('<bdi dir="ltr">{}</bdi>', delivery.message_id)

    def find(self, rows: Any, term: str) -> Any:
        request_id = request_ids.parse(term)
        return rows.filter(request_ids__contains=[request_id]) if request_id else rows.none()


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    """The calls, the newest first."""

    list_display = ("shown_at", "webhook", "outcome", "status", "shown_seconds", "reason", "shown_message_id")
    list_display_links = None
    list_filter = ("outcome",)
    list_select_related = ("delivery",)
    ordering = ("-id",)
    search_fields: ClassVar[tuple[str, ...]] = ("delivery__message_id",)
    search_help_text = "webhook-id"

    shown_at = time_column("at", _("at"))

    @admin.display(description=_("webhook"))
    def webhook(self, attempt: Attempt) -> str:
        return attempt.delivery.webhook

    @admin.display(description=_("seconds"))
    def shown_seconds(self, attempt: Attempt) -> str:
        return f"{attempt.seconds:.2f}"

    @admin.display(description="webhook-id")
    def shown_message_id(self, attempt: Attempt) -> str:
        return format_html('<bdi dir="ltr">{}</bdi>', attempt.delivery.message_id)

    def find(self, rows: Any, term: str) -> Any:
        message_id = request_ids.parse(term)
        return rows.filter(delivery__message_id=message_id) if message_id else rows.none()
