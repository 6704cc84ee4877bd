"""Who sent a request, when proxies stand between: only what trusted proxies say is believed.

Ours: uvicorn's ProxyHeadersMiddleware works on ASGI scopes, which the short way does not have.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network
from socket import AF_INET, inet_ntop, inet_pton

MOST_HOPS = 16
"""A longer X-Forwarded-For is read only this far from its right end."""


class Networks:
    """Addresses and CIDR ranges, such as those of trusted proxies: `address in networks`.

    Raises ValueError for anything else. What is no address ("", a socket's path) is in none.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._networks = tuple(ip_network(name, strict=False) for name in names)
        self._has = lru_cache(maxsize=4096)(self._look_up)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        return self._has(address)

    def _look_up(self, address: str) -> bool:
        canonical = _canonical(address)
        return bool(canonical) and any(ip_address(canonical) in network for network in self._networks)


def client_ip(peer: str, forwarded_for: str, trusted: Networks) -> str:
    """Return the sender's address.

    peer: the address at the other end of the connection ("" for a local socket).
    forwarded_for: X-Forwarded-For, all its lines joined by commas.
    trusted: the proxies whose word is taken.

    Each proxy appends the address it saw, so the header is walked from the right, and the first
    address that is not a trusted proxy's is the sender's. Entries further left can be forged by the client and are ignored.
    """
    sender = _canonical(peer)
    for hop in reversed(forwarded_for.rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
        if sender not in trusted or not (before := _canonical(hop)):
            break
        sender = before
    return sender


def limit_key(ip: str) -> str:
    """Return what a rate limit counts an address of client_ip() by: itself, or an IPv6 address's /64.

    One subscriber is handed a whole /64 (RFC 6177), so its single addresses mean nothing.
    """
    if ":" not in ip:
        return ip
    return str(ip_network((ip, 64), strict=False))


def _canonical(text: str) -> str:
    """Return an address in its one spelling, or "" for what is none."""
    text = text.strip()
    try:
        return inet_ntop(AF_INET, inet_pton(AF_INET, text))  # plain IPv4, at a tenth of ip_address's price
    except (OSError, ValueError):
        return _read(text)


def _read(text: str) -> str:
    """Read an address as proxies may write it: with a port, brackets or a zone, or IPv4 in IPv6."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)
