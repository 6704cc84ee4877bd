"""Validates, dispatches, answers; tells what became of a task; serves the page."""

import uuid

from celery.result import AsyncResult
from django.http import HttpRequest, HttpResponse
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tools.bench.peers import page as landing_page
from tools.bench.peers.document.celery import app
from tools.bench.peers.document.serializers import RegistrationSerializer
from tools.bench.peers.document.tasks import save_phone_async


class RegisterView(APIView):
    """Registers a phone number."""

    def post(self, request: Request) -> Response:
        """Hand the registration to Celery and answer at once."""
        serializer = RegistrationSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        request_id = str(uuid.uuid4())
        forwarded = request.headers.get("X-Forwarded-For", "")
        ip_address = forwarded.split(",")[-1].strip() or request.META["REMOTE_ADDR"]
        referrer = request.headers.get("Referer", "")
        task = save_phone_async.delay(
            serializer.validated_data["phone_number"], request_id, ip_address, referrer
        )
        return Response(
            {"task_id": task.id, "request_id": request_id, "status": "Processing"},
            status=status.HTTP_202_ACCEPTED,
        )


class StatusView(APIView):
    """Tells what became of a registration."""

    def get(self, request: Request, task_id: uuid.UUID) -> Response:
        """Ask Celery's result backend."""
        is_stored = AsyncResult(str(task_id), app=app).successful()
        return Response({"task_id": str(task_id), "status": "Registered" if is_stored else "Processing"})


def page(request: HttpRequest) -> HttpResponse:
    """Serve the landing page."""
    return HttpResponse(landing_page.BODY, headers=landing_page.HEADERS)
