"""How texts write an address: plainly, as JSON, in HTML, percent-encoded once or several times; and how to undo it.

Strings in, strings out. What of an address may be shown is decided in ``urls``.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote, unquote

COLON = r"(?::|\\{1,8}u003a|&(?:\#58|\#x3a|colon);|%(?:25)*3a)"
SLASH = r"(?:\\{0,8}/|\\{1,8}u002f|&(?:\#47|\#x2f|sol);|%(?:25)*2f)"
QUERY_MARK = r"(?:\?|\\{1,8}u003f|&(?:\#63|\#x3f|quest);|%(?:25)*3f)"
EQUALS = r"(?:=|\\{1,8}u003d|&(?:\#61|\#x3d|equals);|%(?:25)*3d)"
# The start of a fragment, a parameter of a path, or another pair of a query.
_NEXT_MARK = (
    r"(?:[#;&]|\\{1,8}u00(?:23|3b|26)|&(?:\#35|\#x23|num|\#59|\#x3b|semi|\#38|\#x26|amp);|%(?:25)*(?:23|3b|26))"
)
_NAME = r"[\w.~%\[\]-]{1,80}"
# An apostrophe may be a part of an address; it ends one unless what follows still looks like a query.
REST = r"(?:[^\s\"'<>]|'(?=[^\s\"'<>]*=))*"
_QUERY_START = rf"{QUERY_MARK}(?={_NAME}{EQUALS})"
# Prose has these marks, too; what is secret behind one is longer.
_NEXT_START = rf"(?<=\w){_NEXT_MARK}(?={_NAME}{EQUALS}[^\s\"'<>]{{6}})"

ADDRESS = re.compile(rf"[a-z][a-z0-9+.-]{{0,11}}{COLON}{SLASH}{{2}}{REST}", re.IGNORECASE)
# A query without anything before it: its first pair.
_FIRST_PAIR = rf"(?<![\w.~%\[\]-]){_NAME}=[^\s\"'<>&]{{0,400}}(?=&{_NAME}=)"
QUERY = re.compile(rf"(?:{_QUERY_START}|{_NEXT_START}|{_FIRST_PAIR}){REST}", re.IGNORECASE)
SUSPECT = re.compile(rf"{COLON}{SLASH}{{2}}|{_QUERY_START}|{_NEXT_START}", re.IGNORECASE)
_PLAIN_QUERY = re.compile(rf"\?{_NAME}{EQUALS}", re.IGNORECASE)
PATH_PARAMETER = re.compile(r"(?:[;&|]|%3b|%26|%7c)([\w.~%-]{1,80})(?:=|%3d)([^/;&|]*)", re.IGNORECASE)
USER = re.compile(r"(?<![\w/:@.])[^\s/:@\"'<>(]+:[^\s/@\"'<>]+@(?=[\w\[])")
# What a text calls secret, or has behind a question mark. Whether it looks like that is for ``known_secrets`` to say.
NAMED = re.compile(
    r"((?:sig|signature|token|secret|passw(?:or)?d|credentials?|authorization|bearer|basic|key)[\"']?(?:\s*[:=]|%3d|\s)\s*"
    r"[\"']?(?:bearer\s+|basic\s+)?|(?<=\w)\?)([^\s\"'<>&,;]{16,})",
    re.IGNORECASE,
)
CHUNK = re.compile(r"\S+")
ENCODED = re.compile(r"%[0-9a-f]{2}|\\|&[#a-z]|[a-z0-9+/_-]{11}", re.IGNORECASE)
BASE64 = re.compile(r"[a-z0-9+/_-]{11,}={0,2}", re.IGNORECASE)
_ESCAPE = re.compile(r"(?<!\\)\\+(?:u00|x)([0-9a-f]{2})", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,4}|#x[0-9a-f]{1,4}|[a-z]{2,8});", re.IGNORECASE)
_MAX_LAYERS = 6


def is_suspect(text: str) -> bool:
    """Return whether there may be an address or a query in a text; the answer costs little where there is none."""
    if "://" in text:
        return True
    if any(mark in text for mark in "%\\&#;"):
        return SUSPECT.search(text) is not None
    return "?" in text and _PLAIN_QUERY.search(text) is not None


def layers(text: str) -> Iterator[str]:
    """Yield a text as it is, then with one encoding after the other undone."""
    yield text
    for _ in range(_MAX_LAYERS):
        plain = _unescaped(text)
        plain = unquote(plain) if plain == text else plain
        if plain == text:
            return
        yield (text := plain)


def decoded(address: str) -> str:
    """Return an address as it is without what JSON and HTML escape, and not percent-encoded as a whole."""
    plain = _unescaped(address)
    return next((layer for layer in layers(plain) if "://" in layer), plain)


def spellings(secret: str) -> set[str]:
    """Return a secret in the ways in which texts write it, for what cannot decode a text.

    In base64 it is what stays the same wherever in a longer text the secret stands.
    """
    plain = {secret, json.dumps(secret)[1:-1], html.escape(secret), repr(secret)[1:-1], quote(secret, safe="")}
    escaped = {secret.replace("/", r"\/"), secret.replace("+", r"\u002b"), secret.replace("+", r"\u002B")}
    for way in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            whole = way(b"\0" * before + secret.encode()).decode().rstrip("=")
            bits = 8 * (before + len(secret.encode()))
            escaped.add(whole[-(-8 * before // 6) : bits // 6])
    lower = {re.sub("%..", lambda found: found[0].lower(), one) for one in plain}
    return plain | lower | escaped | {quote(one, safe="") for one in plain | lower}


def from_base64(token: str) -> Iterator[str]:
    """Yield what a token says in hex, and in base64, plain or for addresses, from each place where it may begin."""
    with suppress(ValueError):
        yield bytes.fromhex(token).decode("latin-1")
    plain = token.rstrip("=").replace("-", "+").replace("_", "/")
    for start in range(4):
        piece = plain[start:]
        piece = piece[: len(piece) - (len(piece) % 4 == 1)]
        with suppress(binascii.Error):
            yield base64.b64decode(piece + "=" * (-len(piece) % 4)).decode("latin-1")


def _unescaped(text: str) -> str:
    if "\\" in text:
        text = _ESCAPE.sub(lambda code: chr(int(code[1], 16)), text)
        text = re.sub(r"(?<!\\)\\+([/\"'\\])", r"\1", text)
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), text) if "&" in text else text
