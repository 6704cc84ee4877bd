"""The admin's filters. Each uses an index or looks at a bounded number of rows."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.contrib.admin.utils import get_last_value_from_parameters
from django.core.cache import cache
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from campaigns.models import CampaignRow
from landing import words
from landing.desk import times
from landing.models import StoredSubmission
from lib import calendars
from logs import utils as logs

LATEST = 5000
"""Submissions whose referrers are looked at."""

HOSTS = 15
"""Referrers that are offered."""

REMEMBERED = 60
"""Seconds for which the referrers are not asked again."""

_ENDS = {"since": "first_seen__gte", "until": "first_seen__lt"}


class SeenFilter(admin.ListFilter):
    """Registrations first seen from one time to before another, in either calendar."""

    title = _("first seen")
    template = "landing/admin/seen_filter.html"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in _ENDS:
            if name in params:
                self.used_parameters[name] = get_last_value_from_parameters(params, name)
                del params[name]

    def expected_parameters(self) -> list[str | None]:
        return [*_ENDS]

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """Yield the days that people ask for, as links."""
        today = times.today()
        starts = [
            (_("any time"), None),
            (_("today"), today),
            (_("past 7 days"), today - timedelta(days=6)),
            (_("this month"), calendars.month_start(today, times.calendar())),
        ]
        for display, start in starts:
            asked = {"since": times.show_day(start)} if start else {}
            yield {
                "selected": self.used_parameters == asked,
                "query_string": changelist.get_query_string(asked, self.expected_parameters()),
                "display": display,
            }

    def fields(self) -> dict[str, str]:
        """Return what was typed, by name."""
        return {name: str(self.used_parameters.get(name, "")) for name in _ENDS}

    def example(self) -> str:
        """Return a day as it can be typed."""
        return times.show_day(times.today())

    def others(self) -> list[tuple[str, str]]:
        """Return the rest of the address, for the form to keep."""
        return [
            (name, value)
            for name, values in self.request.GET.lists()
            if name not in (*_ENDS, "p")
            for value in values
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Apply the times; one that cannot be read finds nothing, with a message."""
        for name, text in self.fields().items():
            if not text:
                continue
            try:
                queryset = queryset.filter(**{_ENDS[name]: times.read(text)})
            except ValueError:
                messages.error(request, words.fill(gettext("That is no time: {time}"), time=text))
                return queryset.none()
        return queryset


class CampaignFilter(admin.SimpleListFilter):
    """Registrations of one campaign. An installation with the default campaign alone has nothing to choose."""

    parameter_name = "campaign"
    title = _("campaign")

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the campaigns by their slugs, if there are several."""
        slugs = list(CampaignRow.objects.order_by("slug").values_list("slug", flat=True))
        return [(slug, slug) for slug in slugs] if len(slugs) > 1 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        # By id, so that PostgreSQL sees in the statement that its partial index will do.
        known = CampaignRow.objects.filter(slug=self.value()).values_list("pk", flat=True).first()
        return queryset.filter(campaign_id=known) if known else queryset.none()


class ReferrerFilter(admin.SimpleListFilter):
    """Registrations by the site that they came from, among the latest submissions.

    Referrers are in MongoDB, without an index, which would cost every insert. So the latest ones are looked
    up by their ids; `manage.py export --referrer` has all.
    """

    parameter_name = "from_site"
    title: Any = _("referrer")

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the sites, those with most registrations first."""
        sites = _sites()
        if sites is None:
            self.title = gettext("MongoDB does not answer.")
            return [("", "-")]
        self.title = words.fill(gettext("referrer, of the latest {count}"), count=f"{LATEST:,}")
        ranked = sorted(sites, key=lambda site: -len(sites[site]))[:HOSTS]
        return [(site or "-", f"{site or gettext('(none)')} ({len(sites[site])})") for site in ranked]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        site = self.value()
        if not site:
            return queryset
        return queryset.filter(pk__in=(_sites() or {}).get("" if site == "-" else site, []))


def _sites() -> dict[str, list[int]] | None:
    """Return registrations by referring site, or None if MongoDB does not answer; remembered for REMEMBERED."""
    # In a list, since cache.get cannot tell None from an entry that is missing.
    known: Any = cache.get_or_set("landing.referring_sites", lambda: [_read_sites()], REMEMBERED)
    sites: dict[str, list[int]] | None = known[0]
    return sites


def _read_sites() -> dict[str, list[int]] | None:
    latest = StoredSubmission.objects.order_by("-registration_id").values_list("pk", flat=True)[:LATEST]
    try:
        documents = logs.find_many([str(one) for one in latest])
    except logs.StoreUnavailable:
        return None
    found: dict[str, set[int]] = defaultdict(set)
    for document in documents:
        if isinstance(registration := document.get("registration_id"), int):
            found[site_of(str(document.get("referrer") or ""))].add(registration)
    return {site: sorted(registrations) for site, registrations in found.items()}


def site_of(referrer: str) -> str:
    """Return the host of a referrer, or the beginning of one that is no address: visitors can send anything."""
    try:
        host = urlsplit(referrer).hostname
    except ValueError:
        host = None
    return (host or referrer)[:60]
