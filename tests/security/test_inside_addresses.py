"""Addresses inside of networks and clouds, in every spelling, also where a redirect leads: none is read from."""

from __future__ import annotations

import ipaddress

import pytest

from airflow_provider_nanostt.api import network
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.inspect import url_safety
from airflow_provider_nanostt.audio.inspect.remote import RemoteFile
from airflow_provider_nanostt.audio.inspect.url_safety import check_fetchable, resolve_url
from tests.audio.range_server import RangeServer

EMULATOR = "http://127.0.0.1:8080/api"
SERVICE = "https://93.184.216.35/api"

# Networks that IANA's registries of special-purpose addresses say are not reached globally, and what is not assigned.
PRIVATE = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 "
    "192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 "
    "::/128 ::1/128 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 "
    "fc00::/7 fec0::/10 ff00::/8 4000::/3 6000::/3 8000::/3 a000::/3 c000::/3 e000::/4 f000::/5 1::/16"
).split()
METADATA = (
    "169.254.169.254 169.254.170.2 169.254.0.23 169.254.42.42 100.100.100.200 168.63.129.16 192.0.0.192 "
    "fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42 fd00:a9fe:a9fe::1 fe80::a9fe:a9fe fe80::1 febf::1"
).split()
PUBLIC = (
    "1.1.1.1 93.184.216.34 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.1.1 "
    "172.15.1.1 172.32.0.0 192.0.1.0 192.167.1.1 192.169.0.0 198.17.1.1 198.20.0.0 223.255.255.255 "
    "168.63.129.15 2606:2800:220:1:248:1893:25c8:1946 2a00:1450::1 2001:200::1 2003::1 2400:cb00::1"
).split()


def spelled(address):
    """Return the ways to write an IPv4 address within an IPv6 one, or as a number."""
    four = int(ipaddress.IPv4Address(address))
    high, low = four >> 16, four & 0xFFFF
    turned = four ^ 0xFFFFFFFF
    return [
        str(four),
        hex(four),
        f"0{four >> 24:o}.{four & 0xFFFFFF}",
        f"[::ffff:{high:x}:{low:x}]",
        f"[::ffff:{address}]",
        f"[::ffff:0:{high:x}:{low:x}]",
        f"[::{high:x}:{low:x}]",
        f"[64:ff9b::{high:x}:{low:x}]",
        f"[2002:{high:x}:{low:x}::1]",
        f"[2001:0:{high:x}:{low:x}::1]",
        f"[2001:0:102:304:0:0:{turned >> 16:x}:{turned & 0xFFFF:x}]",
        f"[2a00:1450::5efe:{high:x}:{low:x}]",
        f"[2a00:1450::200:5efe:{high:x}:{low:x}]",
        f"[64:ff9b:1::{high:x}:{low:x}]",
        f"[{ipaddress.IPv6Address(0x64FF9B0001 << 80 | high << 64 | low << 40)}]",
        f"[{ipaddress.IPv6Address(0x64FF9B0001 << 80 | four << 24)}]",
        "\u3002".join(address.split(".")),
    ]


def bare(address):
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("block", PRIVATE)
def test_special_networks_are_refused_unless_allowed(block):
    """The first and the last address of each, and some between."""
    found = ipaddress.ip_network(block)
    for at in (0, found.num_addresses - 1, found.num_addresses // 2, found.num_addresses // 3):
        address = str(found[at])
        if url_safety.forbidden(address):
            continue
        url = f"http://{bare(address)}/a.mp3"
        with pytest.raises(InvalidInput, match="allow_private_addresses"):
            resolve_url(url, allow_private=False)
        assert resolve_url(url, allow_private=True).addresses == (address,)
        with pytest.raises(InvalidInput, match="cannot reach"):
            check_fetchable(url, SERVICE)
        check_fetchable(url, EMULATOR)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_next_to_them_are_accepted(address):
    """No block is wider than it is."""
    assert resolve_url(f"http://{bare(address)}/a.mp3", allow_private=False).addresses == (address,)
    check_fetchable(f"http://{bare(address)}/a.mp3", SERVICE)


@pytest.mark.parametrize("written", [*spelled("127.0.0.1"), *spelled("10.1.2.3"), *spelled("192.168.255.1")])
def test_private_addresses_are_refused_however_they_are_written(written):
    """As numbers, and within IPv6: mapped, translated, compatible, NAT64, 6to4, Teredo, ISATAP."""
    with pytest.raises(InvalidInput, match="allow_private_addresses"):
        resolve_url(f"http://{written}/a.mp3", allow_private=False)


ALWAYS = [
    *map(bare, METADATA),
    *spelled("169.254.169.254"),
    *spelled("100.100.100.200"),
    *spelled("168.63.129.16"),
    *spelled("192.0.0.192"),
]


@pytest.mark.parametrize("allow_private", [True, False])
@pytest.mark.parametrize("written", ALWAYS)
def test_metadata_and_link_local_addresses_are_refused_whatever_is_allowed(written, allow_private):
    """They give keys of the machine, so no setting lets a stranger's address lead there."""
    with pytest.raises(InvalidInput, match="nothing is ever read from there"):
        resolve_url(f"http://{written}/latest", allow_private=allow_private)
    for base_url in (SERVICE, EMULATOR):
        with pytest.raises(InvalidInput, match="cannot reach"):
            check_fetchable(f"http://{written}/latest", base_url)


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("host", ["metadata.google.internal", "recordings.example", "localhost", "metadata"])
def test_names_that_lead_there_are_refused_whatever_is_allowed(monkeypatch, host, address):
    """One such address among several is enough."""
    monkeypatch.setattr(url_safety, "system_resolver", lambda *_: ["93.184.216.34", address])
    with pytest.raises(InvalidInput, match="nothing is ever read from there"):
        resolve_url(f"http://{host}/latest", allow_private=True)
    with pytest.raises(InvalidInput, match="cannot reach"):
        check_fetchable(f"http://{host}/latest", EMULATOR)


def test_the_addresses_of_nat64_are_those_behind_it():
    """In a network that has only IPv6, every public name resolves to such an address."""
    for inner in ("5db8:d822", "101:101"):
        assert resolve_url(f"http://[64:ff9b::{inner}]/a.mp3", allow_private=False)


@pytest.mark.parametrize("allow_private", [True, False])
@pytest.mark.parametrize("written", filter(str.isascii, ALWAYS))
def test_no_redirect_leads_there(monkeypatch, written, allow_private):
    """Each hop is judged as the first was; 127.0.0.1 plays a public server where it has to."""
    monkeypatch.setenv("no_proxy", "*")
    judge = url_safety.not_public
    monkeypatch.setattr(url_safety, "not_public", lambda ip: None if ip == "127.0.0.1" else judge(ip))
    with RangeServer({}, redirects={"a.mp3": f"http://{written}/latest/meta-data"}) as server:
        with pytest.raises(InvalidInput, match=r"redirects elsewhere.*nothing is ever read from there"):
            RemoteFile(server.url("a.mp3"), allow_private=allow_private)
        assert len(server.seen) == 1


def test_no_redirect_leads_inside(monkeypatch):
    """A public server may not send a worker to its own network."""
    monkeypatch.setenv("no_proxy", "*")
    judge = url_safety.not_public
    monkeypatch.setattr(url_safety, "not_public", lambda ip: None if ip == "127.0.0.1" else judge(ip))
    for where in ("http://10.0.0.1/x", "//192.168.0.1/x", "http://[fd00::1]/x", "http://0xa000001/x", "file:///etc/x"):
        with RangeServer({}, redirects={"a.mp3": where}) as server:
            with pytest.raises(InvalidInput, match="redirects elsewhere"):
                RemoteFile(server.url("a.mp3"), allow_private=False)
            assert len(server.seen) == 1


def test_an_endless_address_is_refused():
    """What no server takes is not looked at."""
    with pytest.raises(InvalidInput, match="characters"):
        resolve_url("http://example.com/" + "a" * 100_000, allow_private=False)


def test_reading_a_recording_leaves_the_check_of_names_on(monkeypatch, tmp_path):
    """The context for certificates is shared with the client that carries the key."""
    monkeypatch.setenv("no_proxy", "*")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    with RangeServer({"a.mp3": b"a" * 100}) as server, pytest.raises(OSError, match="cannot be read"):
        RemoteFile(server.url("a.mp3").replace("http:", "https:"), allow_private=True)
    assert network.tls_context().check_hostname
