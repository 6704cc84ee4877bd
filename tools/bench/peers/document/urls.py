"""The routes."""

from django.urls import path

from tools.bench.peers.document.views import RegisterView, StatusView, page

urlpatterns = [
    path("fa/", page),
    path("api/register/", RegisterView.as_view()),
    path("api/register/<uuid:task_id>/", StatusView.as_view()),
    path("livez", page),
]
