"""Presigned URLs: which part of an address identifies the audio, and which part is a secret. Only that."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote_plus, unquote, unquote_plus, urlencode, urlsplit, urlunsplit

_PREFIXES = ("x-amz-", "x-goog-", "x-oss-", "x-cos-", "x-ms-")
_NAMES = frozenset(
    "awsaccesskeyid googleaccessid ossaccesskeyid key-pair-id policy signature expires security-token "
    "token access_token auth hmac hdnts sig".split()
)
_AZURE = frozenset("sv ss srt sp st se spr sr si skoid sktid skt ske sks skv sip sdd saoid suoid scid".split())
_SHORTEST_SECRET = 8
_ADDRESS = re.compile(r"https?://[^\s'\"<>]+", re.IGNORECASE)


def _is_signature(name: str, *, azure: bool) -> bool:
    name = name.lower()
    return name in _NAMES or name.startswith(_PREFIXES) or (azure and name in _AZURE)


def _split(url: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Part the query into what names the audio and what signs the address."""
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    azure = any(name.lower() == "sig" for name, _ in pairs)
    named = [pair for pair in pairs if not _is_signature(pair[0], azure=azure)]
    return named, [pair for pair in pairs if pair not in named]


def unsigned(url: str) -> str:
    """Return the address without its signature and fragment: the same for every signing of the same object."""
    parts = urlsplit(url)
    named, _ = _split(url)
    return urlunsplit((parts.scheme.lower(), parts.netloc.rpartition("@")[2], parts.path, urlencode(named), ""))


def secrets(url: str) -> list[str]:
    """Return what must not be shown of an address: signing values, as written and decoded, and a password."""
    try:
        parts = urlsplit(url)
        _, signing = _split(url)
    except ValueError:  # no address; nobody can tell which part of it signs
        return [url]
    names = {name for name, _ in signing}
    written = (pair.partition("=") for pair in parts.query.split("&"))
    found = {value for _, value in signing} | {value for name, _, value in written if unquote_plus(name) in names}
    found = {value for value in found if len(value) >= _SHORTEST_SECRET and not value.isdigit()}
    found |= {quote_plus(value) for value in found if "%" not in value}
    return sorted(found | ({parts.password, unquote(parts.password)} if parts.password else set()))


def hidden(text: str) -> str:
    """Return a text, such as an answer of the service, in which no address tells what may be secret in it."""
    return _ADDRESS.sub(lambda found: _told(found[0]), text)


def _told(url: str) -> str:
    address = url.rstrip(".,;:)]}")
    try:
        return f"{unsigned(address) if _has_secrets(address) else address}{url[len(address) :]}"
    except ValueError:  # no address; nobody can tell which part of it signs
        return "(an address)"


def _has_secrets(url: str) -> bool:
    return "@" in urlsplit(url).netloc or bool(_split(url)[1])


def shown(value: object) -> object:
    """Return a value as it may be stored and shown: of an address, only what is not secret."""
    is_address = isinstance(value, str) and value[:8].lower().startswith(("http://", "https://"))
    return unsigned(str(value)) if is_address else value
