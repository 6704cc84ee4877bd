"""The admin: registrations and submissions, found by phone and request_id, fast on millions of rows; and campaigns."""

from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from campaigns.definition import LONGEST_LINE
from campaigns.models import CampaignRow
from landing import words
from landing.desk import audit, times
from landing.desk.filters import CampaignFilter, ReferrerFilter, SeenFilter
from landing.models import ParkedLog, Registration, StoredSubmission
from landing.storing import places
from lib import phones, request_ids

MOST_COUNTED = 10_000

PLACES = {
    "placed": _("placed"),
    "waiting": _("waiting"),
    "declined": _("declined"),
    "cancelled": _("cancelled"),
}
"""What staff read of a place: Line.state_of()."""

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

    list_display = (
        "id",
        "masked_phone",
        "campaign",
        "place",
        "status",
        "shown_first_seen",
        "shown_last_seen",
    )
    list_select_related = ("campaign",)
    list_filter = ("status", CampaignFilter, SeenFilter, ReferrerFilter)
    ordering = ("-id",)
    search_fields: ClassVar[tuple[str, ...]] = ("phone_number",)
    search_help_text = _("A phone number in any spelling, or a request_id")
    fields = (
        *("masked_phone", "campaign", "place", "status", "shown_confirmed_at"),
        *("shown_first_seen", "shown_last_seen"),
    )
    change_form_template = "landing/admin/registration.html"

    shown_first_seen = time_column("first_seen", _("first seen"))
    shown_last_seen = time_column("last_seen", _("last seen"))
    shown_confirmed_at = time_column("confirmed_at", _("confirmed at"))

    @admin.display(description=_("phone number"))
    def masked_phone(self, registration: Registration) -> str:
        # A right-to-left page would turn its parts round.
        return format_html('<bdi dir="ltr">{}</bdi>', phones.mask(registration.phone_number))

    @admin.display(description=_("place"))
    def place(self, registration: Registration) -> str:
        """Return the number in the campaign, and what has become of it."""
        if registration.number is None:
            return ""
        campaign: CampaignRow = registration.campaign  # type: ignore[assignment]  # typed as its id, for its db_default
        state = PLACES[campaign.line.state_of(registration.number)]
        return f"{registration.number}: {state}"

    def get_urls(self) -> list[URLPattern]:
        reveal, cancel = map(self.admin_site.admin_view, (self.reveal, self.cancel))
        return [
            path("<int:pk>/reveal/", reveal, name="landing_registration_reveal"),
            path("<int:pk>/cancel/", cancel, name="landing_registration_cancel"),
            *super().get_urls(),
        ]

    def cancel(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask whether a place is to be cancelled, and cancel it once that is in the audit log."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) and request.user.has_perm("landing.cancel_place")):
            raise PermissionDenied
        registration = get_object_or_404(Registration, pk=pk, number__isnull=False)
        slug = str(registration.campaign)
        if "sure" not in request.POST:
            context = self.admin_site.each_context(request) | {
                "title": gettext("Cancel the place"),
                "question": words.fill(
                    gettext("Cancel number {number} for good? The next one in line moves up at once."),
                    number=registration.number,
                ),
                "opts": self.opts,
                "original": registration,
            }
            return render(request, "landing/admin/cancel.html", context)
        about = f"{slug}: number {registration.number}"
        audit.record(request, gettext_noop("cancelled a place"), about, registration)
        places.cancel(slug, registration.phone_number)
        messages.success(request, gettext("The place is cancelled. The next one in line has moved up."))
        return redirect("admin:landing_registration_change", pk)

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


class CampaignForm(forms.ModelForm[CampaignRow]):
    """How many places there are."""

    capacity = forms.IntegerField(
        min_value=0,
        max_value=LONGEST_LINE,
        label=_("capacity"),
        help_text=_("Who has a place keeps it, also when there are fewer places."),
    )

    class Meta:
        model = CampaignRow
        fields = ("capacity",)


def figure_column(name: str, description: Any) -> Any:
    """Return a column with one of a line's figures, empty for a campaign without numbers."""

    @admin.display(description=description)
    def show(_: Any, campaign: CampaignRow) -> int | str:
        return campaign.line.figures[name] or 0 if campaign.is_numbered else ""

    return show


@admin.register(CampaignRow)
class CampaignAdmin(ReadOnlyAdmin):
    """Campaigns and their places. All else of a campaign is in its page.toml."""

    form = CampaignForm
    list_display = (
        "slug",
        "capacity",
        "numbered",
        "placed",
        "waiting",
        "declined",
        "cancelled",
        "shown_closes",
    )
    fields = list_display
    ordering = ("slug",)
    search_fields: ClassVar[tuple[str, ...]] = ()

    shown_closes = time_column("closes", _("closes"))

    numbered = figure_column("numbered", _("numbered"))
    placed = figure_column("placed", _("placed"))
    waiting = figure_column("waiting", _("waiting"))
    declined = figure_column("declined", _("declined"))
    cancelled = figure_column("cancelled", _("cancelled"))

    def has_change_permission(self, request: HttpRequest, obj: CampaignRow | None = None) -> bool:
        """Let who may change a campaign set its capacity, if it gives numbers."""
        may_be = obj is None or obj.is_numbered
        return may_be and request.user.has_perm("campaigns.change_campaignrow")

    def get_readonly_fields(self, request: HttpRequest, obj: CampaignRow | None = None) -> tuple[str, ...]:
        changes = self.has_change_permission(request, obj)
        return tuple(name for name in self.list_display if name != "capacity" or not changes)

    def save_model(self, request: HttpRequest, obj: CampaignRow, form: Any, change: bool) -> None:
        """Set the capacity, once that is in the audit log."""
        audit.record(request, gettext_noop("set a capacity"), f"{obj.slug}: {obj.capacity}", obj)
        done = places.set_capacity(obj.slug, form.cleaned_data["capacity"])
        said = gettext("{placed} have a place now; before {before} had one.")
        messages.success(request, words.fill(said, placed=done.after.placed, before=done.before.placed))

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Nothing more: save_model has said it."""


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
