"""The addresses of the operator's pages."""

from django.urls import path

from dashboard import views

urlpatterns = [
    path("", views.ops, name="ops"),
    path("state/", views.state, name="ops_state"),
    path("trace/", views.search, name="ops_search"),
    path("trace/<uuid:request_id>/", views.trace_of, name="ops_trace"),
]
