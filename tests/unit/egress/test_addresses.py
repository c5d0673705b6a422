"""Which addresses an outgoing request may reach."""

import ipaddress

import pytest

from penstock.domain.errors import Rejected
from penstock.egress.addresses import Allowed, is_public, may_reach, parse_allowed

EDGES = [
    ("0.0.0.0/8", None, "1.0.0.0"),
    ("10.0.0.0/8", "9.255.255.255", "11.0.0.0"),
    ("100.64.0.0/10", "100.63.255.255", "100.128.0.0"),
    ("127.0.0.0/8", "126.255.255.255", "128.0.0.0"),
    ("169.254.0.0/16", "169.253.255.255", "169.255.0.0"),
    ("172.16.0.0/12", "172.15.255.255", "172.32.0.0"),
    ("192.0.0.0/24", "191.255.255.255", "192.0.1.0"),
    ("192.168.0.0/16", "192.167.255.255", "192.169.0.0"),
    ("198.18.0.0/15", "198.17.255.255", "198.20.0.0"),
    ("224.0.0.0/4", "223.255.255.255", None),
    ("168.63.129.16/32", "168.63.129.15", "168.63.129.17"),
    ("2001::/23", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"),
    ("2001:db8::/32", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"),
    ("3fff::/20", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"),
]


@pytest.mark.parametrize(("network", "below", "above"), EDGES)
def test_a_closed_network_is_closed_to_its_edges(network: str, below: str | None, above: str | None) -> None:
    """Its first and last address are refused, the addresses beside it are not."""
    closed = ipaddress.ip_network(network)
    assert not is_public(closed[0])
    assert not is_public(closed[-1])
    assert all(is_public(ipaddress.ip_address(each)) for each in (below, above) if each is not None)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.0.0.0", "169.254.169.254", "100.100.100.200", "255.255.255.255", "239.1.2.3"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "100::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1"),
        *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:80ff:fffe"),
        *("2600::5efe:10.0.0.1", "2600::200:5efe:7f00:1", "no address", ""),
    ],
)
def test_an_address_inside_is_refused_however_it_is_written(address: str) -> None:
    """Also when it hides in an address of another kind."""
    assert not may_reach("example.com", address, Allowed())


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "2002:101:101::1", "64:ff9b::101:101"]
)
def test_a_public_address_is_reached(address: str) -> None:
    """Also through a gateway to a public address."""
    assert may_reach("example.com", address, Allowed())


def test_the_setting_opens_networks_addresses_and_hosts() -> None:
    """Each only for itself."""
    allowed = parse_allowed(" 10.0.0.0/8, 192.168.1.7 ,LocalHost., [::1]")
    assert may_reach("a.test", "10.255.255.255", allowed)
    assert may_reach("a.test", "::ffff:10.0.0.1", allowed)
    assert may_reach("a.test", "192.168.1.7", allowed)
    assert not may_reach("a.test", "192.168.1.8", allowed)
    assert may_reach("LOCALHOST", "127.0.0.1", allowed)
    assert may_reach("a.test", "::1", allowed)
    assert not may_reach("a.test", "127.0.0.1", allowed)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "a b", "https://a.test", "a.test:80", "häuser.test"])
def test_a_mistake_in_the_setting_is_told(text: str) -> None:
    """With its name and an example."""
    with pytest.raises(Rejected, match=r"PENSTOCK_EGRESS_ALLOW lists .* such as 10\.0\.0\.0/8"):
        parse_allowed(text)


def test_an_empty_setting_opens_nothing() -> None:
    """Nor do stray commas."""
    assert parse_allowed("") == parse_allowed(" , ") == Allowed()
