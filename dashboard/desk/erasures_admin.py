"""Erasures in the admin: somebody is named, what there is of them is shown, and the number is typed again.

The web may only ask. `manage.py erase --asked` does it, with the toolbox's rights: an intruder in the web, which every
visitor reaches, could else delete all registrations, and no process gets a right that it lacked.
"""

from dataclasses import asdict
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from dashboard.desk import persons
from dashboard.desk.persons import Held
from dashboard.models import ErasureRequest
from landing import words
from landing.desk import audit
from landing.desk.admin import ReadOnlyAdmin, time_column
from landing.door.problems import PHONE_REASONS
from landing.keeping import queues
from lib import phones
from logs.utils import StoreUnavailable

MAY_ERASE = "dashboard.erase_person"

LOOKED_AT = 200
"""Dead letters that are counted for the page; the command looks at all."""

STORES = {
    "registrations": _("registrations"),
    "submissions": _("submissions"),
    "documents": _("request logs"),
    "exports": _("files of exports, which may hold anybody"),
    "dead_letters": _("dead letters, only the oldest counted"),
}
"""What staff read of the fields of Held."""


class PhoneField(forms.CharField):
    """A phone number in any spelling."""

    widget = forms.TextInput({"dir": "ltr", "inputmode": "tel", "autocomplete": "off", "class": "vTextField"})

    def clean(self, value: Any) -> Any:
        """Return the number in its canonical form."""
        try:
            return phones.normalise(super().clean(value))
        except phones.InvalidPhone as error:
            raise ValidationError(PHONE_REASONS[error.reason]) from None


class PersonForm(forms.Form):
    """Who is to be erased."""

    phone_number = PhoneField(
        label=_("phone number"), help_text=_("As the person has told you; in any spelling.")
    )


class SureForm(forms.Form):
    """The same number, typed a second time: nobody is erased by a click."""

    phone_number = PhoneField(widget=forms.HiddenInput)
    again = PhoneField(label=_("Type the phone number again"))

    def clean(self) -> dict[str, Any]:
        """Refuse another number."""
        typed = super().clean() or {}
        if "again" in typed and typed["again"] != typed.get("phone_number"):
            self.add_error("again", gettext("This is not the number from before."))
        return typed


@admin.register(ErasureRequest)
class ErasureAdmin(ReadOnlyAdmin):
    """Who asked for which erasure, and whether it is done."""

    list_display = ("id", "shown_requested_at", "requested_by", "masked_phone", "shown_erased_at")
    list_display_links = None
    ordering = ("-id",)
    search_fields: ClassVar[tuple[str, ...]] = ()

    shown_requested_at = time_column("requested_at", _("asked at"))
    shown_erased_at = time_column("erased_at", _("erased at"))

    @admin.display(description=_("phone number"))
    def masked_phone(self, asked: ErasureRequest) -> str:
        if asked.erased_at:
            return ""
        return format_html('<bdi dir="ltr">{}</bdi>', phones.mask(asked.phone_number))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One permission is for all of it."""
        return request.user.has_perm(MAY_ERASE)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """One permission is for all of it."""
        return request.user.has_perm(MAY_ERASE)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """One permission is for all of it."""
        return request.user.has_perm(MAY_ERASE)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask who is meant; show what there is, and ask for the number again; write it down for the command."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        person = PersonForm(request.POST or None)
        if not person.is_valid():
            return self._page(request, {"form": person})
        phone_number = person.cleaned_data["phone_number"]
        try:
            held = persons.count(phone_number, "", LOOKED_AT)
        except (StoreUnavailable, *queues.OUTAGES):
            said = gettext("A server does not answer. Nothing was asked for: try again.")
            messages.error(request, said)
            return self._page(request, {"form": person}, status=503)
        sure = SureForm(request.POST if "again" in request.POST else None, initial=person.cleaned_data)
        if not sure.is_valid():
            return self._page(request, {"form": sure, **_told(phone_number, held)})
        self._ask(request, phone_number, held)
        return redirect("admin:dashboard_erasurerequest_changelist")

    def _ask(self, request: HttpRequest, phone_number: str, held: Held) -> None:
        """Write down that a person is to be erased: with its audit entry, or not at all."""
        with transaction.atomic():
            asked, is_new = ErasureRequest.objects.get_or_create(
                phone_number=phone_number,
                erased_at=None,
                defaults={"requested_by": request.user.get_username()},
            )
            about = f"erasure {asked.pk}: {held.registrations} registrations, {held.submissions} submissions"
            audit.record(request, gettext_noop("asked to erase a person"), about, asked)
        if is_new:
            messages.success(
                request, gettext("Asked for. It is done when `manage.py erase --asked` runs next.")
            )
        else:
            messages.warning(request, gettext("This person's erasure was asked for before and still waits."))

    def _page(self, request: HttpRequest, context: dict[str, Any], status: int = 200) -> HttpResponse:
        title = {"title": gettext("Erase a person"), "opts": self.opts}
        whole = self.admin_site.each_context(request) | title | context
        return render(request, "dashboard/admin/erase.html", whole, status=status)


def _told(phone_number: str, held: Held) -> dict[str, Any]:
    question = gettext("Erase {phone} for good, in all campaigns?")
    return {
        "question": words.fill(question, phone=f"\u2066{phones.mask(phone_number)}\u2069"),
        "held": [(STORES[name], count) for name, count in asdict(held).items()],
        "stays": [(gettext(what), gettext(until)) for what, until in persons.STAYS.items()],
    }
