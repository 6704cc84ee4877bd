"""Who sent a request, when proxies stand between: only what trusted proxies say is believed."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MOST_HOPS = 16
"""A longer X-Forwarded-For is read only this far from its right end."""


def client_ip(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return the sender's address.

    peer: the address at the other end of the connection ("" for a local socket).
    forwarded_for: X-Forwarded-For, all its lines joined by commas.
    trusted: the proxies whose word is taken.

    Each proxy appends the address it saw, so the header is walked from the right, and the first
    address that is not a trusted proxy's is the sender's. What stands left of it is hearsay.
    """
    sender = _parse(peer)
    for hop in reversed(forwarded_for.rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
        if sender is None or not any(sender in network for network in trusted):
            break
        if (before := _parse(hop)) is None:
            break
        sender = before
    return str(sender or "")


def belongs(peer: str, networks: Sequence[Network]) -> bool:
    """Return whether an address lies in one of the networks. What is no address ("", a socket's path) does not."""
    address = _parse(peer)
    return address is not None and any(address in network for network in networks)


def limit_key(ip: str) -> str:
    """Return what a rate limit counts an address of client_ip() by: itself, or an IPv6 address's /64.

    One subscriber is handed a whole /64 (RFC 6177), so its single addresses mean nothing.
    """
    if ":" not in ip:
        return ip
    return str(ip_network((ip, 64), strict=False))


def networks(names: Sequence[str]) -> tuple[Network, ...]:
    """Return addresses and CIDR ranges as networks. Raises ValueError for anything else."""
    return tuple(ip_network(name, strict=False) for name in names)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    """Read an address as proxies write it: with a port, brackets or a zone, or IPv4 in IPv6."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
