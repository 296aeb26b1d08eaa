"""How other systems name an address: the URI of an asset, the names of OpenLineage. Neither has anything secret."""

from __future__ import annotations

from urllib.parse import quote

from airflow_provider_nanostt.common.urls import display

_SAFE = "/!$&'()*+,;=:@~"  # what a path may have besides letters and digits; the rest is percent-encoded


def plain(address: str) -> str:
    """Return an address as an asset's URI, percent-encoded once.

    Names in storage and on disk are literal, so a percent sign in one is encoded; a web address is encoded already.
    """
    scheme, host, path = _parts(address)
    if scheme in ("http", "https"):
        host = host if host.isascii() else host.encode("idna").decode()
        return f"{scheme}://{host}{_quoted(path, safe=f'{_SAFE}%')}"
    return f"{scheme}://{_quoted(host)}{_quoted(path)}" if scheme else _quoted(path)


def named(address: str) -> tuple[str, str]:
    """Return namespace and name of an address, by OpenLineage's naming rules."""
    scheme, host, path = _parts(address)
    if scheme in ("", "file"):
        return "file", path
    return f"{scheme}://{host}", path.removeprefix("/") or "/"


def _parts(address: str) -> tuple[str, str, str]:
    """Return scheme, host and path: without signature, and without the connection the address is reached through."""
    text = display(address)
    if text.startswith("/") or "://" not in text:
        return "file" if text.startswith("/") else "", "", text
    scheme, _, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    return scheme.lower(), host.rpartition("@")[2], slash + path


def _quoted(text: str, *, safe: str = _SAFE) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe=safe)
