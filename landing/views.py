"""The views: the API for requests that the express lane leaves to Django, and the visitors' pages."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from landing.door import openapi, problems, receipts, status
from landing.door.parsers import JsonParser
from landing.door.serializers import RegistrationSerializer, StatusSerializer
from landing.keeping import intake
from landing.keeping.refusals import TooManyRequests, Unavailable
from landing.page import branding, rendering
from landing.storing import backlog
from landing.storing.task_states import State
from landing.submission import Submission
from lib import phones
from lib.client_ip import client_ip
from lib.clock import now
from lib.texts import header_text

NOT_STORED = {"Cache-Control": "no-store"}


class RegisterView(APIView):
    parser_classes = [JsonParser, FormParser]
    serializer_class = RegistrationSerializer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse bodies that are too large or compressed before they are read."""
        super().initial(request, *args, **kwargs)
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.MAX_BODY:
            raise problems.Refused("too_large")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise problems.Refused("unsupported_media_type")

    @openapi.register
    def post(self, request: Request) -> Response:
        """Accept a registration. 202 means that it is kept, and will be stored whatever happens."""
        fields = RegistrationSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        submission = submission_from(request, fields.validated_data["phone_number"])
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


class StatusView(APIView):
    serializer_class = StatusSerializer

    @openapi.status
    def get(self, request: Request, task_id: UUID) -> Response:
        """Return Processing, Registered or Failed; 404 for an id that was never given out."""
        state = status.of(str(task_id))
        if state is None:
            raise problems.Refused("not_found")
        headers = NOT_STORED | ({"Retry-After": str(backlog.retry_after())} if state is State.WAITING else {})
        return Response({"task_id": str(task_id), "status": state.shown}, headers=headers)


def submission_from(request: Request | HttpRequest, phone_number: str, form_key: str = "") -> Submission:
    """Return the submission that a request makes of a phone number in its canonical form.

    form_key: the Idempotency-Key of a form, which cannot send the header.
    Raises problems.Refused for an Idempotency-Key that is too long.
    """
    key = request.headers.get("Idempotency-Key", "") or form_key
    if len(key) > receipts.LONGEST_KEY:
        raise problems.Refused("invalid_idempotency_key")
    return Submission(
        phone_number=phone_number,
        request_id=receipts.request_id_for(key, phone_number),
        ip_address=client_ip(
            request.META.get("REMOTE_ADDR", ""),
            request.headers.get("X-Forwarded-For", ""),
            settings.TRUSTED_PROXIES,
        ),
        referrer=_header(request, "Referer"),
        user_agent=_header(request, "User-Agent"),
        accepted_at=now(),
    )


@gzip_page  # nothing secret is in it
@csrf_exempt  # it uses no cookie, so another site gains nothing by sending it for a visitor
def home(request: HttpRequest, language: str = "") -> HttpResponse:
    """Show the landing page; take its form from browsers without JavaScript."""
    language = language or problems.language_of(request.headers.get("Accept-Language", ""))
    if request.method != "POST":
        return rendering.render_home(request, language)
    typed = request.POST.get("phone_number", "")
    if branding.current().show["consent"] and "consent" not in request.POST:
        no_consent = branding.current().texts[language]["problems"]["no_consent"]
        return rendering.render_home(request, language, 400, typed, no_consent)
    try:
        submission = submission_from(request, phones.normalise(typed), request.POST.get("key", ""))
        intake.current().accept_from_thread(submission)
    except problems.Refused:
        # Only somebody who wrote their own form sends such a key: no page for it.
        return problems.answer(request, "invalid_idempotency_key")
    except (phones.InvalidPhone, TooManyRequests, Unavailable) as error:
        code = problems.code_of(error) or ""
        problems.count_refusal(code)
        problem = problems.body(code, "", language, getattr(error, "reason", ""))
        answer = rendering.render_home(request, language, problem["status"], typed, problem["detail"])
        for name, value in problems.retry_headers(error).items():
            answer.headers[name] = value
        return answer
    return redirect("progress", language, submission.request_id)


@gzip_page
@require_safe
def progress(request: HttpRequest, language: str, task_id: UUID) -> HttpResponse:
    """Show a registration's state to browsers without JavaScript."""
    state = status.of(str(task_id))
    if state is None:
        return problems.answer(request, "not_found")
    context = {
        "task_id": str(task_id),
        "state": state.shown,
        "refresh": backlog.retry_after() + 1,
        "status_url": receipts.status_url(str(task_id)),
        "home_url": reverse("home", args=[language]),
    }
    answer = rendering.render_page(request, "landing/progress.html", language, context)
    answer.headers["Cache-Control"] = "no-store, no-transform"
    return answer


def _header(request: Request | HttpRequest, name: str) -> str:
    # WSGI hands headers over as Latin-1 text, whatever bytes they were.
    return header_text(request.headers.get(name, "").encode("latin-1", "replace"))
