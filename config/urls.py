"""All addresses, and the error answers of everything that is not a DRF view."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from landing import problems

urlpatterns = [
    path("", include("landing.urls")),
    path("favicon.ico", RedirectView.as_view(url="/static/landing/favicon.svg")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("admin/", admin.site.urls),
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
    return problems.answer(request, "internal")
