"""Where the courier may call.

A gateway's address is its operator's word: https to anywhere, http to this machine and to COURIER_ALLOW. A webhook's
may be somebody else's, who could have it name a server of ours (server-side request forgery). So its name is looked up
once, every address that comes back must be public or in COURIER_ALLOW, and the call goes to one of just these.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

import httpcore
from django.conf import settings

_NAT64, _OWN_NAT64 = ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48")
"""Ways to IPv4 (RFC 6052), and those inside one's own network (RFC 8215). Python calls both public."""


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


def is_public(address: str) -> bool:
    """Return whether an address is one of the internet, behind whatever notation of IPv6 it stands."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
        if ip in _OWN_NAT64 or ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to public addresses and to those of COURIER_ALLOW only. takes_public: else to the latter alone."""

    def __init__(self, *, takes_public: bool) -> None:
        self._takes_public = takes_public
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look a name up once, and connect to what was found. Raises NotAllowed or httpcore.ConnectError."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} is not found") from error
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        # One that is not allowed refuses them all: a name with both kinds was made to get past this.
        if refused := [one for one in addresses if not self._takes(one)]:
            raise NotAllowed(f"{refused[0]} may not be called: see COURIER_ALLOW")
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Wait, as httpcore asks for."""
        await self._network.sleep(seconds)

    def _takes(self, address: str) -> bool:
        return address in settings.COURIER_ALLOW or (self._takes_public and is_public(address))


def _is_ours(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback or address in settings.COURIER_ALLOW
