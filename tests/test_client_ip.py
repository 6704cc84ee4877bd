"""Who a request comes from, whatever its X-Forwarded-For claims."""

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lib.client_ip import MOST_HOPS, Networks, client_ip, limit_key

modest = hypothesis_settings(deadline=None, max_examples=200)

PROXIES = Networks(["10.0.0.0/8", "2001:db8:ffff::/48"])
PROXY, SENDER, VICTIM = "10.0.0.1", "203.0.113.7", "198.51.100.1"

CHAINS = {
    "one proxy": (SENDER, SENDER),
    "two proxies": (f"{SENDER}, 10.0.0.2", SENDER),
    "a proxy by IPv6": (f"{SENDER},2001:db8:ffff::5", SENDER),
    "a forged address in front": (f"{VICTIM}, {SENDER}", SENDER),
    "a forged proxy in front": (f"{VICTIM}, 10.0.0.9, {SENDER}, 10.0.0.2", SENDER),
    "a port": (f"{SENDER}:55555", SENDER),
    "brackets and a port": ("[2001:db8::7]:443", "2001:db8::7"),
    "brackets": ("[2001:db8::7]", "2001:db8::7"),
    "another spelling of IPv6": ("2001:0DB8:0:0::0007", "2001:db8::7"),
    "a zone": ("fe80::7%eth0", "fe80::7"),
    "IPv4 in IPv6": (f"::ffff:{SENDER}", SENDER),
    "a proxy's IPv4 in IPv6": (f"{SENDER}, ::ffff:10.0.0.2", SENDER),
    "spaces": (f"  {SENDER}\t,  10.0.0.2 ", SENDER),
    "proxies only": ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
    "no header": ("", PROXY),
    "an empty hop": (f"{VICTIM},", PROXY),
    "unknown": (f"{VICTIM}, unknown", PROXY),
    "garbage": (f"{VICTIM}, <script>, 10.0.0.2", "10.0.0.2"),
    "octal": (f"{VICTIM}, 0203.0.113.7", PROXY),
    "a number": (f"{VICTIM}, 3405803783", PROXY),
    "Persian digits": (f"{VICTIM}, ۲۰۳.0.113.7", PROXY),
}


@pytest.mark.parametrize(("forwarded_for", "expected"), CHAINS.values(), ids=CHAINS)
def test_behind_trusted_proxies_the_sender_is_the_last_that_they_saw(
    forwarded_for: str, expected: str
) -> None:
    assert client_ip(PROXY, forwarded_for, PROXIES) == expected


@modest
@given(st.text() | st.lists(st.ip_addresses().map(str)).map(",".join))
def test_no_header_changes_who_a_stranger_is(forwarded_for: Any) -> None:
    assert client_ip(SENDER, forwarded_for, PROXIES) == SENDER


@modest
@given(st.text() | st.lists(st.ip_addresses().map(str)).map(",".join))
def test_nothing_that_a_sender_puts_before_its_own_address_counts(forged: Any) -> None:
    assert client_ip(PROXY, f"{forged},{SENDER}", PROXIES) == SENDER


@modest
@given(peer=st.text(max_size=50) | st.ip_addresses().map(str), forwarded_for=st.text())
def test_the_answer_is_an_address_or_nothing(peer: Any, forwarded_for: Any) -> None:
    answer = client_ip(peer, forwarded_for, Networks(["0.0.0.0/0", "::/0"]))
    assert answer == "" or str(ip_address(answer)) == answer


def test_a_huge_header_is_read_only_at_its_end() -> None:
    chain = [VICTIM, *["10.0.0.2"] * MOST_HOPS]
    assert client_ip(PROXY, ",".join(chain), PROXIES) == "10.0.0.2"
    assert client_ip(PROXY, "9" * 1_000_000, PROXIES) == PROXY
    assert client_ip(PROXY, f"{VICTIM}," * 100_000 + SENDER, PROXIES) == SENDER


def test_a_local_socket_has_no_address() -> None:
    assert client_ip("", VICTIM, PROXIES) == ""


def test_ipv6_senders_are_counted_by_their_64() -> None:
    assert limit_key("2001:db8:1:2:3:4:5:6") == limit_key("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert limit_key("2001:db8:1:3::9") != limit_key("2001:db8:1:2::9")


def test_ipv4_senders_are_counted_one_by_one() -> None:
    assert limit_key(SENDER) == SENDER
    assert limit_key(VICTIM) == VICTIM


def test_a_network_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Networks(["10.0.0.0/8", "nonsense"])
