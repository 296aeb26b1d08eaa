"""Which numbers of the network are not public, and which nobody may read from: tables; no name is resolved here.

From IANA's registries of special-purpose addresses for IPv4 and IPv6 (August 2026) and the documentation of the clouds;
what Python says of an address changes with its version, and it knows no cloud.
"""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_FORBIDDEN = {
    "link-local": "169.254.0.0/16 fe80::/10",
    "a cloud's metadata service": (
        "100.100.100.200/32 168.63.129.16/32 192.0.0.192/32 "  # Alibaba, Azure, Oracle
        "fd00:ec2::/32 fd20:ce::/32 fd00:42::42/128 fd00:a9fe:a9fe::/48"  # Amazon, Google, Scaleway, Akamai
    ),
}
_SPECIAL = {
    "loopback": "127.0.0.0/8 ::1/128",
    "unspecified": "0.0.0.0/8 ::/128",
    "private": "10.0.0.0/8 100.64.0.0/10 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10 64:ff9b:1::/48",
    "multicast": "224.0.0.0/4 ff00::/8",
    "reserved": (
        "192.0.0.0/24 192.88.99.0/24 198.18.0.0/15 240.0.0.0/4 "
        "2001::/23 2002::/16 "  # Teredo is in the first, 6to4 is the second
        "::/3 4000::/2 8000::/1"  # all but 2000::/3, in which all is that is assigned in IPv6
    ),
    "for documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
}
_IPV4_AT_THE_END = tuple(
    map(ipaddress.ip_network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
)  # compatible, mapped, translated, NAT64: these mean the IPv4 address alone
_ISATAP = (0x00005EFE, 0x02005EFE)


def not_public(address: str) -> str | None:
    """Return in a word why an address is not public; None if it is. IPv4 within IPv6 is judged as IPv4, too."""
    return _kind(address, _FORBIDDEN_NETWORKS) or _kind(address, _SPECIAL_NETWORKS)


def forbidden(address: str) -> str | None:
    """Return in a word why nobody may read from an address, whatever the settings; None if it is not one of those."""
    return _kind(address, _FORBIDDEN_NETWORKS)


def _networks(table: dict[str, str]) -> list[tuple[_Network, str]]:
    return [(ipaddress.ip_network(one), kind) for kind, text in table.items() for one in text.split()]


_FORBIDDEN_NETWORKS = _networks(_FORBIDDEN)
_SPECIAL_NETWORKS = _networks(_SPECIAL)


def _kind(address: str, table: list[tuple[_Network, str]]) -> str | None:
    try:
        meant = _meant(ipaddress.ip_address(address))
    except ValueError:
        return "not an IP address"
    return next((kind for one in meant for network, kind in table if one in network), None)


def _meant(ip: Address) -> list[Address]:
    """Return the addresses that an address stands for: the IPv4 ones within IPv6, and itself where it is more."""
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    octets, number = ip.packed, int(ip)
    end = ipaddress.IPv4Address(octets[12:])
    if number > 1 and any(ip in network for network in _IPV4_AT_THE_END):
        return [end]
    inner: list[bytes] = []
    if number >> 32 & 0xFFFFFFFF in _ISATAP:
        inner = [octets[12:]]
    elif octets[:2] == b"\x20\x02":  # 6to4
        inner = [octets[2:6]]
    elif octets[:4] == b"\x20\x01\0\0":  # Teredo: the server, and the client with all bits turned
        inner = [octets[4:8], bytes(one ^ 0xFF for one in octets[12:])]
    elif octets[:6] == b"\0\x64\xff\x9b\0\1":  # a network's own NAT64, whose prefix may have several lengths
        inner = [octets[6:8] + octets[9:11], octets[7:8] + octets[9:12], octets[9:13], octets[12:]]
    return [ip, *map(ipaddress.IPv4Address, inner)]
