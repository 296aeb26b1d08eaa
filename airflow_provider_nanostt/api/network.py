"""What both HTTP libraries have in common: proxies and certificates of the environment, and whose exceptions mean what.

Each library has one table of exceptions; everything in none of them is taken for a connection that broke after the
request may have arrived. Nothing is sent here.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common.address import is_loopback

if TYPE_CHECKING:
    import requests

T = TypeVar("T")
ExceptionTypes = tuple[type[BaseException], ...]

_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_MAX_TEXT_CHARS = 300
_OBJECT = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>: |[\w.]+\([^()]*\): (?=Failed)")
"""How urllib3 names a connection in its messages; says nothing to people."""


def certificates() -> str:
    """Return the file or folder of trusted certificates that the environment names, else that of certifi."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    return next(filter(None, map(os.environ.get, _CERTIFICATES)), DEFAULT_CA_BUNDLE_PATH)


def tls_context() -> ssl.SSLContext:
    """Return a context that trusts :func:`certificates`, which are read again when they have changed.

    All users share it, so nobody may change it.

    :raises InvalidInput: if there are none.
    """
    path = certificates()
    try:
        state = Path(path).stat()
        return _read_certificates(path, state.st_mtime_ns, state.st_size, state.st_ino)
    except OSError as error:
        problem = f"the certificates of the environment ({path}) cannot be read"
        raise errors.InvalidInput(f"{problem}: {errors.describe_exception(error)}") from error


@lru_cache(maxsize=4)  # reading certifi's takes 25 ms
def _read_certificates(path: str, *_state: int) -> ssl.SSLContext:
    is_folder = Path(path).is_dir()
    return ssl.create_default_context(capath=path) if is_folder else ssl.create_default_context(cafile=path)


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


def session_for(url: str) -> requests.Session:
    """Return a session of requests for the host of an address, which reads nothing of the environment by itself.

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
        session.verify = certificates()
    return session


def _adapter() -> requests.adapters.HTTPAdapter:
    """Return what connects a session: with verified proxies, and with handshakes that are a part of connecting."""
    import urllib3
    from requests.adapters import HTTPAdapter

    class Connection(urllib3.connection.HTTPSConnection):
        """Nothing has been sent while the handshake goes on: what fails in it is an error of connecting."""

        def connect(self) -> None:
            try:
                super().connect()
            except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
                raise
            except (OSError, urllib3.exceptions.HTTPError) as error:
                raise urllib3.exceptions.NewConnectionError(self, errors.describe_exception(error)) from error

    class Pool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Connection

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *sizes: Any, **options: Any) -> None:
            super().init_poolmanager(*sizes, **options)
            self.poolmanager.pool_classes_by_scheme = {"http": urllib3.HTTPConnectionPool, "https": Pool}

        def proxy_manager_for(self, *proxy: Any, **options: Any) -> Any:
            manager = super().proxy_manager_for(*proxy, **options)
            manager.pool_classes_by_scheme = {"http": urllib3.HTTPConnectionPool, "https": Pool}
            return manager

        def cert_verify(self, conn: Any, _: str, *how: Any) -> None:  # requests would not, of a proxy to plain http
            super().cert_verify(conn, "https:", *how)  # type: ignore[no-untyped-call]

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
        raise _mapped([error, *_reasons(error)], host, unsent=unsent) from errors.without_secrets(error)


@contextmanager
def aiohttp_errors(host: str) -> Iterator[None]:
    """Turn what aiohttp raises in the block into our own errors."""
    import aiohttp

    timed_out = getattr(aiohttp, "ConnectionTimeoutError", aiohttp.ClientConnectorError)  # since aiohttp 3.10
    unsent = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, timed_out)
    try:
        yield
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _mapped([error], host, unsent=unsent) from errors.without_secrets(error)


def _reasons(error: Exception) -> Iterator[BaseException]:
    """Yield what requests has wrapped up: urllib3's error, and the reason that names."""
    inner: object = error
    while isinstance(inner := getattr(inner, "reason", None) or (error.args[0] if error.args else None), Exception):
        error = inner
        yield error


def _mapped(chain: list[BaseException], host: str, *, unsent: ExceptionTypes) -> errors.NanoGPTError:
    """Return our own error for an exception and what is inside of it, the outermost first."""
    if any(isinstance(error, unsent) for error in chain):
        # What urllib3 wraps says more than its wrapping.
        return errors.ConnectError(f"NanoGPT cannot be reached at {host}: {_describe(chain[-1])}")
    return errors.ReadError(f"the connection to NanoGPT broke: {_describe(chain[0])}")


def _describe(error: BaseException) -> str:
    return _OBJECT.sub("", errors.describe_exception(error))[:_MAX_TEXT_CHARS]
