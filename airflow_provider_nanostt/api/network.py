"""What both HTTP libraries have in common: proxies and certificates of the environment, and whose exceptions mean what.

An error is one of connecting if nothing had been sent: for requests there is a table of such exceptions, aiohttp notes
how far it came. Every other is taken for a connection that broke after the request may have arrived.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from http.client import HTTPException, HTTPResponse, parse_headers
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies

from airflow_provider_nanostt.api import errors, sockets
from airflow_provider_nanostt.api.body import shorten
from airflow_provider_nanostt.common.address import is_loopback

if TYPE_CHECKING:
    import aiohttp
    import requests
    import urllib3

T = TypeVar("T")

_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_MAX_TEXT_CHARS = 1000
_OBJECT = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>: |(?<![\w.])[\w.]+\([^()]*\): (?=Failed|Read)")
"""How urllib3 names a connection in its messages; says nothing to people."""


def certificates() -> list[str]:
    """Return the file or folder of trusted certificates that the environment names, else that of certifi.

    As in ``SSL_CERT_DIR``, it may be several folders with colons between them, of which those that are there count.
    """
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    named = next(filter(None, map(os.environ.get, _CERTIFICATES)), DEFAULT_CA_BUNDLE_PATH)
    folders = [one for one in named.split(os.pathsep) if one and Path(one).is_dir()]
    return [named] if Path(named).exists() or not folders else folders


def tls_context() -> ssl.SSLContext:
    """Return a context that trusts :func:`certificates`, which are read again when they have changed.

    All users share it, so nobody may change it.

    :raises InvalidInput: if there are none.
    """
    paths = tuple(certificates())
    try:
        states = map(os.stat, paths)
        return _read_certificates(paths, *((one.st_mtime_ns, one.st_size, one.st_ino) for one in states))
    except OSError as error:
        problem = f"the certificates of the environment ({os.pathsep.join(paths)}) cannot be read"
        raise errors.InvalidInput(f"{problem}: {errors.describe_exception(error)}") from error


@lru_cache(maxsize=4)  # reading certifi's takes 25 ms
def _read_certificates(paths: tuple[str, ...], *_states: tuple[int, ...]) -> ssl.SSLContext:
    path, is_folder = os.pathsep.join(paths), Path(paths[0]).is_dir()
    made = ssl.create_default_context(capath=path) if is_folder else ssl.create_default_context(cafile=path)
    made.sslsocket_class = sockets.TlsSocket
    return made


def is_encrypted(url: str, proxy: str | None) -> bool:
    """Return whether certificates are needed, for an address or for the proxy to it."""
    return "https" in {urlsplit(one).scheme for one in (url, proxy or "")}


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for an address, None to connect directly.

    Plain text for this machine goes through none: the proxy would see the key.

    :raises InvalidInput: for one that cannot be used; what it is, without its user and password.
    """
    parts, named = urlsplit(url), getproxies()
    found = (named.get(parts.scheme.lower()) or named.get("all") or "").strip()
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme.lower())
    host = parts.hostname or ""
    is_plain_here = parts.scheme.lower() == "http" and is_loopback(host)
    if not found or is_plain_here or _is_direct(host, port, named.get("no", "")):
        return None
    scheme, mark, rest = found.partition("://")
    scheme, rest = (scheme.lower(), rest) if mark else ("http", found)
    user, at, place = rest.rpartition("@")
    name, _, password = (quote(unquote(part), safe="") for part in user.partition(":"))
    try:
        unquote(name + password).encode("latin-1")
        split = urlsplit(f"//{place}")
        is_sound = scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:
        is_sound = False
    if not is_sound:
        raise errors.InvalidInput(
            "the proxy of the environment cannot be used; it has to be http://host:port, with percent-encoded user and "
            "password before the host if it wants them"
        )
    return f"{scheme}://{f'{name}:{password}@' if at else ''}{split.netloc}"


def _is_direct(host: str, port: int | None, exempt: str) -> bool:
    """Return whether an entry of ``no_proxy`` is for a host: a name and those below it, a number, a network, or ``*``.

    A name or number may have a port, and an IPv6 number brackets.
    """
    host, address = host.lower().rstrip("."), _read_ip(ipaddress.ip_address, host)
    for entry in re.split(r"[\s,]+", exempt.lower()):
        network = _read_ip(partial(ipaddress.ip_network, strict=False), entry)
        if entry == "*" or (network and address and address in network):
            return True
        found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?", entry)
        if found and (not found[3] or int(found[3]) == port):
            name = (found[1] or found[2]).lstrip("*").strip(".")
            below = bool(name) and (host == name or (not address and host.endswith(f".{name}")))
            if below or (address and _read_ip(ipaddress.ip_address, name) == address):
                return True
    return False


def _read_ip(kind: Callable[[str], T], text: str) -> T | None:
    try:
        return kind(text)
    except ValueError:
        return None


@lru_cache(maxsize=1)
def connection_pools() -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Return urllib3's pools by scheme, with connections that keep ``sockets.deadline``.

    Nothing has been sent while a connection is made: what fails in that, proxy and handshake included, is an error of
    connecting, and all of it together has the time for connecting.
    """
    import urllib3

    class Answer(HTTPResponse):
        def _read_status(self) -> tuple[str, int, str]:
            """Pass over what comes before the answer, such as 103; Python does so with 100 alone."""
            while (found := super()._read_status())[1] in range(102, 200):  # type: ignore[misc]
                parse_headers(self.fp)
            return found  # type: ignore[no-any-return]

    class Connection(urllib3.connection.HTTPConnection):
        response_class = Answer

        def _new_conn(self) -> socket.socket:
            return sockets.connect(self._dns_host.strip("[]"), self.port, self.socket_options or ())

        def connect(self) -> None:
            try:
                with sockets.deadline(math.inf if self.timeout is None else self.timeout):
                    super().connect()
            except (OSError, UnicodeError, HTTPException, urllib3.exceptions.HTTPError) as error:
                raise urllib3.exceptions.NewConnectionError(self, errors.describe_exception(error)) from error

    class TlsConnection(Connection, urllib3.connection.HTTPSConnection):
        pass

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    class TlsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    return {"http": Pool, "https": TlsPool}


def session_for(url: str) -> requests.Session:
    """Return a session of requests for the host of an address, which reads nothing of the environment by itself.

    Its timeouts are for connecting and for silence; ``sockets.deadline`` is for a whole exchange.

    :raises InvalidInput: for certificates or a proxy that cannot be used.
    """
    import requests

    session, adapter = requests.Session(), _adapter()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    if proxy := proxy_for(url):
        session.proxies = {"all": proxy}
    if is_encrypted(url, proxy):
        tls_context()
        session.verify = certificates()[0]
    return session


def _adapter() -> requests.adapters.HTTPAdapter:
    """Return what connects a session: with verified proxies, and with :func:`connection_pools`."""
    import urllib3
    from requests.adapters import HTTPAdapter

    tls = urllib3.util.create_urllib3_context()  # into which urllib3 reads the certificates
    tls.sslsocket_class = sockets.TlsSocket

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *sizes: Any, **options: Any) -> None:
            super().init_poolmanager(*sizes, **options, ssl_context=tls)
            self.poolmanager.pool_classes_by_scheme = connection_pools()

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            # urllib3 reads no certificates into the context for a proxy.
            own = tls_context() if is_encrypted(proxy, None) else None
            manager = super().proxy_manager_for(proxy, **options, ssl_context=tls, proxy_ssl_context=own)
            manager.pool_classes_by_scheme = connection_pools()
            return manager

        def cert_verify(self, conn: Any, _: str, *how: Any) -> None:  # requests would not, of a proxy to plain http
            super().cert_verify(conn, "https:", *how)  # type: ignore[no-untyped-call]
            if getattr(conn, "ca_cert_dir", None):  # of which requests takes one
                conn.ca_cert_dir = os.pathsep.join(certificates())

    return Adapter()


@contextmanager
def requests_errors(host: str) -> Iterator[None]:
    """Turn what requests raises in the block into our own errors."""
    import requests
    import urllib3

    unsent = (
        requests.ConnectTimeout,
        requests.exceptions.ProxyError,
        urllib3.exceptions.ConnectTimeoutError,
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ProxyError,
    )
    try:
        yield
    except (OSError, urllib3.exceptions.HTTPError) as error:  # those of requests are OSErrors
        chain = [error, *_reasons(error)]
        is_sent = not any(isinstance(one, unsent) for one in chain)
        raise _mapped(chain, host, is_sent=is_sent) from errors.without_secrets(error)


@dataclass(slots=True)
class Progress:
    """How far an exchange of aiohttp has come; for its ``trace_request_ctx``."""

    is_sent: bool = False  # at least the request's head, to the service itself


def progress_trace() -> aiohttp.TraceConfig:
    """Return what lets the requests of a session note their :class:`Progress`."""
    import aiohttp

    async def note(_: object, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.is_sent = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(note)
    return trace


@contextmanager
def aiohttp_errors(host: str, progress: Progress) -> Iterator[None]:
    """Turn what aiohttp raises in the block into our own errors; which of them a timeout is shows in the progress."""
    import aiohttp

    try:
        yield
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _mapped([error], host, is_sent=progress.is_sent) from errors.without_secrets(error)


def _reasons(error: Exception) -> Iterator[Exception]:
    """Yield what requests has wrapped up: urllib3's error, and the reason that names."""
    inner: object = error
    while isinstance(inner := getattr(inner, "reason", None) or (error.args[0] if error.args else None), Exception):
        error = inner
        yield error


def _mapped(chain: list[Exception], host: str, *, is_sent: bool) -> errors.NanoGPTError:
    """Return our own error for an exception and what is inside of it, the outermost first."""
    if is_sent:
        return errors.ReadError(f"the connection to NanoGPT broke: {_describe(chain[0])}")
    # What urllib3 wraps says more than its wrapping.
    return errors.ConnectError(f"NanoGPT cannot be reached at {host}: {_describe(chain[-1])}")


def _describe(error: BaseException) -> str:
    return shorten(_OBJECT.sub("", errors.describe_exception(error)[:_MAX_TEXT_CHARS]))
