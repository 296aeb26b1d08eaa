"""What both HTTP libraries have in common: proxies and certificates of the environment, and whose exceptions mean what.

Each library has one table of exceptions; everything in none of them is taken for a connection that broke after the
request may have arrived. Nothing is sent here.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_nanostt.api import errors

ExceptionTypes = tuple[type[BaseException], ...]

_MAX_TEXT_CHARS = 300
_OBJECT = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>: |[\w.]+\([^()]*\): (?=Failed)")
"""How urllib3 names a connection in its messages; says nothing to people."""


def certificates() -> str:
    """Return the file or folder of trusted certificates that the environment names, as requests finds it."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH


def tls_context() -> ssl.SSLContext:
    """Return a context that trusts :func:`certificates`; raises InvalidInput if there are none."""
    path = certificates()
    try:
        is_folder = Path(path).is_dir()
        return ssl.create_default_context(capath=path) if is_folder else ssl.create_default_context(cafile=path)
    except OSError as error:
        problem = f"the certificates of the environment ({path}) cannot be read"
        raise errors.InvalidInput(f"{problem}: {errors.describe_exception(error)}") from error


def environment_proxy(url: str) -> str | None:
    """Return the proxy that the environment names for an address, as requests finds it; aiohttp looks elsewhere."""
    from requests.utils import get_environ_proxies, select_proxy

    return select_proxy(url, get_environ_proxies(url, no_proxy=None))


def proxy_for(url: str) -> str | None:
    """Return the address of the proxy for aiohttp, None without one; raises InvalidInput for what it cannot use."""
    proxy = environment_proxy(url)
    if not proxy:
        return None
    scheme, mark, _ = proxy.partition("://")
    if mark and scheme.lower() not in ("http", "https"):
        raise errors.InvalidInput(f"the environment names a {scheme} proxy; waiting in the triggerer needs an http one")
    return proxy if mark else f"http://{proxy}"


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
        ssl.SSLCertVerificationError,
    )
    invalid = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _mapped([error, *_reasons(error)], host, unsent=unsent, invalid=invalid) from error
    except OSError as error:
        # A bare one without a number is of requests itself: certificates that are not there, before anything is sent.
        is_of_system = type(error) is not OSError or error.errno is not None
        raise _mapped([error], host, unsent=unsent, invalid=() if is_of_system else (OSError,)) from error


@contextmanager
def aiohttp_errors(host: str) -> Iterator[None]:
    """Turn what aiohttp raises in the block into our own errors."""
    import aiohttp

    timed_out = getattr(aiohttp, "ConnectionTimeoutError", aiohttp.ClientConnectorError)  # since aiohttp 3.10
    unsent = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, timed_out)
    try:
        yield
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _mapped([error], host, unsent=unsent, invalid=(aiohttp.InvalidURL,)) from error


def _reasons(error: Exception) -> Iterator[BaseException]:
    """Yield what requests has wrapped up: urllib3's error, and the reason that names."""
    for _ in range(3):
        reason = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(reason, Exception):
            return
        error = reason
        yield error


def _mapped(
    chain: list[BaseException], host: str, *, unsent: ExceptionTypes, invalid: ExceptionTypes
) -> errors.NanoGPTError:
    """Return our own error for an exception and what is inside of it, the outermost first."""
    if any(isinstance(error, unsent) for error in chain):
        # What urllib3 wraps says more than its wrapping.
        return errors.ConnectError(f"NanoGPT cannot be reached at {host}: {_describe(chain[-1])}")
    if isinstance(chain[0], invalid):
        return errors.InvalidInput(f"the request cannot be sent: {_describe(chain[0])}")
    return errors.ReadError(f"the connection to NanoGPT broke: {_describe(chain[0])}")


def _describe(error: BaseException) -> str:
    return _OBJECT.sub("", errors.describe_exception(error))[:_MAX_TEXT_CHARS]
