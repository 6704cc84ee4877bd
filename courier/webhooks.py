"""The webhooks of LANDING_DIR/webhooks.toml, and how a message to one is signed.

The signature is that of Standard Webhooks 1.0 (https://www.standardwebhooks.com). Ours: its package would be ten lines
of ours around three of its own. The tests let it verify what we sign.
"""

import base64
import binascii
import hmac
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from campaigns.definition import DEFAULT, SLUG

FILE = "webhooks.toml"
PREFIX = "whsec_"
LEAST_SECRET, LONGEST_SECRET = 24, 64
"""Bytes, as the standard has it."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_URL = re.compile(r"https?://[!-~]+")
_KEYS = {"name", "url", "secret", "secret_file", "campaigns"}
_MAKE_ONE = f"Make one: echo {PREFIX}$(openssl rand -base64 32)"


class UnfitWebhooks(ValueError):
    """The file of webhooks cannot be used; the text says where, why, and the next step."""


@dataclass(frozen=True)
class Webhook:
    """One receiver. secrets: the newest first, several while one is being replaced. campaigns: slugs; empty: all."""

    name: str
    url: str
    secrets: tuple[bytes, ...]
    campaigns: tuple[str, ...] = ()

    def headers(self, message_id: str, at: int, body: bytes) -> dict[str, str]:
        """Return the headers that prove a message. at: Unix time of this try."""
        signed = b"%s.%d.%s" % (message_id.encode(), at, body)
        signatures = [
            base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in self.secrets
        ]
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(at),
            "webhook-signature": " ".join(f"v1,{one}" for one in signatures),
        }


def load(directory: str) -> list[Webhook] | None:
    """Return the webhooks of a landing directory, None if it has no such file. Raises UnfitWebhooks."""
    file = Path(directory) / FILE
    if not directory or not file.exists():
        return None
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UnfitWebhooks(f"{file}: {error}") from None
    listed = table.get("webhook", [])
    if not set(table) <= {"webhook"} or not isinstance(listed, list):
        raise UnfitWebhooks(f"{file}: it holds [[webhook]] tables and nothing else.")
    made: dict[str, Webhook] = {}
    for number, one in enumerate(listed, 1):
        try:
            webhook = _webhook(one, file.parent)
        except UnfitWebhooks as error:
            raise UnfitWebhooks(f"{file}: [[webhook]] {number}: {error}") from None
        if webhook.name in made:
            raise UnfitWebhooks(f"{file}: two webhooks are named {webhook.name}. Give each another name.")
        made[webhook.name] = webhook
    return list(made.values())


def _webhook(table: Any, directory: Path) -> Webhook:
    if not isinstance(table, dict):
        raise UnfitWebhooks("begin it with [[webhook]].")
    if unknown := sorted(set(table) - _KEYS):
        raise UnfitWebhooks(f"{unknown[0]} is not known. Here can stand: {', '.join(sorted(_KEYS))}.")
    if not (isinstance(name := table.get("name"), str) and _NAME.fullmatch(name)):
        raise UnfitWebhooks(f"name is {name!r}. Write small letters, digits and hyphens, such as crm.")
    return Webhook(name, _url(table.get("url")), _secrets(table, directory), _campaigns(table))


def _url(url: Any) -> str:
    try:
        parts = urlsplit(url if isinstance(url, str) and _URL.fullmatch(url) else "")
        # Both raise ValueError: a port that is none, a label of a name that is empty or too long.
        is_whole = parts.port != 0 and bool((parts.hostname or "").encode("idna"))
    except ValueError:
        parts, is_whole = urlsplit(""), False
    if not is_whole:
        raise UnfitWebhooks("url is no address. Write it as https://crm.example/hooks/registrations")
    if parts.username or parts.password:
        raise UnfitWebhooks("url holds a password. The signature proves who sends: take it away.")
    return str(url)


def _secrets(table: Mapping[str, Any], directory: Path) -> tuple[bytes, ...]:
    if ("secret" in table) == ("secret_file" in table):
        raise UnfitWebhooks(f"write secret_file, the path of a file with the secret, or secret. {_MAKE_ONE}")
    if "secret" in table:
        listed = table["secret"] if isinstance(table["secret"], list) else [table["secret"]]
    else:
        try:
            listed = (directory / str(table["secret_file"])).read_text("ascii").split()
        except (OSError, ValueError) as error:
            raise UnfitWebhooks(f"secret_file cannot be read: {error}") from None
    if not listed:
        raise UnfitWebhooks(f"there is no secret. {_MAKE_ONE}")
    return tuple(_secret(one) for one in listed)


def _secret(text: Any) -> bytes:
    try:
        secret = base64.b64decode(str(text).removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not (str(text).startswith(PREFIX) and LEAST_SECRET <= len(secret) <= LONGEST_SECRET):
        # Not the text itself: it may be a secret that is only badly copied.
        raise UnfitWebhooks(
            f"a secret is not {PREFIX} and {LEAST_SECRET} to {LONGEST_SECRET} bytes in base64. {_MAKE_ONE}"
        )
    return secret


def _campaigns(table: Mapping[str, Any]) -> tuple[str, ...]:
    slugs = table.get("campaigns", [])
    if not isinstance(slugs, list):
        raise UnfitWebhooks(
            'campaigns is no list. Write campaigns = ["summer", "default"], or leave it out: all.'
        )
    for slug in slugs:
        if not (isinstance(slug, str) and (slug == DEFAULT or SLUG.fullmatch(slug))):
            raise UnfitWebhooks(f"campaigns names {slug!r}, which is no campaign's address.")
    if "campaigns" in table and not slugs:
        raise UnfitWebhooks("campaigns is empty. Name some, or leave it out: all.")
    return tuple(slugs)
