"""Codes by SMS in the admin: the line, the budget, what became of each question, and the switch."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from confirmations import switches
from confirmations.models import Ask
from dashboard.desk import codes
from landing.desk import audit
from landing.desk.admin import ReadOnlyAdmin, time_column
from lib import phones, request_ids

MAY_SWITCH = "confirmations.switch_codes"


class SwitchForm(forms.Form):
    """Why codes are switched off or on."""

    reason = forms.CharField(label=_("reason"), max_length=200)


@admin.register(Ask)
class AskAdmin(ReadOnlyAdmin):
    """The questions for codes, the newest first. Nobody sees a code: none is kept."""

    list_display = ("shown_asked_at", "masked_phone", "state", "gateway", "message_id", "reason", "parts")
    list_display_links = None
    list_filter = ("state",)
    list_select_related = ("registration",)
    ordering = ("-id",)
    search_fields: ClassVar[tuple[str, ...]] = ("request_id",)
    search_help_text = _("A phone number in any spelling, or a request_id")
    change_list_template = "dashboard/admin/codes.html"

    shown_asked_at = time_column("asked_at", _("asked at"))

    @admin.display(description=_("phone number"))
    def masked_phone(self, ask: Ask) -> str:
        if ask.registration is None:
            return ""
        return format_html('<bdi dir="ltr">{}</bdi>', phones.mask(ask.registration.phone_number))

    def find(self, rows: Any, term: str) -> Any:
        try:
            return rows.filter(registration__phone_number=phones.normalise(term))
        except phones.InvalidPhone:
            request_id = request_ids.parse(term)
            return rows.filter(request_id=request_id) if request_id else rows.none()

    def get_urls(self) -> list[URLPattern]:
        switch = self.admin_site.admin_view(self.switch)
        return [path("switch/", switch, name="confirmations_switch"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show how codes are now above the list."""
        context = {
            "now": codes.figures(),
            "may_switch": request.user.has_perm(MAY_SWITCH),
            "form": SwitchForm(),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def switch(self, request: HttpRequest) -> HttpResponse:
        """Switch all codes off or on, once that is in the audit log."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) and request.user.has_perm(MAY_SWITCH)):
            raise PermissionDenied
        form, is_off = SwitchForm(request.POST), "off" in request.POST
        if not form.is_valid():
            messages.error(request, gettext("Say why, for those who look later."))
            return redirect("admin:confirmations_ask_changelist")
        reason = form.cleaned_data["reason"]
        what = gettext_noop("switched codes off") if is_off else gettext_noop("switched codes on")
        audit.record(request, what, reason)
        switches.turn(is_off=is_off, reason=reason, by=request.user.get_username())
        said = (
            gettext("Codes are off. Who waits keeps the place in the line.")
            if is_off
            else gettext("Codes are on.")
        )
        messages.success(request, said)
        return redirect("admin:confirmations_ask_changelist")
