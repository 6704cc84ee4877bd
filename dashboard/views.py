"""The operator's pages: the live page and the trace. Staff only, by the same login as the admin."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from confirmations import campaigns
from dashboard import words
from dashboard.desk import second_factor, trace
from dashboard.live import counters, probes, snapshot
from landing.door import problems
from lib import phones, request_ids

SEES_SUBMISSIONS = "landing.view_storedsubmission"
"""The permission, beside being staff, to look at what single visitors have sent."""

PASS_LASTS = 3600
"""Seconds for which an open page goes on while PostgreSQL, which knows sessions and staff, is away."""

# A pass that was given while one factor was enough is not good any more when a second is required.
_PASS = signing.TimestampSigner(salt=f"ops, second factor {settings.ADMIN_SECOND_FACTOR}")

View = Callable[..., HttpResponseBase]


def for_staff(view: View) -> View:
    """Let staff in; ask everybody else to log in, as the admin does."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not second_factor.is_through(request):
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        return view(request, *args, **kwargs)

    return never_cache(guarded)


def for_who_sees_submissions(view: View) -> View:
    """Let in who is staff and may look at submissions."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.has_perm(SEES_SUBMISSIONS):
            return problems.answer(request, "forbidden")
        return view(request, *args, **kwargs)

    return for_staff(guarded)


@require_GET
@for_staff
def ops(request: HttpRequest) -> HttpResponse:
    """Show the live page. Its figures come from `state`."""
    shown = {"pass": _new_pass(request), "sends_codes": campaigns.any_confirms()}
    return render(request, "dashboard/ops.html", _context(request, "ops") | shown)


@require_GET
@never_cache
def state(request: HttpRequest) -> HttpResponse:
    """Answer the figures of this moment, and the points of the charts that begin at ?since= (a Unix time) or later.

    Who is staff is PostgreSQL's to say. While it is away, the pass counts that the page was given
    with its last answer: it is then that somebody needs to see what goes on.
    """
    # In this order: five servers are asked for nobody who has not shown something that only staff get.
    has_pass = _has_pass(request)
    if not (has_pass or _has_session(request)):
        return problems.answer(request, "forbidden")
    now = snapshot.now()
    knows = now["dependencies"]["postgresql"] == "ok"
    if not (second_factor.is_through(request) if knows else has_pass):
        return problems.answer(request, "forbidden")
    since = request.GET.get("since", "")
    try:
        points = snapshot.points(int(since) if since.isdecimal() and len(since) < 12 else 0)
        latency = snapshot.latency()
    except counters.Unavailable:
        points, latency = None, None
    answer = now | {"points": points, "latency": latency}
    return JsonResponse(answer | {"pass": _new_pass(request)} if knows else answer)


@require_http_methods(["GET", "HEAD", "POST"])
@for_who_sees_submissions
def search(request: HttpRequest) -> HttpResponse:
    """Ask for a request_id or a phone number. By POST: a phone number has no business in an address."""
    asked = request.POST.get("asked", "")[: phones.LONGEST_INPUT].strip()
    if request_id := request_ids.parse(asked):
        return redirect(f"{reverse('ops_trace', args=[request_id])}?lang={_language(request)}")
    found: dict[str, Any] = {}
    if request.method == "POST":
        found = _found_by_phone(asked)
    return _render_trace(request, {"asked": asked} | found)


@require_GET
@for_who_sees_submissions
def trace_of(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Show the timeline of one request."""
    return _render_trace(
        request, {"asked": str(request_id), "trace": trace.of(request_id), "request_id": request_id}
    )


def _found_by_phone(asked: str) -> dict[str, Any]:
    try:
        phone_number = phones.normalise(asked)
    except phones.InvalidPhone:
        return {"neither": True}
    submissions = trace.submissions_of(phone_number)
    # The number itself is not shown again, neither in the box nor above what was found.
    return {
        "asked": "",
        "phone": phones.mask(phone_number),
        "submissions": submissions,
        "cut": len(submissions) == trace.MOST_SUBMISSIONS and trace.MOST_SUBMISSIONS,
    }


def _render_trace(request: HttpRequest, found: dict[str, Any]) -> HttpResponse:
    context = _context(request, "ops_search") | found
    code = 400 if found.get("neither") else 200
    return render(request, "dashboard/trace.html", context, status=code)


def _context(request: HttpRequest, here: str) -> dict[str, Any]:
    language = _language(request)
    return {
        "texts": words.of(language),
        "language": language,
        "other_language": "en" if language == "fa" else "fa",
        "here": here,
    }


def _language(request: HttpRequest) -> str:
    chosen = request.GET.get("lang", "")
    return (
        chosen if chosen in ("fa", "en") else problems.language_of(request.headers.get("Accept-Language", ""))
    )


def _new_pass(request: HttpRequest) -> str:
    return _PASS.sign(str(request.user.pk))


def _has_pass(request: HttpRequest) -> bool:
    try:
        _PASS.unsign(request.headers.get("X-Ops-Pass", ""), max_age=PASS_LASTS)
    except signing.BadSignature:
        return False
    return True


def _has_session(request: HttpRequest) -> bool:
    """Return whether the session is of somebody on the staff, as far as PostgreSQL answers, which may be frozen."""
    cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    answers = bool(cookie) and probes.answers("postgresql", within=probes.DEADLINE)
    return answers and second_factor.is_through(request)
