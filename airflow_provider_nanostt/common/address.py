"""The parts of a web address, read so that nothing secret is taken for a host or a path, however odd it is."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus

from airflow_provider_nanostt.common.spelling import PATH_PARAMETER

WEB = ("http", "https")
_OBJECT_STORAGE = frozenset(
    "s3 s3a s3n gs gcs abfs abfss adl az azure wasb wasbs oss obs cos cosn r2 b2 swift hdfs webhdfs dbfs "
    "file local memory".split()
)
"""Where a name may have any letter. A query that signs is none the less no part of it."""

_SIGNED = re.compile(r"[?&](?:sig|signature|token|x-[a-z]+-signature)=", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
_MISTYPED = re.compile(r"(https?)(?::|%(?:25)*3a|(?=//))(?:[/\\]|%(?:25)*2f)*(?=.)", re.IGNORECASE)
_HOST = r"(?:(?:[\w-]+\.)+[a-z]{2,}|localhost|\d+\.\d+\.\d+\.\d+)(?::\d+)?"
_WITHOUT_SCHEME = re.compile(
    rf"(?:https?/+)?(?:[^\s/@]+@)?{_HOST}/[^?]*\?[\w.~%\[\]-]{{1,80}}=|[^\s/:@]+:[^\s/@]+@{_HOST}(?:/|$)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Address:
    """An address, split. Of object storage all but a user with a password is the path: a name may have any letter.

    :param scheme: in lower case; empty if it was left out.
    :param path: without its parameters.
    :param path_parameters: names and values in the path, as in ``/a.mp3;sig=…``.
    :param user: user name and password, as written.
    """

    scheme: str
    host: str
    path: str
    path_parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    query: str = field(default="", repr=False)
    fragment: str = field(default="", repr=False)
    user: str = field(default="", repr=False)

    @property
    def is_web(self) -> bool:
        """Whether it is of the web: only its host and its path are no secret."""
        return bool(self.host) or self.scheme not in _OBJECT_STORAGE


def split_address(url: str) -> Address | None:
    """Split an address, also one that is mistyped; None for what is no address."""
    text = url.strip()
    scheme, mark, rest = text.partition("://")
    scheme = scheme.rpartition(":")[2]  # of "blob:https://…" the last
    if not mark or not _SCHEME.fullmatch(scheme):
        if found := _MISTYPED.match(text):
            scheme, rest = found[1], unquote(text[found.end() :]) if "%" in found[0] else text[found.end() :]
        elif _WITHOUT_SCHEME.match(text):
            scheme, rest = "", text
        else:
            return None
    scheme = scheme.lower()
    is_object = scheme in _OBJECT_STORAGE
    bare, user = _without_user(rest, always=not is_object)
    if is_object and not _SIGNED.search(bare):
        return Address(scheme, "", bare, user=user)
    place, _, fragment = bare.partition("#")
    place, _, query = place.partition("?")
    host, slash, path = place.partition("/")
    parameters = tuple((unquote(name), unquote(value)) for name, value in PATH_PARAMETER.findall(path))
    return Address(scheme, host, slash + PATH_PARAMETER.sub("", path), parameters, query, fragment, user)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, as a name or as any number of it."""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return re.fullmatch(r"(?:.*\.)?localhost\.?", host, re.IGNORECASE) is not None
    return (getattr(number, "ipv4_mapped", None) or number).is_loopback


def pairs(query: str) -> list[tuple[str, str]]:
    """Return names and values of a query or a fragment; what has no name is a value."""
    read = []
    for pair in re.split(r"[&;]", query):
        name, equals, value = pair.partition("=")
        if pair:
            read.append((unquote_plus(name), unquote_plus(value)) if equals else ("", unquote_plus(name)))
    return read


def _without_user(rest: str, *, always: bool) -> tuple[str, str]:
    """Return what follows a scheme without user name and password, and what was left out.

    :param always: whether a name without a password goes, too; in an object storage URI it names a connection.
    """
    hidden = ""
    while True:
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        user, at, _ = unquote(authority).rpartition("@")
        name, _, port = authority.partition(":")
        is_word = bool(port) and not port.isdigit() and not name.startswith("[")  # where a port would be
        if at:
            if not (always or ":" in user):
                return rest, hidden
            hidden += re.split(r"@|%40", authority)[0] if authority.count("@") < 2 else authority.rpartition("@")[0]
            rest = re.split(r"@|%40", authority)[-1] + rest[len(authority) :]
        elif is_word and "@" in rest:
            hidden += rest.partition("@")[0]  # a password with a slash or a question mark in it
            rest = rest.partition("@")[2]
        elif is_word and always:
            return name + rest[len(authority) :], hidden + authority  # half an address, cut in its password
        else:
            return rest, hidden
