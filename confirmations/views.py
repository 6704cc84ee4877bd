"""The two addresses of a confirmation, and the same for browsers without JavaScript."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns.definition import DEFAULT
from confirmations import codes, door, openapi
from confirmations.serializers import AskedSerializer, CodeSerializer
from landing.door import problems, receipts
from landing.door.parsers import JsonParser
from landing.keeping.refusals import Unavailable
from landing.page import rendering
from landing.storing.task_states import Known
from landing.views import NOT_STORED


class AskView(APIView):
    serializer_class = AskedSerializer

    @openapi.ask
    def post(self, request: Request, task_id: UUID) -> Response:
        """Keep a question for a code."""
        language = problems.language_of(request.headers.get("Accept-Language", ""))
        known = door.ask(request, str(task_id), language)
        told = known.more.get("confirmation")
        # What the page has not heard yet: the question is kept, and a worker puts it into the line.
        is_told = told and told["status"] != "unasked"
        return _kept(task_id, known, told if is_told else {"status": "waiting"})


class ConfirmView(APIView):
    parser_classes = [JsonParser, FormParser]
    serializer_class = CodeSerializer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse a body that is too large before it is read."""
        super().initial(request, *args, **kwargs)
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.MAX_BODY:
            raise problems.Refused("too_large")

    @openapi.confirm
    def post(self, request: Request, task_id: UUID) -> Response:
        """Keep a typed code."""
        sent: Any = request.data
        key = request.headers.get("Idempotency-Key", "")
        if len(key) > receipts.LONGEST_KEY:
            raise problems.Refused("invalid_idempotency_key")
        try:
            code = codes.read(sent.get("code"))
        except codes.InvalidCode as error:
            raise problems.Refused("invalid_code", reason=error.reason) from None
        known, try_id = door.type_code(str(task_id), code, key)
        return _kept(task_id, known, {"status": "checking", "try": try_id})


def _kept(task_id: UUID, known: Known, confirmation: Any) -> Response:
    body = {
        "task_id": str(task_id),
        "status": known.state.shown,
        "status_url": receipts.status_url(str(task_id)),
        "confirmation": confirmation,
    }
    return Response(body, status=202, headers=NOT_STORED)


@csrf_exempt  # it uses no cookie: the id of the registration, which only its page knows, is what lets in
@require_http_methods(["GET", "POST"])
def confirm_page(request: HttpRequest, language: str, task_id: UUID, slug: str = DEFAULT) -> HttpResponse:
    """Take the two buttons of a registration's page: "send me a code", and the code itself. Back to the page.

    A GET is the page's refresh while somebody waits in line: they are still there.
    """
    said = ""
    try:
        if "code" in request.POST:
            door.type_code(str(task_id), codes.read(request.POST["code"]), request.POST.get("key", "")[:255])
        else:
            door.ask(request, str(task_id), language)
            said = "?asked"
    except codes.InvalidCode as error:
        said = f"?wrong={error.reason}"
    except (problems.Refused, Unavailable) as error:
        code = problems.code_of(error)
        assert code is not None
        return problems.answer(request, code, problems.retry_headers(error))
    return redirect(rendering.address("progress", slug, language, str(task_id)) + said)
