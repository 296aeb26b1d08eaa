"""A recording behind a web address, read in a few small pieces: enough to tell what it is and how long it lasts.

The address is checked and resolved once for each hop, and the connection goes to the very address that was checked.
Redirects are followed by hand, each one checked anew. A server that does not send pieces, changes the file in between
or says things that do not fit is given up on; the whole file is never fetched.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, cast
from urllib.parse import urljoin

from airflow_provider_nanostt import __version__
from airflow_provider_nanostt.api.errors import InvalidInput, NanoGPTError
from airflow_provider_nanostt.audio.inspect import formats
from airflow_provider_nanostt.audio.inspect.duration import Length, measure
from airflow_provider_nanostt.audio.inspect.fetched import FetchedFile
from airflow_provider_nanostt.audio.inspect.url_safety import check_fetchable, check_public, locate, resolved

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    import urllib3

    from airflow_provider_nanostt.audio.inspect.url_safety import Place, Resolver

__all__ = ["RangeFile", "RemoteUnreadable", "check_fetchable", "check_public", "remote_length"]

MAX_REQUESTS = 8
MAX_BYTES = 1024 * 1024
"""Where reading ends for any file; ordinary ones take half of both."""

SMALL = 384 * 1024
"""A file up to this size is fetched whole, in two pieces."""

_AHEAD = 64 * 1024
_BEHIND = 8 * 1024
_MAX_REDIRECTS = 5
_PATIENCE = 30.0
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 10.0


class RemoteUnreadable(NanoGPTError, OSError):
    """A recording behind an address cannot be read in pieces; the message says why, without what is secret."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def remote_length(url: str, *, allow_private: bool, resolve: Resolver = resolved) -> Length:
    """Tell how long a recording behind a web address is; arguments as for :func:`remote_facts`."""
    return remote_facts(url, allow_private=allow_private, resolve=resolve)[2]


def remote_facts(
    url: str, *, allow_private: bool, resolve: Resolver = resolved
) -> tuple[int | None, formats.Format | None, Length]:
    """Tell what lies behind a web address: its size in bytes, its format, its length.

    :param url: http or https; its query never shows up anywhere.
    :param allow_private: whether addresses inside the network may be asked.
    :param resolve: finds the addresses of a host.
    :return: None for what cannot be told, with the reason in the length; never an exception for what is or is not
        behind the address.
    """
    size, kind = None, None
    try:
        with RangeFile(url, allow_private=allow_private, resolve=resolve) as remote:
            file, size = cast("BinaryIO", remote), remote.size
            kind = formats.identify(file, remote.size)
            return size, kind, measure(file, remote.size, kind, whole=remote.size <= SMALL)
    except (NanoGPTError, OSError) as error:
        return size, kind, Length(None, str(error))


class RangeFile(FetchedFile):
    """A file behind a web address, read-only and seekable, of which only the pieces that are read are fetched.

    :param url: http or https.
    :param allow_private: whether addresses inside the network may be asked.
    :param resolve: finds the addresses of a host.
    :param max_requests: how many requests are made at the most, redirects among them.
    :param max_bytes: how many bytes are fetched at the most.
    :raises InvalidInput: if the address is refused, or leads to one that is.
    :raises RemoteUnreadable: if the server does not send pieces; also while reading.
    """

    def __init__(
        self,
        url: str,
        *,
        allow_private: bool = False,
        resolve: Resolver = resolved,
        max_requests: int = MAX_REQUESTS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        super().__init__()
        self.requests = 0
        """Requests made so far."""
        self.received = 0
        """Bytes fetched so far."""
        self._url = url.strip()
        self._allow_private, self._resolve = allow_private, resolve
        self._max_requests, self._max_bytes = max_requests, max_bytes
        self._until = time.monotonic() + _PATIENCE
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._pieces: list[tuple[int, bytes]] = []
        self._validators: tuple[str | None, ...] | None = None
        self._place = self._located()
        try:
            self._fetch(0, _AHEAD)
        except BaseException:
            self.close()
            raise

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes from here; fewer only at the end.

        :raises RemoteUnreadable: if they cannot be fetched, or enough has been fetched.
        """
        wanted = self.size - self._at if size is None or size < 0 else size
        stop = min(self._at + wanted, self.size)
        found = bytearray()
        while self._at < stop:
            piece = self._piece(self._at, stop)
            found += piece
            self._at += len(piece)
        return bytes(found)

    def close(self) -> None:
        """Close the connection."""
        self._disconnect()
        super().close()

    def _disconnect(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _piece(self, start: int, stop: int) -> bytes:
        """Return bytes from ``start``, at least one, at the most up to ``stop``; fetch them if need be."""
        for begin, data in self._pieces:
            if begin <= start < begin + len(data):
                return data[start - begin : stop - begin]
        first = max((begin + len(data) for begin, data in self._pieces if begin <= start), default=0)
        last = min((begin for begin, _ in self._pieces if begin > start), default=self.size)
        if self.size > SMALL:
            first, last = max(first, start - _BEHIND), min(last, max(stop, start + _AHEAD), start + self._max_bytes)
        self._fetch(first, last)
        return self._piece(start, stop)

    def _fetch(self, first: int, last: int) -> None:
        """Fetch the bytes from ``first`` up to, but not with, ``last``."""
        import urllib3

        if self.received + last - first > self._max_bytes:
            raise RemoteUnreadable(f"more than {self._max_bytes:,} bytes would be needed")
        for _ in range(_MAX_REDIRECTS + 1):
            if self.requests >= self._max_requests:
                raise RemoteUnreadable(f"more than {self._max_requests} requests would be needed")
            try:
                answer = self._ask(first, last)
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                raise RemoteUnreadable(f"{self._place.host} cannot be read: {type(error).__name__}") from None
            try:
                if answer.status in (301, 302, 303, 307, 308):
                    self._redirect(answer.headers.get("Location"))
                    continue
                self._take(answer, first, last)
            finally:
                answer.close()
            return
        raise RemoteUnreadable(f"{self._place.host} redirects in circles")

    def _ask(self, first: int, last: int) -> urllib3.BaseHTTPResponse:
        import urllib3

        self.requests += 1
        self._pool = self._pool or _pool(self._place)
        return self._pool.urlopen(
            "GET",
            self._place.target,
            headers={
                "Host": self._place.host_header,
                "Range": f"bytes={first}-{last - 1}",
                "Accept-Encoding": "identity",
                "User-Agent": f"airflow-provider-nanostt/{__version__}",
            },
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )

    def _located(self) -> Place:
        place = locate(self._url, allow_private=self._allow_private, resolve=self._resolve)
        if _is_proxied(f"{place.scheme}://{place.host_header}/"):
            raise RemoteUnreadable(f"{place.host} is reached through a proxy, which cannot be told whom to connect to")
        return place

    def _redirect(self, where: str | None) -> None:
        if not where:
            raise RemoteUnreadable(f"{self._place.host} redirects to nowhere")
        self._url = urljoin(self._url, where)
        try:
            place = self._located()
        except InvalidInput as error:
            raise InvalidInput(f"{self._place.host} redirects elsewhere: {error}") from None
        self._disconnect()
        self._place = place

    def _take(self, answer: urllib3.BaseHTTPResponse, first: int, last: int) -> None:
        """Keep what was sent, if it is what was asked for."""
        host, headers = self._place.host, answer.headers
        if headers.get("Content-Encoding", "identity") != "identity":
            raise RemoteUnreadable(f"{host} compresses what it sends, so that pieces mean nothing")
        if answer.status == 416 and re.fullmatch(r"bytes \*/0", headers.get("Content-Range", "")):
            return
        if answer.status == 200:
            begin, total = 0, _whole_size(headers, host)
            end = total
        elif answer.status == 206:
            begin, end, total = _range(headers, host)
        else:
            raise RemoteUnreadable(f"{host} answered {answer.status}")
        if begin != first or not begin < end <= max(last, SMALL) or end > total or (end < last and end < total):
            raise RemoteUnreadable(f"{host} sent another piece than the one asked for")
        validators = (str(total), headers.get("ETag"), headers.get("Last-Modified"))
        if self._validators not in (None, validators):
            raise RemoteUnreadable(f"the file at {host} changed while it was read")
        data = self._received(answer, end - begin)
        self._validators, self.size = validators, total
        self._pieces.append((begin, data))

    def _received(self, answer: urllib3.BaseHTTPResponse, length: int) -> bytes:
        """Read so many bytes, as they arrive: a server that trickles is not waited for."""
        import urllib3

        found = bytearray()
        try:
            while len(found) < length and (piece := answer.read1(min(length - len(found), _AHEAD))):
                found += piece
                if time.monotonic() > self._until:
                    raise RemoteUnreadable(f"{self._place.host} sends too slowly")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, RemoteUnreadable):
                raise
            raise RemoteUnreadable(f"{self._place.host} cannot be read: {type(error).__name__}") from None
        finally:
            self.received += len(found)
        if len(found) < length:
            raise RemoteUnreadable(f"{self._place.host} sent less than it announced")
        return bytes(found)


def _whole_size(headers: Mapping[str, str], host: str) -> int:
    """Return the size of a file that was sent whole, although a piece was asked for, if it is small."""
    length = headers.get("Content-Length", "")
    if not length.isdecimal() or not 0 < int(length) <= SMALL:
        raise RemoteUnreadable(f"{host} sends files only as a whole")
    return int(length)


def _range(headers: Mapping[str, str], host: str) -> tuple[int, int, int]:
    """Return where a piece begins and ends, and how long the whole is."""
    match = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", headers.get("Content-Range", "").strip())
    if not match:
        raise RemoteUnreadable(f"{host} does not say which piece it sent, or of how much")
    begin, end, total = map(int, match.groups())
    return begin, end + 1, total


def _pool(place: Place) -> urllib3.HTTPConnectionPool:
    """Return connections to the first address of a place, which show and check its name."""
    import urllib3

    address = place.addresses[0]
    if place.scheme == "http":
        return urllib3.HTTPConnectionPool(address, place.port, maxsize=1)
    trusted = _certificates()
    return urllib3.HTTPSConnectionPool(
        address,
        place.port,
        maxsize=1,
        cert_reqs="CERT_REQUIRED",
        ca_cert_dir=trusted if os.path.isdir(trusted) else None,  # noqa: PTH112 - as given
        ca_certs=None if os.path.isdir(trusted) else trusted,  # noqa: PTH112 - as given
        server_hostname=place.host,
        assert_hostname=place.host,
    )


def _certificates() -> str:
    """Return whose certificates to trust, as requests finds it."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH


def _is_proxied(url: str) -> bool:
    from requests.utils import get_environ_proxies, select_proxy

    return bool(select_proxy(url, get_environ_proxies(url, no_proxy=None)))
