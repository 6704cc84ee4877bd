"""Django's outermost layer: a request id, a language, and one log line for each request."""

import logging
import re
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.common import CommonMiddleware
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers

from landing.door import problems
from lib import request_ids
from lib.texts import inert

log = logging.getLogger("breakwater.request")

# A phone number in any spelling; the groups of a UUID stand between hyphens.
_LONG_NUMBER = re.compile(r"(?<![\w-])\d{9,}(?![\w-])")

Handler = Callable[[HttpRequest], HttpResponse]


class RequestMiddleware:
    """Gives each request an id, names it in X-Request-ID and in the log, and chooses its language.

    A client's own X-Request-ID is not taken over: who chooses an id could take somebody else's.
    """

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer and log one request."""
        started = time.perf_counter()
        request_id = request_ids.new(settings.SECRET_KEY.encode())
        request.META["breakwater.request_id"] = request_id
        language = _language_of(request)
        with translation.override(language), timezone.override(settings.DISPLAY_TIME_ZONE):
            response = self._get_response(request)
        patch_vary_headers(response, ["Accept-Language"])
        response.headers.setdefault("Content-Language", language)
        # An accepted registration names its own, which an Idempotency-Key may have fixed before.
        response.headers.setdefault("X-Request-ID", request_id)
        request_id = response.headers["X-Request-ID"]
        log.info(
            "request",
            extra={
                "request_id": request_id,
                "method": inert(request.method or ""),
                "path": _LONG_NUMBER.sub("***", inert(request.path)),
                "status": response.status_code,
                "milliseconds": round((time.perf_counter() - started) * 1000, 1),
            },
        )
        return response


class SlashMiddleware(CommonMiddleware):
    """Leads from a page's address without its last slash to the page: people, mails and chat programs drop it."""

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        """Return whether to redirect: never what has a body, which the redirect would lose."""
        return request.method in ("GET", "HEAD") and super().should_redirect_with_slash(request)


def _language_of(request: HttpRequest) -> str:
    """Return what was chosen in the admin, or what the browser asks for."""
    chosen = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME)
    if chosen in dict(settings.LANGUAGES):
        return str(chosen)
    return problems.language_of(request.headers.get("Accept-Language", ""))
