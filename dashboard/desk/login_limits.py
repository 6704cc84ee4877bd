"""How often a password or a code of the second factor may be tried wrongly at the staff's door.

Only wrong tries count: a place is taken before one is checked, so that tries at the same moment count
too, and given back unless it was wrong. The logs are those of landing/keeping/limits.py.

- **An account from one place**: 10 wrong ones in 15 minutes. A place is an IPv4 address or IPv6 /64; or
  a browser that has logged in to this account before, wherever it is. That browser carries a signed
  cookie for 90 days (OWASP's "device cookie"), so no address of staff is kept.
- **An address over all accounts**: 30 in 15 minutes. Browsers that the account knows are exempt.
- **An account from all addresses**: 50 wrong passwords in an hour. Then strangers have one wrong password
  an hour from each address instead of ten, until the hour is over. Nobody is locked out by it: a right
  password from a new address still gets in at once, and browsers that the account knows are exempt.
- **Codes of an account from all addresses**: 20 in an hour; then strangers are refused. Only somebody with
  the right password can cause that, and browsers that the account knows are exempt.

Without Redis each web process counts by itself.
"""

import logging
import secrets
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_noop

from landing.desk import audit
from landing.door import senders
from landing.keeping import intake
from landing.keeping.limits import Limiter
from landing.keeping.refusals import Unavailable
from lib.client_ip import limit_key

_REFUSED = {
    "password": gettext_noop("was refused: too many wrong passwords"),
    "code": gettext_noop("was refused: too many wrong codes"),
}

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Secret = Literal["password", "code"]

KNOWN_BROWSER = "known_browser"
"""The cookie of a browser that has logged in before."""
KNOWN_FOR = 90 * 24 * 3600

DEADLINE = 5.0
"""Seconds for the limiter, which lives on the web's event loop; Redis has its own, shorter ones."""

_SIGNER = signing.TimestampSigner(salt="known browser")


class TooManyTries(Exception):
    """Nothing was checked. retry_after: seconds until the next try may be made."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


def _limiter(limit: int, period: int) -> Limiter:
    return Limiter(limit=limit, period=period, timeout=settings.REDIS_TIMEOUT)


_FROM_PLACE = _limiter(10, 900)
_FROM_ADDRESS = _limiter(30, 900)
_PASSWORDS_OF_ACCOUNT = _limiter(50, 3600)
_PASSWORDS_OF_STRANGER = _limiter(1, 3600)
_CODES_OF_ACCOUNT = _limiter(20, 3600)
_REPORTED = _limiter(1, 3600)


@dataclass
class Try:
    """A try under way, and the places that it has taken."""

    was_wrong: bool = False
    places: list[tuple[Limiter, str]] = field(default_factory=list)

    async def take(self, limiter: Limiter, sender: str) -> float:
        """Take a place; return the seconds to wait, 0 where it got it."""
        [wait] = await limiter.take([sender])
        if not wait:
            self.places.append((limiter, sender))
        return wait

    async def give_back(self) -> None:
        """Let the try not count."""
        for limiter, sender in self.places:
            await limiter.give_back([sender])


@contextmanager
def counted(request: HttpRequest, secret: Secret, account: str) -> Iterator[Try]:
    """Count what is tried inside if it sets `was_wrong`.

    account: the name as it was typed. Raises TooManyTries, Unavailable, and django.db.Error.
    """
    name = _digest(account)
    address = limit_key(senders.ip_of(request))
    browser = _known_browser(request, name)
    attempt = Try()
    if wait := _on_loop(_refusal(attempt, secret, name, address, browser)):
        _on_loop(attempt.give_back())
        _report(secret, account, name)
        raise TooManyTries(wait)
    try:
        yield attempt
    finally:
        if not attempt.was_wrong:
            _on_loop(attempt.give_back())


def remember_browser(request: HttpRequest, response: HttpResponse) -> None:
    """Let the browser carry that it has logged in to the request's account."""
    name = _digest(request.user.get_username())
    response.set_cookie(
        KNOWN_BROWSER,
        _SIGNER.sign(f"{name}.{_known_browser(request, name) or secrets.token_hex(8)}"),
        max_age=KNOWN_FOR,
        path="/admin/",
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )


async def _refusal(attempt: Try, secret: Secret, name: str, address: str, browser: str) -> float:
    """Take the places of a try; return the seconds to wait if one is not to be had, else 0."""
    # The narrowest limit first: a place that is full must not use up the limits that others share.
    place = f"{secret}:{name}:{browser or address}"
    if wait := await attempt.take(_FROM_PLACE, f"place:{place}"):
        return wait
    if browser:
        return 0
    if wait := await attempt.take(_FROM_ADDRESS, f"address:{address}"):
        return wait
    of_account = _PASSWORDS_OF_ACCOUNT if secret == "password" else _CODES_OF_ACCOUNT  # noqa: S105  a word
    wait = await attempt.take(of_account, f"account:{secret}:{name}")
    if wait and secret == "password":  # noqa: S105
        return await attempt.take(_PASSWORDS_OF_STRANGER, f"stranger:{place}")
    return wait


def _on_loop(call: Coroutine[Any, Any, Result]) -> Result:
    """Run a call of the limiter in a thread of Django's. Raises Unavailable if it takes too long."""
    try:
        return intake.wait_for(call, DEADLINE)
    except TimeoutError as error:
        raise Unavailable from error


def _report(secret: Secret, typed: str, name: str) -> None:
    """Write a refusal into the audit log: once an hour for an account, or a stranger could fill it.

    A name that is no account's is written nowhere: it may be a password, typed into the wrong field.
    """
    if _on_loop(_REPORTED.take([f"reported:{secret}:{name}"]))[0]:
        return
    if account := get_user_model().objects.filter(username=typed).first():
        audit.record_of(account, _REFUSED[secret], "login")
    else:
        log.warning("audit", extra={"user": None, "what": f"an unknown name was refused: {secret}s"})


def _known_browser(request: HttpRequest, name: str) -> str:
    """Return which browser of this account it is that asks, "" for a stranger's."""
    try:
        carried = _SIGNER.unsign(request.COOKIES.get(KNOWN_BROWSER, ""), max_age=KNOWN_FOR)
    except signing.BadSignature:
        return ""
    account, _, browser = carried.partition(".")
    return browser if account == name else ""


def _digest(account: str) -> str:
    """Return what stands for an account in Redis and in the cookie: it tells no name."""
    name = account.casefold().encode("utf-8", "surrogatepass")
    return salted_hmac("wrong tries", name, algorithm="sha256").hexdigest()[:20]
