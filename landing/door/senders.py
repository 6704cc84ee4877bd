"""Who sent a request, for Django's side."""

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

from lib.client_ip import client_ip


def ip_of(request: Request | HttpRequest) -> str:
    """Return the sender's address, as far as TRUSTED_PROXIES are believed."""
    return client_ip(
        request.META.get("REMOTE_ADDR", ""),
        request.headers.get("X-Forwarded-For", ""),
        settings.TRUSTED_PROXIES,
    )
