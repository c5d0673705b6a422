"""Which addresses an outgoing request may reach: public ones, and what the setting allows. Pure.

A URL that a user wrote must not become a way into the network that the service stands in (server-side request
forgery). So it is the address that is judged, after the name was resolved, and not how it was written down.
"""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from penstock.domain.errors import Rejected

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SETTING = "PENSTOCK_EGRESS_ALLOW"

_CLOSED_V4 = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            # A public address that answers, inside one cloud, as its metadata service.
            "168.63.129.16/32",
        ),
    )
)
"""The special-purpose registry of IANA, and what clouds made special."""
_OPEN_V6 = IPv6Network("2000::/3")
"""All that is handed out as global unicast; anything beyond it is special."""
_CLOSED_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)
"""The upper half of an interface id whose lower half is an IPv4 address."""


class Allowed(NamedTuple):
    """What may be reached besides public addresses."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()


def parse_allowed(text: str) -> Allowed:
    """Hosts, addresses and networks (CIDR), comma-separated. Raises Rejected `invalid_option`."""
    hosts: set[str] = set()
    networks: list[Network] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(entry.strip("[]")))
        except ValueError as error:
            if "/" in entry or ":" in entry or not _is_host(entry):
                sentence = f"{SETTING} lists hosts, addresses and networks such as 10.0.0.0/8, not {entry[:80]!r}"
                raise Rejected("invalid_option", f"{sentence} ({error}).") from None
            hosts.add(plain_host(entry))
    return Allowed(frozenset(hosts), tuple(networks))


def plain_host(host: str) -> str:
    """The name without the differences that DNS does not make."""
    return host.lower().rstrip(".")


def may_reach(host: str, address: str, allowed: Allowed) -> bool:
    """True if a connection that was asked for by this host name may go to this address, which it resolved to."""
    if plain_host(host) in allowed.hosts:
        return True
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    same = found if mapped is None else mapped
    return is_public(found) or any(same in network for network in allowed.networks)


def is_public(address: Address) -> bool:
    """True for an address of the open internet that leads nowhere else in disguise."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    inner = _embedded(address)
    if inner is not None:
        # Through a gateway it may come out at that address.
        return is_public(inner)
    return address in _OPEN_V6 and not any(address in network for network in _CLOSED_V6)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address inside: mapped, compatible, NAT64, 6to4 or ISATAP."""
    number = int(address)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if any(address in network for network in (*_NAT64, _COMPATIBLE)):
        return IPv4Address(number & 0xFFFFFFFF)
    if (number >> 32) & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(number & 0xFFFFFFFF)
    return None


def _is_host(text: str) -> bool:
    return text.isascii() and all(letter.isalnum() or letter in "-._" for letter in text)
