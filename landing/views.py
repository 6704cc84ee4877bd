"""The views: the API for requests that the express lane leaves to Django, and the visitors' pages."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns import sources
from campaigns.definition import DEFAULT, Campaign
from landing.door import openapi, problems, receipts, registering, senders, status
from landing.door.parsers import JsonParser
from landing.door.serializers import (
    CampaignRegistrationSerializer,
    RegistrationSerializer,
    StatusSerializer,
)
from landing.keeping import intake, proofs
from landing.keeping.refusals import TooManyRequests, Unavailable
from landing.page import branding, confirming, rendering
from landing.storing import backlog, lines
from landing.storing.task_states import State
from landing.submission import Submission
from lib.clock import now
from lib.texts import header_text

NOT_STORED = {"Cache-Control": "no-store"}
POSITION_CHANGES = 30
"""Seconds after which somebody who waits for a place wants to know how far they are."""


class RegisterView(APIView):
    parser_classes = [JsonParser, FormParser]
    serializer_class = RegistrationSerializer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse unknown campaigns, and bodies that are too large or compressed before they are read."""
        super().initial(request, *args, **kwargs)
        if kwargs.get("slug", DEFAULT) not in branding.campaigns():
            raise problems.Refused("not_found")
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.MAX_BODY:
            raise problems.Refused("too_large")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise problems.Refused("unsupported_media_type")

    @openapi.register
    def post(self, request: Request, slug: str = DEFAULT) -> Response:
        """Accept a registration. 202 means that it is kept, and will be stored whatever happens."""
        sent: Any = request.data  # both parsers give a mapping
        submission = submission_from(request, branding.campaigns()[slug], sent)
        intake.current().accept_from_thread(submission)
        return Response(
            receipts.receipt(submission.request_id),
            status=202,
            headers=NOT_STORED
            | {
                "Location": receipts.status_url(submission.request_id),
                "X-Request-ID": submission.request_id,
            },
        )


class CampaignRegisterView(RegisterView):
    serializer_class = CampaignRegistrationSerializer

    @openapi.register_in
    def post(self, request: Request, slug: str = DEFAULT) -> Response:
        """Accept a registration for a campaign."""
        return super().post(request, slug)


class StatusView(APIView):
    serializer_class = StatusSerializer

    @openapi.status
    def get(self, request: Request, task_id: UUID) -> Response:
        """Return Processing, Registered or Failed; 404 for an id that was never given out."""
        known = status.of(str(task_id))
        if known is None:
            raise problems.Refused("not_found")
        if known.state is State.ERASED:
            raise problems.Refused("erased")
        waits = known.state is State.WAITING
        headers = NOT_STORED | ({"Retry-After": str(backlog.retry_after())} if waits else {})
        return Response(status.body(str(task_id), known), headers=headers)


def submission_from(
    request: Request | HttpRequest, campaign: Campaign, sent: Mapping[str, Any], form_key: str = ""
) -> Submission:
    """Return the submission that a request to a campaign makes of what was sent.

    form_key: the Idempotency-Key of a form, which cannot send the header. Raises what registering.judge() does, and
    problems.Refused for an Idempotency-Key that is too long.
    """
    time = now()
    phone_number, details = registering.judge(
        campaign, sent, request.headers.get("Accept-Language", ""), time
    )
    key = request.headers.get("Idempotency-Key", "") or form_key
    if len(key) > receipts.LONGEST_KEY:
        raise problems.Refused("invalid_idempotency_key")
    request_id = receipts.request_id_for(key, phone_number, campaign.slug)
    return Submission(
        phone_number=phone_number,
        request_id=request_id,
        ip_address=senders.ip_of(request),
        referrer=_header(request, "Referer"),
        user_agent=_header(request, "User-Agent"),
        accepted_at=time,
        campaign=campaign.slug,
        details=details,
        has_proof=proofs.has_proof(sent, request_id),
    )


@gzip_page  # nothing secret is in it
@csrf_exempt  # it uses no cookie, so another site gains nothing by sending it for a visitor
def home(request: HttpRequest, language: str = "", slug: str = DEFAULT) -> HttpResponse:
    """Show a campaign's page; take its form from browsers without JavaScript."""
    if slug not in branding.campaigns():
        raise Http404
    language = language or problems.language_of(request.headers.get("Accept-Language", ""))
    if request.method != "POST":
        return rendering.render_home(request, language, slug)
    page = branding.current(slug)
    if page.show["consent"] and "consent" not in request.POST:
        no_consent = page.texts[language]["problems"]["no_consent"]
        return rendering.render_home(request, language, slug, 400, no_consent)
    # Without JavaScript only the address that the form was sent from tells where the visitor came from.
    source = sources.of_address(request.headers.get("Referer", ""))
    sent = request.POST.dict() | {"source": source, "phone_number": request.POST.get("phone_number", "")}
    try:
        submission = submission_from(request, page.campaign, sent, request.POST.get("key", ""))
        intake.current().accept_from_thread(submission)
    except problems.Refused:
        # Only somebody who wrote their own form sends such a key: no page for it.
        return problems.answer(request, "invalid_idempotency_key")
    except (ValueError, TooManyRequests, Unavailable) as error:
        return _refused(request, language, slug, error)
    return redirect(rendering.address("progress", slug, language, submission.request_id))


def _refused(request: HttpRequest, language: str, slug: str, error: Exception) -> HttpResponse:
    """Return the page with what is wrong, or what to wait for."""
    if (code := problems.code_of(error)) is None:
        raise error
    problems.count_refusal(code)
    problem = problems.body(code, "", language, error)
    answer = rendering.render_home(request, language, slug, problem["status"], problem["detail"])
    for name, value in problems.retry_headers(error).items():
        answer.headers[name] = value
    return answer


@gzip_page
@require_safe
def progress(request: HttpRequest, language: str, task_id: UUID, slug: str = DEFAULT) -> HttpResponse:
    """Show a registration's state to browsers without JavaScript."""
    known = status.of(str(task_id))
    if known is None or slug not in branding.campaigns():
        return problems.answer(request, "not_found")
    if known.state is State.ERASED:
        return problems.answer(request, "erased")
    place = lines.place_of(known.campaign, known.number) or {}
    code = known.more.get("confirmation")
    said = request.GET.get("wrong", ""), "asked" in request.GET
    confirmation = confirming.shown(code, language, slug, *said) if code else None
    context = {
        "task_id": str(task_id),
        "state": known.state.shown,
        "place": rendering.place_words(place, language, slug),
        "refresh": confirmation["refresh"] if confirmation else _refresh(known.state, place),
        "confirmation": confirmation,
        "status_url": receipts.status_url(str(task_id)),
        "home_url": rendering.address("home", slug, language),
        "other_url": rendering.address("progress", slug, rendering.other(language), str(task_id)),
    }
    answer = rendering.render_page(request, "landing/progress.html", language, slug, context)
    answer.headers["Cache-Control"] = "no-store, no-transform"
    return answer


def _refresh(state: State, place: Mapping[str, Any]) -> int | None:
    """Return after how many seconds the page of a registration is loaded again, or None if nothing changes there."""
    if state is State.WAITING:
        return backlog.retry_after() + 1
    return POSITION_CHANGES if "position" in place else None


def _header(request: Request | HttpRequest, name: str) -> str:
    # WSGI hands headers over as Latin-1 text, whatever bytes they were.
    return header_text(request.headers.get(name, "").encode("latin-1", "replace"))
