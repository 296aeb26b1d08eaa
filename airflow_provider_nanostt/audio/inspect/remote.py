"""A file behind a web address, of which a few small ranges are fetched: enough to recognise and measure a recording.

The address is checked and resolved once for each hop, and the connection goes to the very address that was checked.
Redirects are followed by hand, each one checked anew. A server that sends no ranges, changes the file in between or
contradicts itself is given up on; the whole file is never fetched.
"""

from __future__ import annotations

import re
import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from airflow_provider_nanostt import __version__
from airflow_provider_nanostt.api import network, sockets
from airflow_provider_nanostt.api.errors import InvalidInput, NanoGPTError
from airflow_provider_nanostt.audio.inspect.ranged_file import RangedFile
from airflow_provider_nanostt.audio.inspect.url_safety import ResolvedUrl, resolve_url

if TYPE_CHECKING:
    import urllib3


MAX_REQUESTS = 8
MAX_BYTES = 1024 * 1024
MAX_SECONDS = 30.0
"""Where reading ends for any file, redirects included; ordinary ones take half of the requests and bytes."""

SMALL_FILE_BYTES = 384 * 1024
"""A file up to this size is fetched whole, in two ranges."""

_READ_AHEAD_BYTES = 64 * 1024
_READ_BEHIND_BYTES = 8 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 10.0


class RemoteUnreadable(NanoGPTError, OSError):
    """A recording behind an address cannot be read in ranges; the message says why, without secrets."""


class RemoteFile(RangedFile):
    """A file behind a web address; only the ranges that are read are fetched, each once.

    ``requests`` and ``received`` are the requests made and the bytes fetched so far.

    :param allow_private: whether addresses inside the network may be asked.
    :raises InvalidInput: if the address is refused, or leads to one that is.
    :raises RemoteUnreadable: if the server sends no ranges; also while reading.
    """

    def __init__(self, url: str, *, allow_private: bool = False) -> None:
        super().__init__(0)
        self.requests, self.received = 0, 0
        self._url, self._allow_private = url.strip(), allow_private
        self._until = time.monotonic() + MAX_SECONDS
        self._ranges: list[tuple[int, bytes]] = []
        self._validators: tuple[str | None, ...] | None = None
        self._resolved, self._pool = self._resolve_url()
        try:
            self._request_range(0, _READ_AHEAD_BYTES)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if hasattr(self, "_pool"):  # the address was not refused
            self._pool.close()
        super().close()

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes; those that have been fetched before are not fetched again.

        :raises RemoteUnreadable: if they cannot be fetched, or enough has been fetched.
        """
        found = bytearray()
        while (at := start + len(found)) < stop:
            near = (data[at - begin : stop - begin] for begin, data in self._ranges if begin <= at)
            piece = next(filter(None, near), None)
            if piece is None:
                self._request_range(*self._gap(at, stop))
            else:
                found += piece
        return bytes(found)

    def _gap(self, start: int, stop: int) -> tuple[int, int]:
        """Return the range to request for bytes that are not there: some more, but none that are there."""
        first = max((begin + len(data) for begin, data in self._ranges if begin <= start), default=0)
        last = min((begin for begin, _ in self._ranges if begin > start), default=self.size)
        if self.size <= SMALL_FILE_BYTES:
            return first, last
        first = max(first, start - _READ_BEHIND_BYTES)
        return first, min(last, max(stop, start + _READ_AHEAD_BYTES), start + MAX_BYTES)

    def _request_range(self, first: int, last: int) -> None:
        """Fetch the bytes from ``first`` up to, but not including, ``last``, and keep them."""
        import urllib3

        if self.received + last - first > MAX_BYTES:
            raise RemoteUnreadable(f"more than {MAX_BYTES:,} bytes would be needed")
        for _ in range(_MAX_REDIRECTS + 1):
            if self.requests >= MAX_REQUESTS:
                raise RemoteUnreadable(f"more than {MAX_REQUESTS} requests would be needed")
            try:
                with sockets.deadline(self._until - time.monotonic()), closing(self._send(first, last)) as answer:
                    if answer.status not in _REDIRECTS:
                        self._keep(answer, first, last)
                        return
                    self._redirect(answer.headers.get("Location"))
            except NanoGPTError:
                raise
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                problem = "sends too slowly" if time.monotonic() >= self._until else "cannot be read"
                raise RemoteUnreadable(f"{self._resolved.host} {problem}: {type(error).__name__}") from None
        raise RemoteUnreadable(f"{self._resolved.host} redirects in circles")

    def _send(self, first: int, last: int) -> urllib3.BaseHTTPResponse:
        import urllib3

        self.requests += 1
        return self._pool.urlopen(
            "GET",
            self._resolved.target,
            headers={
                "Host": self._resolved.host_header,
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

    def _resolve_url(self) -> tuple[ResolvedUrl, urllib3.HTTPConnectionPool]:
        found = resolve_url(self._url, allow_private=self._allow_private)
        if network.proxy_for(f"{found.scheme}://{found.host_header}/"):
            raise RemoteUnreadable(f"{found.host} is behind a proxy, so the checked address cannot be connected to")
        return found, _pool(found)

    def _redirect(self, where: str | None) -> None:
        if not where:
            raise RemoteUnreadable(f"{self._resolved.host} redirects without an address")
        self._url = urljoin(self._url, where)
        try:
            resolved, pool = self._resolve_url()
        except InvalidInput as error:
            raise InvalidInput(f"{self._resolved.host} redirects elsewhere: {error}") from None
        self._pool.close()
        self._resolved, self._pool = resolved, pool

    def _keep(self, answer: urllib3.BaseHTTPResponse, first: int, last: int) -> None:
        """Keep the range that was sent, if it is the one requested."""
        host, headers = self._resolved.host, answer.headers
        if headers.get("Content-Encoding", "identity") != "identity":
            raise RemoteUnreadable(f"{host} compresses its answers, so that ranges mean nothing")
        if answer.status == 416 and re.fullmatch(r"bytes \*/0", headers.get("Content-Range", "")):
            return
        begin, end, total = _sent_range(answer, host)
        is_enough = begin == first and begin < end and end >= min(last, total)
        if not is_enough or end > min(total, max(last, SMALL_FILE_BYTES)):
            raise RemoteUnreadable(f"{host} sent another range than the one requested")
        validators = (str(total), headers.get("ETag"), headers.get("Last-Modified"))
        if self._validators not in (None, validators):
            raise RemoteUnreadable(f"the file at {host} changed while it was read")
        data = self._received(answer, end - begin)
        self._validators, self.size = validators, total
        self._ranges.append((begin, data))

    def _received(self, answer: urllib3.BaseHTTPResponse, length: int) -> bytes:
        """Read so many bytes as they arrive."""
        found = bytearray()
        while len(found) < length and (block := answer.read1(min(length - len(found), _READ_AHEAD_BYTES))):
            found += block
            self.received += len(block)
        if len(found) < length:
            raise RemoteUnreadable(f"{self._resolved.host} sent fewer bytes than it announced")
        return bytes(found)


def _sent_range(answer: urllib3.BaseHTTPResponse, host: str) -> tuple[int, int, int]:
    """Return where the bytes that are sent begin and end, and how many the whole file has."""
    if answer.status == 200:  # a small file may come whole, although a range was requested
        length = answer.headers.get("Content-Length", "")
        if not length.isdecimal() or not 0 < int(length) <= SMALL_FILE_BYTES:
            raise RemoteUnreadable(f"{host} sends files only whole")
        return 0, int(length), int(length)
    if answer.status != 206:
        raise RemoteUnreadable(f"{host} answered {answer.status}")
    sent = answer.headers.get("Content-Range", "").strip()
    match = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", sent)
    if not match:
        raise RemoteUnreadable(f"{host} does not say which range it sent, or of how many bytes")
    begin, end, total = map(int, match.groups())
    return begin, end + 1, total


def _pool(url: ResolvedUrl) -> urllib3.HTTPConnectionPool:
    """Return connections to the first address of a host, which show and check its name."""
    pool = network.connection_pools()[url.scheme]
    if url.scheme == "http":
        return pool(url.addresses[0], url.port, maxsize=1)
    # No assert_hostname: with it urllib3 would turn off the check of names in the context, which is shared.
    return pool(url.addresses[0], url.port, maxsize=1, ssl_context=network.tls_context(), server_hostname=url.host)
