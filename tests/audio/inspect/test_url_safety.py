"""Which web addresses may be asked, by us and by the service."""

from __future__ import annotations

import pytest

from airflow_provider_nanostt.api.errors import ConnectError, InvalidInput
from airflow_provider_nanostt.audio.inspect import url_safety
from airflow_provider_nanostt.audio.inspect.url_safety import (
    check_fetchable,
    not_public,
    resolve_url,
    system_resolver,
)

PUBLIC = "93.184.216.34"
SERVICE = "https://nano-gpt.com/api"


def names(**known):
    """A resolver that knows some names, all dots written as underscores."""

    def resolve(host, port):
        try:
            found = known[host.replace(".", "_").replace("-", "_")]
        except KeyError:
            raise OSError(f"{host} is unknown") from None
        return found if isinstance(found, list) else [found]

    return resolve


WORLD = names(
    example_com=PUBLIC,
    nano_gpt_com=PUBLIC,
    inside_example_com="10.1.2.3",
    mixed_example_com=[PUBLIC, "127.0.0.1"],
    metadata_example_com="169.254.169.254",
    six_example_com="2606:2800:220:1:248:1893:25c8:1946",
    scoped_example_com="fe80::1%eth0",
    nothing_example_com=[],
    emulator="172.17.0.2",
)


@pytest.fixture(autouse=True)
def world(monkeypatch):
    """Let the system know these names, and no others."""
    monkeypatch.setattr(url_safety, "system_resolver", WORLD)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.mp3",
        "http://127.1/a.mp3",
        "http://2130706433/a.mp3",
        "http://0x7f.0.0.1/a.mp3",
        "http://0177.0.0.1/a.mp3",
        "http://0/a.mp3",
        "http://10.0.0.7/a.mp3",
        "http://172.16.0.1/a.mp3",
        "http://192.168.1.1/a.mp3",
        "http://100.64.0.1/a.mp3",
        "http://224.0.0.1/a.mp3",
        "http://240.0.0.1/a.mp3",
        "http://255.255.255.255/a.mp3",
        "http://[::1]/a.mp3",
        "http://[::]/a.mp3",
        "http://[fd00::1]/a.mp3",
        "http://[ff02::1]/a.mp3",
        "http://[::ffff:127.0.0.1]/a.mp3",
        "http://[::ffff:a00:1]/a.mp3",
        "http://[::7f00:1]/a.mp3",
        "http://[64:ff9b::a00:1]/a.mp3",
        "http://[2002:7f00:1::]/a.mp3",
        "http://localhost/a.mp3",
        "http://LOCALHOST./a.mp3",
        "http://api.localhost/a.mp3",
        "http://printer.local/a.mp3",
        "http://metadata.google.internal/a.mp3",
        "http://①②⑦.0.0.1/a.mp3",
        "http://inside.example.com/a.mp3",
        "http://mixed.example.com/a.mp3",
    ],
)
def test_private_addresses_are_refused(url):
    """Numbers in any spelling, names, and names that resolve to them: refused with the remedy, unless allowed."""
    with pytest.raises(InvalidInput, match="allow_private_addresses"):
        resolve_url(url + "?X-Amz-Signature=secret", allow_private=False)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "metadata.example.com", "scoped.example.com"])
@pytest.mark.parametrize("allow_private", [True, False])
def test_metadata_services_are_refused_in_any_case(host, allow_private):
    """No setting opens them, and the message names none."""
    with pytest.raises(InvalidInput, match="nothing is ever read from there") as caught:
        resolve_url(f"http://{host}/latest?X-Amz-Signature=secret", allow_private=allow_private)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/a.mp3",
        "gopher://example.com",
        "example.com/a.mp3",
        "http://",
        "http://[::1",
        "http://[fe80::1%25eth0]/a",
        "http://example.com:99999/a",
        "http://example.com\\@10.0.0.1/",
        "http://exa mple.com/",
        "http://example.com/\r\nHost: x",
        "http://exa$mple.com/",
        "http://" + "a" * 70 + ".com/",
        "https://user:password@example.com/a.mp3",
    ],
)
@pytest.mark.parametrize("allow_private", [True, False])
def test_malformed_addresses_are_refused_in_any_case(url, allow_private):
    """Other schemes, passwords and malformed hosts are refused, and no password is repeated."""
    with pytest.raises(InvalidInput) as caught:
        resolve_url(url, allow_private=allow_private)
    assert "password@" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://example.com/a.mp3?x=1", f"http://{PUBLIC}/", "https://six.example.com"])
def test_public_addresses_are_accepted(url):
    """Public names and numbers pass."""
    resolve_url(url, allow_private=False)


def test_a_name_that_does_not_resolve_may_resolve_later():
    """What the resolver cannot say now it may say later."""
    for host in ("unknown.example.com", "nothing.example.com", "1.2.3.4.5"):
        with pytest.raises(ConnectError, match=host):
            resolve_url(f"http://{host}/", allow_private=False)


def test_the_checked_addresses_are_the_ones_to_connect_to():
    """The connection gets the addresses that were checked, and the name for header and certificate."""
    place = resolve_url("https://EXAMPLE.com:8443/a%20b.mp3?sig=x#t", allow_private=False)
    assert (place.host_header, place.addresses, place.target) == (
        "example.com:8443",
        (PUBLIC,),
        "/a%20b.mp3?sig=x",
    )
    assert resolve_url("http://[2606:2800::1]", allow_private=False).host_header == "[2606:2800::1]"
    assert resolve_url("http://0x7f.1/x", allow_private=True).addresses == ("127.0.0.1",)


def test_the_system_resolves():
    """Names are resolved as the system does."""
    assert "127.0.0.1" in system_resolver("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("64:ff9b:1::808:808", "private"),
        ("2002:7f00:1::1", "reserved"),
        ("2606:4700::5efe:7f00:1", "loopback"),
        ("::1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("100::1", "reserved"),
    ],
)
def test_people_hear_what_an_address_is_itself(address, kind):
    """Before what may be read out of it: where a prefix ends is not known, so some IPv4 addresses are none."""
    assert not_public(address) == kind


def test_nonsense_is_not_public():
    """A resolver that answers nonsense is not believed."""
    assert not_public("nonsense") == "not an IP address"
    assert not_public("2001:0:4136:e378:8000:63bf:3fff:fdd2") is not None
    assert not_public("64:ff9b::5db8:d822") is None


@pytest.mark.parametrize(
    "url",
    [
        "file:///data/a.mp3",
        "http://localhost:9000/a.mp3",
        "http://minio:9000/a.mp3",
        "http://nas.local/a.mp3",
        "http://10.0.0.4/a.mp3",
        "http://[fd00::1]/a.mp3",
        "http://inside.example.com/a.mp3",
    ],
)
def test_the_service_is_not_sent_where_it_cannot_go(url):
    """Such an address is refused before the submit, with what to do instead and without its query."""
    with pytest.raises(InvalidInput) as caught:
        check_fetchable(url + "?X-Amz-Signature=secret", SERVICE)
    assert "object storage" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/a.mp3", "https://unknown.example.com/a.mp3", "https://user:pw@example.com/a.mp3"],
)
def test_the_service_is_sent_where_it_may_go(url):
    """Public addresses pass, and so does a name that only the service may know."""
    check_fetchable(url, SERVICE)


@pytest.mark.parametrize("base", ["http://127.0.0.1:8080", "http://localhost:8080/api", "http://emulator:8080/api"])
def test_an_emulator_reaches_what_is_near(base):
    """Where the service itself is inside the network, so may be the audio; but a file is no web address."""
    check_fetchable("http://127.0.0.1:9000/a.mp3", base)
    check_fetchable("http://minio:9000/a.mp3", base)
    with pytest.raises(InvalidInput):
        check_fetchable("file:///a.mp3", base)
