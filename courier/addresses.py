"""Where the courier may call: https to anywhere, http only to this machine and to COURIER_ALLOW."""

import ipaddress
import socket
from urllib.parse import urlsplit

from django.conf import settings


class NotAllowed(ValueError):
    """The courier may not call this address; the text says why, and the next step."""


def require_allowed(url: str) -> None:
    """Raise NotAllowed unless a gateway's address is https, or all addresses of its host are ours."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return
    host = parts.hostname or ""
    try:
        found = {str(one[4][0]) for one in socket.getaddrinfo(host, parts.port or 80)}
    except OSError as error:
        raise NotAllowed(f"{host} is not found: {error}") from None
    if not all(_is_ours(address) for address in found):
        raise NotAllowed(
            f"{parts.scheme}://{host} is not https. Keys and codes would be read on the way: use https, "
            "or name its address in COURIER_ALLOW if it is in your own network."
        )


def _is_ours(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback or address in settings.COURIER_ALLOW
