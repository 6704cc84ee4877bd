"""What only a proxy may say about a visitor is not believed of a stranger."""

import asyncio
from typing import Any

import httpx
import pytest
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from config import asgi
from config.asgi import application

pytestmark = pytest.mark.django_db(transaction=True)

PROXY, STRANGER = "10.0.0.5", "203.0.113.66"
CLAIMS = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "444",
    "Forwarded": "for=192.0.2.1;proto=https;host=evil.example",
}


async def _log_in(peer: str, claims: dict[str, Any]) -> Any:
    transport = httpx.ASGITransport(application, client=(peer, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as browser:
        await browser.get("/admin/login/")
        form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"], "username": "nobody", "password": "x"}
        return await browser.post("/admin/login/", data=form, headers=claims)


def log_in(peer: str, **claims: Any) -> Any:
    return asyncio.run(_log_in(peer, claims)).status_code


# Django asks for a Referer where it believes that the visitor came by https, and these send none.
def test_a_proxys_word_for_https_is_believed_and_a_strangers_is_not(settings: Settings) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = False
    assert log_in(PROXY, **{"X-Forwarded-Proto": "https"}) == 403
    assert log_in(STRANGER, **{"X-Forwarded-Proto": "https"}) == 200
    assert log_in(STRANGER) == 200


@pytest.mark.parametrize("peer", [STRANGER, None])
def test_django_hears_no_claim_of_a_stranger(peer: str | None) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in CLAIMS.items()]
    scope = {"client": peer and (peer, 4711), "headers": [*headers, (b"x_forwarded_proto", b"https")]}
    assert asgi._for_wsgi(scope, b"")["headers"] == [(b"content-length", b"0")]
    assert len(asgi._for_wsgi(scope | {"client": (PROXY, 1)}, b"")["headers"]) == len(CLAIMS) + 1


def test_a_forwarded_host_is_nobodys_to_say() -> None:
    request = RequestFactory().get("/", headers={"X-Forwarded-Host": "evil.example"}, SERVER_NAME="localhost")
    assert request.get_host() == "localhost"
