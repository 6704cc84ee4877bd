"""The addresses of the landing page and of its API."""

from django.urls import path, re_path
from django.views.decorators.common import no_append_slash

from campaigns.definition import SLUG
from landing.views import CampaignRegisterView, RegisterView, StatusView, home, progress

ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
SLUG_PATTERN = SLUG.pattern

# What belongs to a campaign has two names, NAME for the default one and NAME_in_campaign: rendering.address().
urlpatterns = [
    path("", home, name="any_home"),
    re_path(r"^(?P<language>fa|en)/$", home, name="home"),
    re_path(rf"^(?P<language>fa|en)/registration/(?P<task_id>{ID})/$", progress, name="progress"),
    re_path(rf"^c/(?P<slug>{SLUG_PATTERN})/$", home, name="any_home_in_campaign"),
    re_path(rf"^c/(?P<slug>{SLUG_PATTERN})/(?P<language>fa|en)/$", home, name="home_in_campaign"),
    re_path(
        rf"^c/(?P<slug>{SLUG_PATTERN})/(?P<language>fa|en)/registration/(?P<task_id>{ID})/$",
        progress,
        name="progress_in_campaign",
    ),
    # Programs call these: a redirect would lose a registration's body, or cost a call for each question.
    path("api/register/", no_append_slash(RegisterView.as_view()), name="register"),
    re_path(
        rf"^api/register/(?P<slug>{SLUG_PATTERN})/$",
        no_append_slash(CampaignRegisterView.as_view()),
        name="register_in_campaign",
    ),
    path("api/register/<uuid:task_id>/", no_append_slash(StatusView.as_view()), name="status"),
]
