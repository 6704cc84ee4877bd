"""Exports and dead letters in the admin."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from campaigns.models import CampaignRow
from dashboard.desk import dead_letters, export_jobs
from dashboard.desk.dead_letters import Choice, Letter, masked_phone
from dashboard.models import AuditEntry, DeadLetter, Export, ExportChunk
from landing import words
from landing.desk import audit, times
from landing.desk.admin import ReadOnlyAdmin, time_column
from landing.keeping import queues
from lib.tables import CONTENT_TYPES

# They would show keys and codes of colleagues. Each has a page for one's own, in dashboard/desk/login.py.
admin.site.unregister([TOTPDevice, StaticDevice])

MAY_EXPORT = "landing.export_registration"

SHOWN = 100
"""Dead letters on the page; `manage.py dead_letters` knows all."""

LOOKED_AT = 2 * SHOWN
"""Dead letters that are looked through for those that were chosen on the page."""


class TimeField(forms.CharField):
    """A time in either calendar, or nothing."""

    def clean(self, value: Any) -> Any:
        """Return the time (UTC), or None."""
        text = super().clean(value)
        try:
            return times.read(text) if text else None
        except ValueError:
            raise ValidationError(words.fill(gettext("That is no time: {time}"), time=text)) from None


class ExportForm(forms.ModelForm[Export]):
    """What is asked of an export."""

    since = TimeField(required=False, label=_("from"))
    until = TimeField(required=False, label=_("to before"))

    class Meta:
        model = Export
        fields = ("format", "campaign", "since", "until", "status", "referrer")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        slugs = CampaignRow.objects.order_by("slug").values_list("slug", flat=True)
        self.fields["campaign"] = forms.ChoiceField(
            label=_("campaign"),
            required=False,
            choices=[("", gettext("all")), *((one, one) for one in slugs)],
        )
        day, zone = times.show_day(times.today()), settings.DISPLAY_TIME_ZONE.key
        self.fields["since"].help_text = words.fill(
            gettext("First seen from this time: 24h, 7d, or a day such as {day}. Zone: {zone}."),
            day=day,
            zone=zone,
        )
        self.fields["until"].help_text = gettext("First seen before this time.")
        self.fields["referrer"].help_text = gettext("MongoDB is asked for it, which takes longer.")

    def clean(self) -> dict[str, Any] | None:
        """Refuse one more when there are many."""
        if export_jobs.is_full():
            raise ValidationError(
                words.fill(
                    gettext("There are {most} exports already. Wait until one is deleted."),
                    most=export_jobs.MOST_KEPT,
                )
            )
        return super().clean()


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    """Asks a worker for a file, shows how far it is, and gives it to who may have it."""

    form = ExportForm
    list_display = (
        "id",
        "shown_requested_at",
        "requested_by",
        "format",
        "chosen",
        "progress",
        "rows",
        "file",
    )
    list_display_links = None
    ordering = ("-id",)
    change_list_template = "dashboard/admin/exports.html"

    shown_requested_at = time_column("requested_at", _("time"))

    @admin.display(description=_("chosen"))
    def chosen(self, export: Export) -> str:
        """Return what was asked, in one line."""
        parts = [
            export.since and f"{gettext('from')} {times.show(export.since)}",
            export.until and f"{gettext('to before')} {times.show(export.until)}",
            export.campaign,
            export.status and export.get_status_display(),
            export.referrer and gettext("with the referrer"),
        ]
        return "، ".join(str(part) for part in parts if part) or gettext("everything")

    @admin.display(description=_("state"))
    def progress(self, export: Export) -> str:
        """Return the state, with how much is written or why nothing is."""
        state = str(export.get_state_display())
        if export.error:
            return f"{state}: {export.error}"
        return f"{state} ({filesizeformat(export.bytes)})" if export.bytes else state

    @admin.display(description=_("file"))
    def file(self, export: Export) -> str:
        """Return a link to the file, and when it goes away."""
        if export.state != Export.State.READY:
            return ""
        return format_html(
            '<a href="{}">{}</a><br><small>{}: {}</small>',
            reverse("admin:dashboard_export_download", args=[export.pk]),
            gettext("Download"),
            gettext("deleted at"),
            times.show(export.expires_at),
        )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One permission is for all of it."""
        return request.user.has_perm(MAY_EXPORT)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """One permission is for all of it."""
        return request.user.has_perm(MAY_EXPORT)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """One permission is for all of it."""
        return request.user.has_perm(MAY_EXPORT)

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the file."""
        download = self.admin_site.admin_view(self.download)
        return [path("<int:pk>/file/", download, name="dashboard_export_download"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Load the list again by itself while something is being written."""
        unfinished = Export.objects.filter(state__in=export_jobs.UNFINISHED).exists()
        return super().changelist_view(request, {"unfinished": unfinished, **(extra_context or {})})

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one button: an export is asked for once."""
        one = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, one | (extra_context or {}))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Write who asks, and that it was asked."""
        obj.requested_by = request.user.get_username()
        super().save_model(request, obj, form, change)
        audit.record(
            request,
            gettext_noop("asked for an export"),
            f"export {obj.pk}: {obj.format}, {self.chosen(obj)}",
            obj,
        )

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Nothing more: save_model has said it."""

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        said = gettext("Your export will be written soon; this page shows when it is ready.")
        self.message_user(request, said)
        return HttpResponseRedirect(reverse("admin:dashboard_export_changelist"))

    def download(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """Send the file, once that is in the audit log."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        export = Export.objects.filter(pk=pk, state=Export.State.READY).first()
        if export is None:
            raise Http404
        audit.record(
            request, gettext_noop("downloaded an export"), f"export {export.pk}: {export.rows} rows", export
        )
        headers = {
            "Content-Disposition": f'attachment; filename="{export.file_name}"',
            # One that breaks off is then seen to be no whole one.
            "Content-Length": str(export.bytes),
            # A proxy that collects an answer first runs out of disk on a large one; nginx then sends it as it comes.
            "X-Accel-Buffering": "no",
        }
        return StreamingHttpResponse(
            _chunks(export), content_type=CONTENT_TYPES[export.format], headers=headers
        )


def _chunks(export: Export) -> Iterator[bytes]:
    """Yield the file piece by piece, one of them in memory."""
    numbers = ExportChunk.objects.filter(export=export).order_by("number").values_list("number", flat=True)
    for number in list(numbers):
        yield bytes(ExportChunk.objects.get(export=export, number=number).body)


class AccountAdmin(UserAdmin[User]):
    """Accounts are switched off and not deleted: what they did would vanish from the audit log with them."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


admin.site.unregister(User)
admin.site.register(User, AccountAdmin)


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    """Shows the oldest dead letters as they lie in RabbitMQ, and sends them again or gives them up."""

    permissions: ClassVar[dict[str, str]] = {
        "replay": "dashboard.replay_deadletter",
        "discard": "dashboard.discard_deadletter",
    }

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.changelist_view)
        return [path("", page, name="dashboard_deadletter_changelist")]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """List them; ask before an act; do it. What was chosen is named by the letters' keys."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            if request.method == "POST":
                return self._act(request, request.POST.get("act", ""))
            found = list(islice(dead_letters.letters(Choice()), SHOWN + 1))
        except queues.OUTAGES:
            said = gettext("RabbitMQ does not answer, or did not confirm. Nothing is lost: look again.")
            messages.error(request, said)
            return self._page(request, "dead_letters.html", {"lines": None}, status=503)
        limited = (
            words.fill(gettext("Only the oldest {most} are shown."), most=SHOWN) if found[SHOWN:] else ""
        )
        context = {"lines": [_line(one) for one in found[:SHOWN]], "limited": limited}
        return self._page(request, "dead_letters.html", context)

    def _act(self, request: HttpRequest, act: str) -> HttpResponse:
        if not request.user.has_perm(self.permissions.get(act, "nobody.may")):
            raise PermissionDenied
        back = HttpResponseRedirect(reverse("admin:dashboard_deadletter_changelist"))
        keys = _keys(request.POST.getlist("key"))
        if not keys:
            messages.error(request, gettext("Choose at least one."))
            return back
        note = request.POST.get("note", "").strip()
        if "sure" not in request.POST or (act == "discard" and not note):
            return self._ask(request, act, keys, back)
        if act == "replay":
            about = f"{len(keys)} letters"
            audit.record(request, gettext_noop("replayed dead letters"), about)
            one_by_one = "one_by_one" in request.POST
            count = dead_letters.replay(
                Choice(keys=keys), lambda _: None, one_by_one=one_by_one, most=LOOKED_AT
            )
            audit.record(request, gettext_noop("replayed dead letters"), f"{about}: {count} went")
            messages.success(request, words.fill(gettext("{count} replayed."), count=count))
        else:
            audit.record(request, gettext_noop("discarded dead letters"), f"{len(keys)} letters: {note}")
            count = dead_letters.discard(set(keys), note, most=LOOKED_AT)
            audit.record(
                request, gettext_noop("discarded dead letters"), f"{len(keys)} letters: {count} went"
            )
            messages.success(request, words.fill(gettext("{count} discarded."), count=count))
        return back

    def _ask(
        self, request: HttpRequest, act: str, keys: frozenset[bytes], back: HttpResponse
    ) -> HttpResponse:
        if "sure" in request.POST:
            messages.error(request, gettext("Write why: it goes to the audit log."))
        looked = islice(dead_letters.letters(Choice()), LOOKED_AT)
        chosen = [_line(letter) for letter in looked if letter.key in keys]
        if not chosen:
            messages.error(request, gettext("They are gone from the queue already: look again."))
            return back
        question = {
            "replay": gettext("Send these {count} to the live queue again?"),
            "discard": gettext("Give up these {count} for good? They are accepted registrations."),
        }[act]
        context = {"act": act, "lines": chosen, "question": words.fill(question, count=len(chosen))}
        return self._page(request, "dead_letters_sure.html", context)

    def _page(
        self, request: HttpRequest, template: str, context: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        may = {act: request.user.has_perm(permission) for act, permission in self.permissions.items()}
        title = {"title": capfirst(self.opts.verbose_name_plural), "opts": self.opts, "may": may}
        whole = self.admin_site.each_context(request) | title | context
        return render(request, f"dashboard/admin/{template}", whole, status=status)


@admin.register(AuditEntry)
class AuditAdmin(ReadOnlyAdmin):
    """Who did what; for superusers. Nobody changes or deletes it here."""

    list_display = ("time", "who", "what", "about")
    list_display_links = None
    list_select_related = ("user",)
    ordering = ("-pk",)
    search_fields: ClassVar[tuple[str, ...]] = ("user__username",)
    search_help_text = _("A user's name")

    time = time_column("action_time", _("time"))

    @admin.display(description=_("who"))
    def who(self, entry: AuditEntry) -> str:
        return entry.user.get_username()

    @admin.display(description=_("what"))
    def what(self, entry: AuditEntry) -> str:
        """Return the deed; Django's own entries say what they changed."""
        flags = {1: gettext_noop("added"), 2: gettext_noop("changed"), 3: gettext_noop("deleted")}
        said = entry.change_message
        ours = said and not said.startswith("[")
        return gettext(said) if ours else gettext(flags[entry.action_flag])

    @admin.display(description=_("about"))
    def about(self, entry: AuditEntry) -> str:
        return entry.object_repr

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        """Search by the whole name."""
        term = search_term.strip()
        return (queryset.filter(user__username=term) if term else queryset), False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and getattr(request.user, "is_superuser", False))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)


def _line(letter: Letter) -> dict[str, Any]:
    ids = letter.request_ids or [letter.digest]
    readable = [masked_phone(raw) for raw in letter.registrations or []]
    return {
        "key": letter.key.hex(),
        "id": ids[0],
        "more": words.fill(gettext("and {count} more"), count=len(ids) - 1) if ids[1:] else "",
        "reason": letter.reason,
        "time": times.show(letter.died_at),
        "phone": readable[0] if readable else "",
    }


def _keys(texts: list[str]) -> frozenset[bytes]:
    """Return the keys that a form names, no more than the page shows, without what is none."""
    found = set()
    for text in texts[:SHOWN]:
        try:
            found.add(bytes.fromhex(text))
        except ValueError:
            continue
    return frozenset(found)
