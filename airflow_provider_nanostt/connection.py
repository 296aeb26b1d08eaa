"""What an Airflow connection says: who we are and where the service is, checked field by field. Nothing is sent."""

from __future__ import annotations

import ipaddress
import json
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from airflow_provider_nanostt._compat import mask_secret
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.config import DEFAULT_BASE_URL, Config
from airflow_provider_nanostt.common.parsing import is_null, parse_bool, parse_mapping, parse_number, parse_whole
from airflow_provider_nanostt.common.spelling import spellings

if TYPE_CHECKING:
    from airflow.sdk import Connection

T = TypeVar("T")

log = logging.getLogger(__name__)

_NUMBERS = ("timeout", "requests_per_second")
_FLAGS = {"allow_insecure_http": "allow_http", "allow_private_addresses": "allow_private_addresses"}
_DEFAULT = urlsplit(DEFAULT_BASE_URL)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:@%]+))(?::([0-9]+))?", re.IGNORECASE)
_SHOWABLE = re.compile(r"[\w.:/\[\] -]*")  # without what may follow or end a secret


def config_from(connection: Connection) -> Config:
    """Turn a connection into the client's settings: the same ones, however it is written.

    :raises InvalidInput: naming the connection, and the field that is wrong.
    """
    try:
        key = str(connection.password or "").strip()
        if not key:
            raise errors.InvalidInput(f"the password is empty; API keys are made at {errors.KEYS_PAGE}")
        for secret in (str(connection.password), *spellings(key)):
            mask_secret(secret)
        return Config(key, _base_url(connection), **_settings(connection))
    except errors.InvalidInput as error:
        raise errors.InvalidInput(f"connection {connection.conn_id!r}: {error}") from None


def _settings(connection: Connection) -> dict[str, Any]:
    """Return the settings that the extra has."""
    extra = {name: value for name, value in _extra(connection.extra).items() if not is_null(value)}
    if unknown := extra.keys() - {*_NUMBERS, *_FLAGS, "prices"}:
        log.warning("connection %r: ignoring unknown extras: %s", connection.conn_id, ", ".join(sorted(unknown)))
    settings: dict[str, Any] = {"prices": {}}
    for name in extra.keys() & {*_NUMBERS}:
        settings[name] = parse_number(f"the extra {name!r}", extra[name], "seconds or requests")
    for name in extra.keys() & _FLAGS.keys():
        settings[_FLAGS[name]] = parse_bool(f"the extra {name!r}", extra[name])
    for model, price in parse_mapping("the extra 'prices'", extra.get("prices")).items():
        settings["prices"][str(model)] = parse_number(f"the price of {model!r} in the extra 'prices'", price, "USD")
    return settings


def _extra(value: object) -> Mapping[str, object]:
    """Read the extra, a JSON object; some write it as JSON in JSON. What it holds may be secret and is not shown."""
    try:
        for _ in range(2):
            value = json.loads(value) if isinstance(value, str) and not is_null(value) else value
    except (ValueError, RecursionError):
        raise errors.InvalidInput("the extra must be a JSON object, got text that is not JSON") from None
    if is_null(value):
        return {}
    if not isinstance(value, Mapping):
        raise errors.InvalidInput(f"the extra must be a JSON object, got {type(value).__name__}")
    return value


def _base_url(connection: Connection) -> str:
    """Put the one canonical base URL together from host, schema and port; what is said twice must be said alike."""
    host, schema = (str(one or "").strip() for one in (connection.host, connection.schema))
    scheme, mark, rest = host.rpartition("://") if "://" in host else ("", "", host.removeprefix("//"))
    authority, _, path = rest.partition("/")
    if mark and scheme.lower() not in _DEFAULT_PORTS:
        raise _refused("host", host)
    name, own_port = _host_and_port(host, authority) if host else (_DEFAULT.netloc, None)
    port = None if is_null(connection.port) else parse_whole("the port", connection.port, least=1, most=65535)
    second_scheme = schema.rstrip(":/").lower()
    second_path = ""
    if second_scheme not in _DEFAULT_PORTS:
        second_scheme, second_path = "", _path("schema", schema)
    scheme = _agreed("schema", scheme.lower(), second_scheme) or _DEFAULT.scheme
    path = _agreed("schema", _path("host", path), second_path) or _DEFAULT.path.strip("/")
    port = _agreed("port", own_port, port)
    shown_port = "" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}"
    return f"{scheme}://{name}{shown_port}/{path}"


def _host_and_port(host: str, authority: str) -> tuple[str, int | None]:
    """Return a host in lower case, in ASCII, an IPv6 number in brackets, and the port beside it."""
    try:
        if authority.count(":") > 1 and not authority.startswith("["):
            authority = f"[{ipaddress.IPv6Address(authority)}]"
        number, name, port = _AUTHORITY.fullmatch(authority).groups()  # type: ignore[union-attr]
        name = f"[{ipaddress.IPv6Address(number)}]" if number else name.removesuffix(".").encode("idna").decode()
    except (ValueError, AttributeError):
        raise _refused("host", host) from None
    if not number and not re.fullmatch(r"[a-z0-9._-]*[a-z0-9_-]", name, re.IGNORECASE):  # IDNA reads "℀" as "a/c"
        raise _refused("host", host)
    return name.lower(), None if port is None else parse_whole("the port in the host", port, least=1, most=65535)


def _path(field: str, text: str) -> str:
    """Return a path with single slashes between its parts, percent-encoded once."""
    parts = [part for part in text.split("/") if part]
    is_odd = re.search(r"[\\?#: ]|%(?![0-9a-f]{2})", text, re.IGNORECASE) or not text.isprintable()
    if is_odd or {".", ".."} & {unquote(part) for part in parts}:
        raise _refused(field, text)
    return "/".join(quote(unquote_to_bytes(part), safe="!$&'()*+,;=@~") for part in parts)


def _agreed(field: str, one: T, other: T) -> T:
    """Return what is said once, or twice alike."""
    if one and other and one != other:
        raise errors.InvalidInput(f"the {field} says {other!r} and the host {one!r}; leave one of them out")
    return one or other


def _refused(field: str, value: str) -> errors.InvalidInput:
    shown = f" {value!r}" if _SHOWABLE.fullmatch(value) else ""
    return errors.InvalidInput(f"the {field}{shown} is not a part of a base URL such as {DEFAULT_BASE_URL!r}")
