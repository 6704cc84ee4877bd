"""A gateway for SMS as a TOML file describes it: the request, and which answer means what.

Ours: Apprise and the gateways' own packages tell "not sent" and "nobody knows" not apart, and have no deadline. An SMS
whose fate is unknown must not be sent again, so that difference is all that counts here.
"""

import asyncio
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import httpx
from django.conf import settings

from campaigns.definition import LANGUAGES
from confirmations.claims import GATEWAY_TIMEOUT, Errand, Outcome
from courier import addresses, on_this_machine

PRESETS = Path(__file__).parent / "gateways"
CONNECT_TIMEOUT, TIMEOUT = 3.0, GATEWAY_TIMEOUT.total_seconds()
"""Seconds to connect, and for all of a call."""
KINDS = ("refused", "not_sent", "stop")
LARGEST_ANSWER = 65_536
"""Bytes."""

_VALUES = frozenset({"phone", "phone_e164", "code", "text", "template", "id", "ttl", "key", "user"})
"""What a file can name in braces. user: CODE_GATEWAY_KEY up to its colon."""
_URL = re.compile(r"(https?://[^/{}]+)(/.*)")
_BY_STATUS = {429: "not_sent", 401: "stop", 403: "stop"}
"""What an answer means whose code the file does not name. All others may have been sent."""
_PLACE = re.compile(r"\{([a-z_0-9]+)(:int)?\}")
_REQUEST = {"method", "url", "headers", "json", "form", "basic"}
_ANSWER = {"code", "success", "id", "codes"}


class UnfitGateway(ValueError):
    """The file of a gateway cannot be used; the text says why and where."""


@dataclass(frozen=True)
class Gateway:
    """One gateway. request and answer: the tables of its file. template: by language."""

    name: str
    request: Mapping[str, Any]
    answer: Mapping[str, Any]
    url: str
    key: str
    template: Mapping[str, str]
    ttl: int

    async def send(self, client: httpx.AsyncClient, errand: Errand) -> Outcome:
        """Send an SMS once. What a gateway can do is never an error here: that nobody knows is an outcome too."""
        try:
            async with asyncio.timeout(TIMEOUT):  # httpx's own timeout counts from read to read
                status, body = await self._exchange(client, errand)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Outcome("not_sent", self.name, reason=type(error).__name__)
        except (httpx.HTTPError, TimeoutError) as error:
            return Outcome("unknown", self.name, reason=type(error).__name__)
        return self._outcome(status, body)

    async def _exchange(self, client: httpx.AsyncClient, errand: Errand) -> tuple[int, bytes]:
        user, _, password = self.key.partition(":")
        auth = httpx.BasicAuth(user, password) if self.request.get("basic") else None
        request = self._request(client, errand, user)
        answer = await client.send(request, stream=True, auth=auth, follow_redirects=False)
        try:
            body = b""
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > LARGEST_ANSWER:
                    break
            return answer.status_code, body
        finally:
            await answer.aclose()

    def _request(self, client: httpx.AsyncClient, errand: Errand, user: str) -> httpx.Request:
        values = {
            "phone": errand.phone_number,
            "phone_e164": f"+98{errand.phone_number[1:]}",
            "code": errand.code,
            "text": errand.text,
            "template": self.template.get(errand.language, ""),
            "id": str(errand.ask_id),
            "ttl": str(self.ttl),
            "key": self.key,
            "user": user,
        }
        return client.build_request(
            self.request["method"],
            _filled(self.url, {name: quote(value, safe="") for name, value in values.items()}),
            headers=_filled(self.request.get("headers", {}), values),
            json=_filled(self.request["json"], values) if "json" in self.request else None,
            data=_filled(self.request["form"], values) if "form" in self.request else None,
        )

    def _outcome(self, status: int, body: bytes) -> Outcome:
        told = _json(body)
        code = _at(told, self.answer["code"])
        success = self.answer.get("success") or [None]  # an answer without a code of error
        if 200 <= status < 300 and isinstance(told, dict) and code in success:
            return Outcome("accepted", self.name, str(_at(told, self.answer.get("id", "")) or ""))
        reason = f"HTTP {status}" if code is None else f"HTTP {status}, {code}"
        codes = self.answer.get("codes", {})
        kinds = [kind for kind in KINDS if code is not None and code in codes.get(kind, [])]
        return Outcome(kinds[0] if kinds else _BY_STATUS.get(status, "unknown"), self.name, reason=reason)


def open_client() -> httpx.AsyncClient:
    """Return what gateways are called through; close it in the end."""
    return httpx.AsyncClient(timeout=httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT))


class Sender(Protocol):
    """What sends an SMS."""

    @property
    def name(self) -> str:
        """What is noted of each SMS."""

    async def send(self, client: httpx.AsyncClient, errand: Errand) -> Outcome:
        """Send one."""


def named(name: str) -> Sender:
    """Return the gateway that CODE_GATEWAY names, with the settings for it. Raises UnfitGateway or NotAllowed."""
    if name in on_this_machine.GATEWAYS:
        return on_this_machine.GATEWAYS[name]()
    made = load(
        name,
        url=settings.CODE_GATEWAY_URL,
        key=settings.CODE_GATEWAY_KEY,
        template=settings.CODE_TEMPLATE,
        ttl=settings.CODE_TTL,
    )
    addresses.require_allowed(made.url)
    return made


def load(name: str, *, url: str, key: str, template: str, ttl: int) -> Gateway:
    """Return the gateway of a preset's name or of a file's path.

    url: in place of scheme, host and port in the file. template: a pattern's name, or one for each language
    (fa=verify,en=verify-en). Raises UnfitGateway.
    """
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        known = ", ".join(["off", "file", "console", *sorted(one.stem for one in PRESETS.glob("*.toml"))])
        raise UnfitGateway(f"CODE_GATEWAY names {name}. Write one of {known}, or a file's path.") from None
    except (OSError, ValueError) as error:
        raise UnfitGateway(f"{path}: {error}") from None
    if fault := next(_unfit(table), ""):
        raise UnfitGateway(f"{path}: {fault}")
    request = table["request"]
    own, path_of_url = _URL.fullmatch(request["url"]).groups()  # type: ignore[union-attr]  # _unfit has looked
    address = (url.rstrip("/") or own) + path_of_url
    return Gateway(path.stem, request, table["answer"], address, key, _templates(template), ttl)


def _unfit(table: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the file of a gateway."""
    for name, known in {"request": _REQUEST, "answer": _ANSWER}.items():
        part = table.get(name)
        if not isinstance(part, dict):
            yield f"[{name}] is missing"
            return
        yield from (
            f"[{name}] {other} is not known: {', '.join(sorted(known))}" for other in set(part) - known
        )
    request, answer = table["request"], table["answer"]
    if not _URL.fullmatch(str(request.get("url"))):
        yield "[request] url is no address: https://gateway.example/send"
    if request.get("method") not in ("GET", "POST"):
        yield '[request] method is neither "GET" nor "POST"'
    for place, _ in _PLACE.findall(repr(request)):
        if place not in _VALUES:
            yield f"[request] {{{place}}} is not known: {', '.join(sorted(_VALUES))}"
    if not isinstance(answer.get("code"), str):
        yield '[answer] code is missing: where the answer has its code, such as "return.status"'
    yield from (
        f"[answer.codes] {other} is not known: {', '.join(KINDS)}"
        for other in set(answer.get("codes", {})) - set(KINDS)
    )


def _templates(template: str) -> dict[str, str]:
    if "=" not in template:
        return dict.fromkeys(LANGUAGES, template)
    pairs = dict(part.strip().split("=", 1) for part in template.split(",") if "=" in part)
    if missing := [language for language in LANGUAGES if language not in pairs]:
        raise UnfitGateway(f"CODE_TEMPLATE has no pattern for {missing[0]}: fa=verify,en=verify-en")
    return pairs


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    """Return a text, a list or a table of a file with its places filled in."""
    if isinstance(value, dict):
        return {name: _filled(one, values) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, values) for one in value]
    if not isinstance(value, str):
        return value
    whole = _PLACE.fullmatch(value)
    if whole and whole[2] and values[whole[1]].isdecimal():
        return int(values[whole[1]])
    return _PLACE.sub(lambda place: values[place[1]], value)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _at(told: Any, path: str) -> Any:
    """Return what stands at a path such as entries.0.messageid, or None."""
    for step in path.split(".") if path else []:
        if isinstance(told, list) and step.isdecimal() and int(step) < len(told):
            told = told[int(step)]
        elif isinstance(told, dict):
            told = told.get(step)
        else:
            return None
    return told if path and not isinstance(told, (dict, list)) else None
