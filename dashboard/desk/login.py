"""The staff's door: a password, then a code where one is due. /ops/ is behind the same door as /admin/."""

import logging
from math import ceil
from typing import Any

import django_otp
from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import logout
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils import translation
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice

from dashboard.desk import login_limits, second_factor
from dashboard.desk.login_limits import TooManyTries
from dashboard.live import probes
from landing import words
from landing.desk import audit
from landing.keeping.refusals import Unavailable

log = logging.getLogger(__name__)

PATHS = ("/admin/", "/ops/")

RETRY_AFTER = 10
"""Seconds after which a page is asked for again when PostgreSQL, which knows staff, is away."""

PATIENCE = 3.0
"""Seconds that PostgreSQL is given to answer, as to connect: under load it may be slow."""

_page = [never_cache, csrf_protect, sensitive_post_parameters()]


class CountedBackend(ModelBackend):
    """Checks passwords as Django does, and counts wrong ones. Raises what login_limits.counted does."""

    def authenticate(  # type: ignore[override]  # Django's two base classes differ themselves
        self, request: HttpRequest | None, **credentials: Any
    ) -> User | None:
        """Return the account that the password is right for, or None."""
        username, password = credentials.get("username"), credentials.get("password")
        if request is None or username is None or password is None:  # not typed at the door
            return super().authenticate(request, **credentials)
        with login_limits.counted(request, "password", username) as attempt:
            account = super().authenticate(request, username, password)
            attempt.was_wrong = account is None
        if account is None:
            # A name that is no account's may be a password: it is written nowhere.
            is_known = User.objects.filter(username=username).exists()
            name = username if is_known else None
            log.warning("audit", extra={"user": name, "what": "entered a wrong password"})
        return account


class CodeForm(forms.Form):
    """A code of the second factor, or a backup code."""

    code = forms.CharField(
        label=_("Code"),
        max_length=second_factor.LONGEST_CODE,
        widget=forms.TextInput({"autocomplete": "one-time-code", "autofocus": True, "dir": "ltr"}),
    )


class StaffSite(admin.AdminSite):
    """Django's admin with a second factor."""

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether a request may see the admin."""
        return second_factor.is_through(request)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Add the pages of the second factor, which ask by themselves who may see them."""
        return [
            path("second-factor/", self.second_factor, name="second_factor"),
            path("second-factor/own/", self.own_second_factor, name="own_second_factor"),
            *super().get_urls(),
        ]

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Ask for name and password; an account that still owes a code is led to its page."""
        if request.method == "GET" and second_factor.is_staff(request) and not self.has_permission(request):
            return _redirect("second_factor", request)
        response = super().login(request, extra_context)
        if request.method == "POST" and response.status_code == 302 and self.has_permission(request):
            self._let_in(request, response, gettext_noop("logged in"))
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Change the password: the old one is asked for, so wrong ones count here too."""
        if request.method != "POST":
            return super().password_change(request, extra_context)
        with login_limits.counted(request, "password", request.user.get_username()) as attempt:
            response = super().password_change(request, extra_context)
            form = (getattr(response, "context_data", None) or {}).get("form")
            attempt.was_wrong = form is not None and "old_password" in form.errors
        return response

    @method_decorator(_page)
    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """Ask for the code that is due after the password."""
        if not second_factor.is_staff(request):
            return redirect_to_login(_next(request), reverse("admin:login"))
        if second_factor.is_through(request):
            return redirect(_next(request))
        if not second_factor.has_device(request.user):
            return _redirect("own_second_factor", request)
        if "leave" in request.POST:
            logout(request)
            return redirect("admin:login")
        form = CodeForm(request.POST or None)
        if form.is_valid() and (device := _matching(request, form)):
            return self._verified(request, device, redirect(_next(request)))
        context = {"title": _("Second factor"), "form": form, "next": _next(request)}
        return render(request, "dashboard/admin/second_factor.html", self.each_context(request) | context)

    @method_decorator(_page)
    def own_second_factor(self, request: HttpRequest) -> HttpResponse:
        """Set up a second factor of one's own, or change what is set up."""
        if not second_factor.is_staff(request):
            return redirect_to_login(_next(request), reverse("admin:login"))
        if "leave" in request.POST:
            logout(request)
            return redirect("admin:login")
        if not second_factor.has_device(request.user):
            return self._set_up(request)
        if not second_factor.is_through(request):
            return _redirect("second_factor", request)
        return self._change(request)

    def _set_up(self, request: HttpRequest) -> HttpResponse:
        form = CodeForm(request.POST or None)
        if form.is_valid():
            if device := second_factor.prove(request, form.cleaned_data["code"]):
                audit.record(request, gettext_noop("added a second factor"), "own account")
                return self._verified(request, device, self._show_backup_codes(request))
            form.add_error("code", gettext("That code is wrong. Is the phone's clock right?"))
        device = second_factor.unsaved(request)
        context = {
            "title": _("Set up a second factor"),
            "form": form,
            "next": _next(request),
            "qr_code": second_factor.qr_code(device),
            "key": second_factor.readable_key(device),
            "required": settings.ADMIN_SECOND_FACTOR == "required",
        }
        return render(
            request, "dashboard/admin/second_factor_setup.html", self.each_context(request) | context
        )

    def _change(self, request: HttpRequest) -> HttpResponse:
        form = CodeForm(request.POST or None)
        if form.is_valid() and _matching(request, form):
            if request.POST.get("act") == "remove":
                audit.record(request, gettext_noop("removed the second factor"), "own account")
                second_factor.remove(request.user.pk)
                return redirect("admin:own_second_factor")
            audit.record(request, gettext_noop("made new backup codes"), "own account")
            return self._show_backup_codes(request)
        context = {
            "title": _("Second factor"),
            "form": form,
            "has_codes": words.fill(
                gettext("Your account has a second factor. Backup codes left: {left}."),
                left=second_factor.backup_codes_left(request.user),
            ),
        }
        return render(request, "dashboard/admin/second_factor_own.html", self.each_context(request) | context)

    def _show_backup_codes(self, request: HttpRequest) -> HttpResponse:
        codes = second_factor.new_backup_codes(request.user)
        context = {"title": _("Backup codes"), "codes": codes, "next": _next(request)}
        return render(request, "dashboard/admin/backup_codes.html", self.each_context(request) | context)

    def _verified(self, request: HttpRequest, device: Device, response: HttpResponse) -> HttpResponse:
        django_otp.login(request, device)
        request.session.cycle_key()  # a session's id from before the code opens nothing
        by_backup = isinstance(device, StaticDevice)
        how = (
            gettext_noop("logged in with a backup code")
            if by_backup
            else gettext_noop("logged in with a second factor")
        )
        self._let_in(request, response, how)
        return response

    def _let_in(self, request: HttpRequest, response: HttpResponse, how: str) -> None:
        audit.record(request, how, "login")
        login_limits.remember_browser(request, response)


class RefusalMiddleware:
    """Answers with a page where the door cannot open: too many wrong tries, or a store that is away."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass a request on, unless PostgreSQL would keep it waiting: frozen, it never answers a statement."""
        # The live page's figures look at PostgreSQL themselves, and are shown without it.
        asks = request.path.startswith(PATHS) and request.path != reverse("ops_state")
        if asks and not probes.answers("postgresql", within=PATIENCE):
            return _without_postgresql()
        response: HttpResponse = self._get_response(request)
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return the page for an error that is ours to explain."""
        return refusal(request, error)


def refusal(request: HttpRequest, error: BaseException | None) -> HttpResponse | None:
    """Return the page for what keeps staff out for a while, or None for any other error."""
    if isinstance(error, TooManyTries):
        minutes = ceil(error.retry_after / 60)
        text = words.fill(
            gettext("Wait {minutes} minutes, then try again. From elsewhere you can log in."), minutes=minutes
        )
        return _refused(429, error.retry_after, gettext("Too many wrong tries"), text)
    if isinstance(error, (DatabaseError, Unavailable)) and request.path.startswith(PATHS):
        return _without_postgresql()
    return None


def _without_postgresql() -> HttpResponse:
    log.warning("the staff's pages wait for PostgreSQL")
    text = gettext("The database does not answer. Registrations are accepted all the same.")
    return _refused(503, RETRY_AFTER, gettext("Try again in a moment"), text)


def _refused(status: int, retry_after: float, title: str, text: str) -> HttpResponse:
    """Answer with a page that asks no store: neither a session nor an account is looked at."""
    language = translation.get_language() or settings.LANGUAGE_CODE
    context = {"title": title, "text": text, "language": language, "direction": _direction(language)}
    return HttpResponse(
        render_to_string("dashboard/admin/refused.html", context),
        status=status,
        headers={"Retry-After": str(max(1, ceil(retry_after))), "Cache-Control": "no-store"},
    )


def _direction(language: str) -> str:
    return "rtl" if language == "fa" else "ltr"


def _matching(request: HttpRequest, form: CodeForm) -> Device | None:
    """Return the device whose code was typed, or None with the form's error."""
    with login_limits.counted(request, "code", request.user.get_username()) as attempt:
        device = second_factor.matching(request.user, form.cleaned_data["code"])
        attempt.was_wrong = device is None
    if device is None:
        audit.record(request, gettext_noop("entered a wrong code"), "login")
        form.add_error("code", gettext("That code is wrong, or has been used."))
    return device


def _next(request: HttpRequest) -> str:
    """Return the page that was asked for before the door, if it is one of ours."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(asked, {request.get_host()}, request.is_secure()):
        return asked
    return reverse("admin:index")


def _redirect(name: str, request: HttpRequest) -> HttpResponse:
    return redirect_to_login(_next(request), reverse(f"admin:{name}"))
