"""All addresses, and the error answers of everything that is not a DRF view."""

import sys
import threading
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.generic import RedirectView
from django.views.i18n import set_language
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.desk import login
from landing.door import problems


class SchemaView(SpectacularAPIView):
    """The OpenAPI schema, made by one thread at a time: drf-spectacular loads its extensions unguarded."""

    _making = threading.Lock()

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with self._making:
            response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
            return response


urlpatterns = [
    path("", include("landing.urls")),
    path("", include("confirmations.urls")),
    path("favicon.ico", RedirectView.as_view(url="/static/landing/favicon.svg")),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("admin/language/", set_language, name="admin_language"),
    path("admin/", admin.site.urls),
    path("ops/", include("dashboard.urls")),
]


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django refuses, such as one with a foreign Host."""
    return problems.answer(request, "bad_request")


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request without the right to what it asks for."""
    return problems.answer(request, "forbidden")


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address where there is nothing."""
    return problems.answer(request, "not_found")


def handler500(request: HttpRequest) -> HttpResponse:
    """Answer an error of ours, with the request's id and nothing else."""
    # A middleware's error, such as a session that cannot be saved, passes by RefusalMiddleware.
    if page := login.refusal(request, sys.exception()):
        return page
    return problems.answer(request, "internal")
