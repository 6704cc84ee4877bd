"""The addresses of the landing page and of its API."""

from django.urls import path, re_path
from django.views.decorators.common import no_append_slash

from landing.views import RegisterView, StatusView, home, progress

urlpatterns = [
    path("", home, name="any_home"),
    re_path(r"^(?P<language>fa|en)/$", home, name="home"),
    re_path(
        r"^(?P<language>fa|en)/registration/(?P<task_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/$",
        progress,
        name="progress",
    ),
    # Programs call these: a redirect would lose a registration's body, or cost a call for each question.
    path("api/register/", no_append_slash(RegisterView.as_view()), name="register"),
    path("api/register/<uuid:task_id>/", no_append_slash(StatusView.as_view()), name="status"),
]
