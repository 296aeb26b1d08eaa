"""Which web addresses may be read from here, and which the service can fetch from.

A host is resolved once, all of its addresses are checked, and connections go to one of those, so that a name cannot
mean one thing when it is checked and another when it is used. Nothing is read here.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from airflow_provider_nanostt.api.errors import ConnectError, InvalidInput
from airflow_provider_nanostt.audio.inspect.special_addresses import Address, forbidden, not_public
from airflow_provider_nanostt.common.urls import redact

_PORTS = {"http": 80, "https": 443}
_INSIDE = (".localhost", ".local", ".internal", ".lan", ".intranet", ".home.arpa")
_MAX_URL_CHARS = 16_384
_ALLOW = "If your recordings are there, set the connection's extra 'allow_private_addresses' to true"
_ELSEWHERE = "Pass a file's path or its object storage URI instead, or put the recording where the service can fetch it"


@dataclass(frozen=True, slots=True)
class ResolvedUrl:
    """A web address, checked and resolved.

    :param host: the name or number, as it goes into the ``Host`` header and the certificate's check.
    :param addresses: of the host, each checked.
    :param target: path and query.
    """

    scheme: str
    host: str
    port: int
    addresses: tuple[str, ...]
    target: str = field(repr=False)

    @property
    def host_header(self) -> str:
        """The ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def system_resolver(host: str, port: int) -> list[str]:
    """Return the addresses of a host, as the system knows them; raises OSError if it knows none."""
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def resolve_url(url: str, *, allow_private: bool) -> ResolvedUrl:
    """Check a web address from which we are to read, and resolve it.

    :param url: from a user or a redirect.
    :param allow_private: accept addresses inside the network; schemes and passwords are checked all the same.
    :raises InvalidInput: for anything but http(s), for a user name or password in the address, and for a host that is,
        or resolves to, an address that is not public.
    :raises ConnectError: for a name that does not resolve.
    """
    parts, host, port = _split_url(url)
    if "@" in parts.netloc:
        raise InvalidInput(f"{redact(url)!r} carries a user name or password; use a presigned URL instead")
    if not allow_private and (host == "localhost" or host.endswith(_INSIDE)):
        raise InvalidInput(f"{redact(url)!r} leads to this machine or into this network, so it is not read. {_ALLOW}")
    addresses = _addresses(host, port)
    address, kind = _first(forbidden, addresses)
    if kind:
        raise InvalidInput(f"{redact(url)!r} leads to {address}, which is {kind}; nothing is ever read from there")
    address, kind = _first(not_public, addresses)
    if kind and not allow_private:
        raise InvalidInput(f"{redact(url)!r} leads to {address}, which is {kind}, so it is not read. {_ALLOW}")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return ResolvedUrl(parts.scheme, host, port, tuple(addresses), target)


def check_fetchable(audio_url: str, base_url: str) -> None:
    """Refuse an address that the service cannot fetch from, before it is submitted.

    A name that does not resolve here passes: it may resolve there.

    :param base_url: where the service is. If that itself is not public, as an emulator is, it reaches the rest, too.
    :raises InvalidInput: with what to do instead.
    """
    reason = unreachable_reason(audio_url, base_url)
    if reason is not None:
        raise InvalidInput(f"audio_url={redact(audio_url)!r} {reason}, which the service cannot reach. {_ELSEWHERE}")


def unreachable_reason(url: str, base_url: str) -> str | None:
    """Return why the service cannot fetch from a web address; None if it can, as far as is known here.

    :param base_url: as for :func:`check_fetchable`.
    :raises InvalidInput: if it is not a web address.
    """
    reason, is_forbidden = _private_reason(url)
    return reason if reason and (is_forbidden or _private_reason(base_url)[0] is None) else None


def _split_url(url: str) -> tuple[SplitResult, str, int]:
    """Return the parts of a web address, its host in ASCII, and its port."""
    if len(url) > _MAX_URL_CHARS:
        raise InvalidInput(f"a web address has {len(url):,} characters; {_MAX_URL_CHARS:,} are read")
    if re.search(r"[\0-\x20\x7f\\]", url.strip()):
        raise InvalidInput(f"{redact(url)!r} is not a web address: it has spaces, backslashes or control characters")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        host = unicodedata.normalize("NFKC", parts.hostname or "").rstrip(".")
        host = host if ":" in host else host.encode("idna").decode("ascii").lower()
    except ValueError as error:
        raise InvalidInput(f"{redact(url)!r} is not a web address") from error
    if parts.scheme not in _PORTS:
        raise InvalidInput(f"{redact(url)!r} is not an http(s) address, which is all that can be fetched. {_ELSEWHERE}")
    if not host or "%" in host or not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", host):
        raise InvalidInput(f"{redact(url)!r} is not a web address: its host is malformed")
    return parts, host, _PORTS[parts.scheme] if port is None else port


def _number(host: str) -> Address | None:
    """Read a host that is a number, however it is written: ``2130706433`` and ``0x7f.1`` are 127.0.0.1."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if re.fullmatch(r"[0-9a-fx.]+", host) else None
    except OSError:
        return None


def _addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a host; a number is its own."""
    number = _number(host)
    if number:
        return [str(number)]
    try:
        addresses = system_resolver(host, port)
        if not addresses:
            raise OSError("no addresses")
    except (OSError, UnicodeError) as error:
        raise ConnectError(f"the name {host!r} does not resolve here") from error
    return [address.partition("%")[0] for address in addresses]


def _first(judge: Callable[[str], str | None], addresses: list[str]) -> tuple[str, str | None]:
    """Return the first address that is refused, and what it is; None if there is none."""
    kinds = ((address, judge(address)) for address in addresses)
    return next((found for found in kinds if found[1]), ("", None))


def _private_reason(url: str) -> tuple[str | None, bool]:
    """Return why an address cannot be reached from outside, None if it can, and whether nobody may read there."""
    _, host, port = _split_url(url)
    try:
        addresses = _addresses(host, port)
    except ConnectError:
        addresses = []
    is_number = _number(host) is not None
    address, kind = _first(forbidden, addresses)
    is_forbidden = kind is not None
    if not is_forbidden:
        if not is_number and ("." not in host or host.endswith(_INSIDE)):
            return f"has a name that is only known here ({host})", False
        address, kind = _first(not_public, addresses)
    if kind is None:
        return None, False
    return f"is {kind}" if is_number else f"leads to {address}, which is {kind}", is_forbidden
