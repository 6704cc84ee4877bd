"""The admin: registrations and submissions, found by phone and request_id, fast on millions of rows."""

from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from landing.desk import audit, times
from landing.desk.filters import CampaignFilter, ReferrerFilter, SeenFilter
from landing.models import ParkedLog, Registration, StoredSubmission
from lib import phones, request_ids

MOST_COUNTED = 10_000

admin.site.site_header = admin.site.site_title = _("Breakwater")
admin.site.index_title = _("Administration of registrations")


def time_column(field: str, description: Any) -> Any:
    """Return a column that shows a time in the reader's calendar."""

    @admin.display(description=description)
    def show(_: Any, row: Any) -> str:
        time: datetime | None = getattr(row, field)
        return times.show(time)

    return show


class BoundedPaginator(Paginator[Any]):
    """Counts up to MOST_COUNTED rows: COUNT(*) would read them all."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin pages querysets only
        return len(rows.order_by().values_list("pk")[:MOST_COUNTED])


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Shows rows that only the workers write. In the container stack the web has no right to change them."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER  # it would count the table for each choice of each filter
    sortable_by: ClassVar[tuple[str, ...]] = ()  # a table is in the order of its key; another would sort it

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by whole values only, where Django's LIKE would read the table."""
        return (self.find(queryset, search_term) if search_term else queryset), False

    def find(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """Return the rows that a whole value finds, by an index."""
        raise NotImplementedError


@admin.register(Registration)
class RegistrationAdmin(ReadOnlyAdmin):
    """Phones are masked; a whole number or a request_id in the search box finds its registration."""

    list_display = ("id", "masked_phone", "campaign", "status", "shown_first_seen", "shown_last_seen")
    list_select_related = ("campaign",)
    list_filter = ("status", CampaignFilter, SeenFilter, ReferrerFilter)
    ordering = ("-id",)
    search_fields: ClassVar[tuple[str, ...]] = ("phone_number",)
    search_help_text = _("A phone number in any spelling, or a request_id")
    fields = ("masked_phone", "campaign", "status", "shown_first_seen", "shown_last_seen")
    change_form_template = "landing/admin/registration.html"

    shown_first_seen = time_column("first_seen", _("first seen"))
    shown_last_seen = time_column("last_seen", _("last seen"))

    @admin.display(description=_("phone number"))
    def masked_phone(self, registration: Registration) -> str:
        # A right-to-left page would turn its parts round.
        return format_html('<bdi dir="ltr">{}</bdi>', phones.mask(registration.phone_number))

    def get_urls(self) -> list[URLPattern]:
        reveal = self.admin_site.admin_view(self.reveal)
        return [path("<int:pk>/reveal/", reveal, name="landing_registration_reveal"), *super().get_urls()]

    def reveal(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the whole phone number, once that is in the audit log."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) and request.user.has_perm("landing.reveal_phone")):
            raise PermissionDenied
        registration = get_object_or_404(Registration, pk=pk)
        audit.record(request, gettext_noop("revealed a phone number"), f"registration {pk}", registration)
        context = self.admin_site.each_context(request) | {
            "title": gettext("phone number"),
            "phone_number": registration.phone_number,
            "opts": self.opts,
            "original": registration,
        }
        return render(request, "landing/admin/revealed.html", context)

    def find(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        try:
            return rows.filter(phone_number=phones.normalise(term))
        except phones.InvalidPhone:
            request_id = request_ids.parse(term)
            return rows.filter(submissions=request_id) if request_id else rows.none()


@admin.register(StoredSubmission)
class StoredSubmissionAdmin(ReadOnlyAdmin):
    list_display = ("request_id", "registration", "shown_accepted_at", "shown_stored_at")
    ordering = ("-request_id",)
    search_fields: ClassVar[tuple[str, ...]] = ("request_id",)
    search_help_text = _("A request_id")
    fields = (*list_display, "details")

    shown_accepted_at = time_column("accepted_at", _("accepted at"))
    shown_stored_at = time_column("stored_at", _("stored at"))

    def find(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        request_id = request_ids.parse(term)
        return rows.filter(pk=request_id) if request_id else rows.none()


@admin.register(ParkedLog)
class ParkedLogAdmin(ReadOnlyAdmin):
    list_display = ("request_id", "shown_parked_at")
    ordering = ("-parked_at",)
    fields = ("request_id", "shown_parked_at", "document")

    shown_parked_at = time_column("parked_at", _("parked at"))
