"""The one route."""

from django.urls import path

from tools.bench.peers.drf_sync.views import RegisterView

urlpatterns = [path("api/register/", RegisterView.as_view())]
