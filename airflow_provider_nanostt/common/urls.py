"""What may be shown and stored of an address, which part of it identifies a recording, and what has to be masked.

Query values are secrets, all of them, and so is a user name or password. Everything that is logged, raised, recorded or
sent elsewhere goes through here, after decoding. Strings in, strings out: nothing is looked up.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import TypeVar, cast
from urllib.parse import parse_qsl, quote_plus, unquote, unquote_plus, urlsplit

T = TypeVar("T")

_SIGNING_PREFIXES = ("x-amz-", "x-goog-", "x-oss-", "x-cos-", "x-ms-")
_SIGNING_NAMES = frozenset(
    "awsaccesskeyid googleaccessid ossaccesskeyid key-pair-id policy signature expires security-token "
    "token access_token auth hmac hdnts sig".split()
)
_AZURE_NAMES = frozenset("sv ss srt sp st se spr sr si skoid sktid skt ske sks skv sip sdd saoid suoid scid".split())
_SHORTEST_SECRET = 8
_DIGEST_CHARS = 16

# A colon, a slash, a question mark and an equals sign as written plainly, by JSON, in HTML, and percent-encoded once or
# several times.
_COLON = r"(?::|\\{1,8}u003a|&(?:\#58|\#x3a|colon);|%(?:25)*3a)"
_SLASH = r"(?:\\{0,8}/|\\{1,8}u002f|&(?:\#47|\#x2f|sol);|%(?:25)*2f)"
_MARK = r"(?:\?|\\{1,8}u003f|&(?:\#63|\#x3f|quest);|%(?:25)*3f)"
_EQUALS = r"(?:=|\\{1,8}u003d|&(?:\#61|\#x3d|equals);|%(?:25)*3d)"
# An apostrophe may be a part of an address; it ends one unless what follows still looks like a query.
_REST = r"(?:[^\s\"'<>]|'(?=[^\s\"'<>]*=))*"
_QUERY_START = rf"{_MARK}(?=[\w.~%\[\]-]{{1,80}}{_EQUALS})"

_ADDRESS = re.compile(rf"[a-z][a-z0-9+.-]{{0,11}}{_COLON}{_SLASH}{{2}}{_REST}", re.IGNORECASE)
_QUERY = re.compile(_QUERY_START + _REST, re.IGNORECASE)
_SUSPECT = re.compile(rf"{_COLON}{_SLASH}{{2}}|{_QUERY_START}", re.IGNORECASE)
_PLAIN_QUERY = re.compile(rf"\?[\w.~%\[\]-]{{1,80}}{_EQUALS}", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
_TRAILING = ".,;:)]}\\"
_WEB = ("http", "https")
_REORDERING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Classes of invisible characters that change the order in which others are shown."""


def display(url: str) -> str:
    """Return an address as it may be stored and shown; what is not an address stays as it is.

    :return: for a web address scheme, host and path; for any other URI all of it but a password.
    """
    scheme, mark, rest = url.strip().partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        return url
    is_web = scheme.lower() in _WEB
    bare, hidden = _without_user(rest, always=is_web)
    if not is_web:
        return f"{scheme}://{bare}" if hidden else url
    host, slash, path = re.split(r"[?#]", bare, maxsplit=1)[0].partition("/")
    return f"{scheme.lower()}://{host}{slash}{_cut(path)}"


def escaped(text: str) -> str:
    """Return a text that can be printed in one line: controls and bytes that are no text become escapes."""
    return "".join(one.encode("unicode_escape").decode() if _is_unprintable(one) else one for one in text)


def _is_unprintable(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in _REORDERING
    )


def is_web_url(text: str) -> bool:
    """Whether a text is an http(s) address with a host."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in _WEB and bool(parts.hostname)


def redact(text: str) -> str:
    """Return a text in which each address is as :func:`display` shows it, however the text writes the address.

    Also a query without its address is left out, as in "url: /a.mp3?signature=…".
    """
    return _QUERY.sub("?…", _ADDRESS.sub(_redacted, text)) if _is_suspect(text) else text


def redact_value(value: T) -> T:
    """Return a JSON value in which every text, however deep, is as :func:`redact` returns it; tuples become lists."""
    return cast("T", _redacted_value(value))


def identity_url(url: str) -> str:
    """Return what identifies the object at an address: the same text for every signing of it.

    Query values that do not sign tell objects apart; a digest stands for them.
    """
    shown = display(url)
    scheme, _, rest = url.strip().partition("://")
    if scheme.lower() not in _WEB:
        return shown
    path, _, query = _without_user(rest)[0].partition("#")[0].partition("?")
    kept = sorted(pair for pair in _pairs(query) if not _is_signing(pair[0], query))
    if not shown.endswith(path):  # something in the path is not shown
        kept.append(("", path))
    if not kept:
        return shown
    digest = hashlib.sha256(json.dumps(kept).encode("utf-8", "replace")).hexdigest()
    return f"{shown}?{digest[:_DIGEST_CHARS]}"


def secret_parts(url: str) -> list[str]:
    """Return what has to be masked wherever an address is shown: query values, as written and decoded, and a password.

    Short values and numbers are left out: masking them would make every log unreadable.
    """
    try:
        parts = urlsplit(url)
        query, user = parts.query, [text for text in (parts.username, parts.password) if text]
    except ValueError:  # not an address: any part of it may be secret
        return [url]
    written = {pair.partition("=")[2] for pair in query.split("&")}
    found = {value for _, value in _pairs(query)} | written | {unquote_plus(value) for value in written}
    found |= {text for name in user for text in (name, unquote(name))}
    found = {value for value in found if len(value) >= _SHORTEST_SECRET and not value.isdigit()}
    found |= {quote_plus(value) for value in found if "%" not in value}
    return sorted(found | ({parts.password, unquote(parts.password)} if parts.password else set()))


def _pairs(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


def _is_signing(name: str, query: str) -> bool:
    name = name.lower()
    if name in _SIGNING_NAMES or name.startswith(_SIGNING_PREFIXES):
        return True
    return name in _AZURE_NAMES and any(other.lower() == "sig" for other, _ in _pairs(query))


def _without_user(rest: str, *, always: bool = True) -> tuple[str, bool]:
    """Return what follows a scheme without user name and password, and whether something was left out.

    :param always: whether a name without a password goes, too; in an object storage URI it names a connection.
    """
    hidden = False
    while True:
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        user, at, _ = unquote(authority).rpartition("@")
        name, colon, port = authority.partition(":")
        if at:
            if not (always or ":" in user):
                return rest, hidden
            rest = re.split(r"@|%40", authority)[-1] + rest[len(authority) :]
        elif colon and not name.startswith("[") and not port.isdigit() and port and "@" in rest:
            rest = rest.partition("@")[2]  # a password with a slash or a question mark in it
        else:
            return rest, hidden
        hidden = True


def _is_suspect(text: str) -> bool:
    """Whether there may be an address or a query in a text; the answer costs little where there is none."""
    if "://" in text:
        return True
    if "%" in text or "\\" in text or "&" in text:
        return _SUSPECT.search(text) is not None
    return "?" in text and _PLAIN_QUERY.search(text) is not None


def _cut(path: str) -> str:
    """Return a path up to an address or a query inside of it."""
    found = _SUSPECT.search(path)
    return f"{path[: found.start()]}…" if found else path


def _redacted(found: re.Match[str]) -> str:
    """Return an address in a text as it may be shown, decoded if the text encodes it."""
    address = found[0].rstrip(_TRAILING)
    plain = _decoded(address)
    scheme, _, rest = plain.partition("://")
    shown = display(plain) if scheme.lower() in _WEB else f"{scheme}://{_cut(_without_user(rest, always=False)[0])}"
    return shown + found[0][len(address) :]


def _decoded(address: str) -> str:
    if "\\" in address:
        address = re.sub(r"\\+u00([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), address, flags=re.IGNORECASE)
        address = re.sub(r"\\+/", "/", address)
    if "&#" in address or "://" not in address:
        address = html.unescape(address)
    while "://" not in address:
        address = unquote(address)
    return address


def _redacted_value(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {_redacted_value(key): _redacted_value(inner) for key, inner in value.items()}
    # A list without any address, such as one of 27,000 words, is not walked through.
    if isinstance(value, list | tuple) and _is_suspect(json.dumps(value, default=str, ensure_ascii=False)):
        return [_redacted_value(inner) for inner in value]
    return value
