"""The addresses of codes."""

from django.urls import path, re_path
from django.views.decorators.common import no_append_slash

from confirmations.views import AskView, ConfirmView, confirm_page
from landing.urls import ID, SLUG_PATTERN

urlpatterns = [
    path("api/register/<uuid:task_id>/code/", no_append_slash(AskView.as_view()), name="ask_for_code"),
    path("api/register/<uuid:task_id>/confirm/", no_append_slash(ConfirmView.as_view()), name="confirm"),
    re_path(
        rf"^(?P<language>fa|en)/registration/(?P<task_id>{ID})/confirm/$", confirm_page, name="confirm_page"
    ),
    re_path(
        rf"^c/(?P<slug>{SLUG_PATTERN})/(?P<language>fa|en)/registration/(?P<task_id>{ID})/confirm/$",
        confirm_page,
        name="confirm_page_in_campaign",
    ),
]
