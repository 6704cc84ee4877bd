"""The admin: registrations and submissions, found by phone and request_id, fast on millions of rows."""

from typing import Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from landing.models import ParkedLog, Registration, StoredSubmission
from lib import phones, request_ids

MOST_COUNTED = 10_000


class BoundedPaginator(Paginator[Any]):
    """Counts no further than the pages that anybody leafs through: COUNT(*) reads every row."""

    @cached_property
    def count(self) -> int:
        """Return the number of rows, or MOST_COUNTED if there are more."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin pages querysets only
        return len(rows.order_by().values_list("pk")[:MOST_COUNTED])


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Shows rows that only the workers write."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds a row by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes a row by hand."""
        return False


@admin.register(Registration)
class RegistrationAdmin(ReadOnlyAdmin):
    """Phones are masked; a whole number or a request_id in the search box finds its registration."""

    list_display = ("id", "masked_phone", "status", "first_seen", "last_seen")
    list_filter = ("status",)
    ordering = ("-id",)
    search_fields: ClassVar[tuple[str, ...]] = ("phone_number",)
    search_help_text = "A phone number in any spelling, or a request_id"
    fields = ("masked_phone", "status", "first_seen", "last_seen")

    @admin.display(description="phone number")
    def masked_phone(self, registration: Registration) -> str:
        """Return the phone number with its middle hidden."""
        return phones.mask(registration.phone_number)

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        """Search by whole values only: each is one look into an index."""
        if not search_term:
            return queryset, False
        try:
            return queryset.filter(phone_number=phones.normalise(search_term)), False
        except phones.InvalidPhone:
            request_id = request_ids.parse(search_term)
            return queryset.filter(submissions=request_id) if request_id else queryset.none(), False


@admin.register(StoredSubmission)
class StoredSubmissionAdmin(ReadOnlyAdmin):
    """Found by request_id."""

    list_display = ("request_id", "registration", "accepted_at", "stored_at")
    ordering = ("-request_id",)
    search_fields: ClassVar[tuple[str, ...]] = ("request_id",)
    search_help_text = "A request_id"

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        """Search by the whole id."""
        if not search_term:
            return queryset, False
        request_id = request_ids.parse(search_term)
        return queryset.filter(pk=request_id) if request_id else queryset.none(), False


@admin.register(ParkedLog)
class ParkedLogAdmin(ReadOnlyAdmin):
    """Documents that wait for MongoDB."""

    list_display = ("request_id", "parked_at")
    ordering = ("-parked_at",)
