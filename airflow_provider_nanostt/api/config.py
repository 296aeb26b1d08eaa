"""The client's settings: the address of the service and our key, checked before anything is sent."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

from airflow_provider_nanostt import __version__
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.http import READ_HEADERS, Call, Request, Response
from airflow_provider_nanostt.common import known_secrets
from airflow_provider_nanostt.common.address import is_loopback

DEFAULT_BASE_URL = "https://nano-gpt.com/api"

_FREE_CALL_SECONDS = 60.0
_ESCAPE = re.compile(rb"\\(?:(/)|u00([2-7][0-9a-f])|.)", re.IGNORECASE | re.DOTALL)
_AROUND_AN_UPLOAD = 64 * 1024  # bytes of the other fields of a form
_SLOWEST_UPLOAD = 16 * 1024  # bytes a second: the largest file has three minutes more
_RANGES = {"timeout": (0.1, 86_400.0), "connect_timeout": (0.1, 86_400.0), "requests_per_second": (0.01, 10_000.0)}


@dataclass(frozen=True, slots=True)
class Config:
    """The address of the service, our key, and how long to wait.

    :raises InvalidInput: for a setting that cannot be, or a key that would travel unencrypted.
    """

    api_key: str = field(repr=False)
    base_url: str = DEFAULT_BASE_URL  # with the path that the endpoints are below
    timeout: float = 300.0  # seconds for a paid call (synchronous models answer when they are done); others at most 60
    connect_timeout: float = 10.0  # seconds
    requests_per_second: float = 20.0  # our share of the service's limit of 25 for each key
    allow_http: bool = False  # unencrypted, to hosts other than this machine
    allow_private_addresses: bool = False  # whether recordings at addresses inside the network may be looked at
    prices: Mapping[str, float] = field(default_factory=dict, compare=False)  # USD per minute, by model

    def __post_init__(self) -> None:
        if not self.api_key or not self.api_key.isascii() or not self.api_key.isprintable() or " " in self.api_key:
            raise errors.InvalidInput("the API key is empty or has characters no key has; it belongs in the password")
        if len(self.api_key) < known_secrets.SHORTEST_KEY:
            raise errors.InvalidInput(
                f"the API key must have at least {known_secrets.SHORTEST_KEY} characters, got {len(self.api_key)}: a "
                "shorter one could not be masked without cutting it out of ordinary words"
            )
        known_secrets.remember([self.api_key], certain=True)
        scheme, host = _scheme_and_host(self.base_url)
        if scheme == "http" and not is_loopback(host) and not self.allow_http:
            raise errors.InvalidInput(
                f"http://{host} would carry the API key unencrypted; use https, or set the connection's "
                "extra 'allow_insecure_http' to true if you are sure"
            )
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise errors.InvalidInput(f"{name} must be from {least:g} to {most:.0f}, got {getattr(self, name)!r}")

    @property
    def host(self) -> str:
        """Host and port of the service, for messages."""
        return urlsplit(self.base_url).netloc

    def url(self, request: Request) -> str:
        """Return the address of a request."""
        return self.base_url.rstrip("/") + request.path

    def headers(self, request: Request) -> dict[str, str]:
        """Return all headers of a request; the key goes into exactly one."""
        return {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"airflow-provider-nanostt/{__version__}",
            "x-api-key": self.api_key,
            **request.headers,
        }

    def timeout_for(self, call: Call[object]) -> float:
        """Return the seconds that the whole exchange may take, from connecting to the last byte of the answer."""
        seconds = self.timeout if call.paid else min(self.timeout, _FREE_CALL_SECONDS)
        return seconds + len(call.request.body or b"") // _SLOWEST_UPLOAD

    def longest_submit(self, size: int) -> float:
        """Return the seconds after which a submit is certainly not under way, whatever it waits for; ``size`` bytes."""
        return self.timeout + self.connect_timeout + (size + _AROUND_AN_UPLOAD) / _SLOWEST_UPLOAD

    def response(self, call: Call[object], status: int, headers: Mapping[str, str], body: bytes) -> Response:
        """Return an answer as ``http`` reads it; should the service echo our key or another secret, it ends here."""
        known_secrets.remember([self.api_key], certain=True)
        masked = {name: known_secrets.masked(headers[name]) for name in READ_HEADERS if name in headers}
        if b"\\/" in body or b"\\u00" in body:
            body = _ESCAPE.sub(_unescaped, body)
        for secret in (self.api_key, *call.secrets):  # also in the text of a transcript
            for written in _written(secret):
                body = body.replace(written, b"***")
        return Response(status=status, headers=masked, body=body, received_at=time.time())


@lru_cache(maxsize=64)
def _written(secret: str) -> frozenset[bytes]:
    """Return a secret as an answer may have it: plainly, or as JSON writes it."""
    return frozenset(one.encode("utf-8", "replace") for one in (secret, json.dumps(secret)[1:-1]))


def _unescaped(found: re.Match[bytes]) -> bytes:
    """Return a letter that JSON need not escape."""
    letter = bytes.fromhex(found[2].decode()) if found[2] else found[1]
    return found[0] if letter is None or letter in b'"\\\x7f' else letter


def _scheme_and_host(base_url: str) -> tuple[str, str]:
    """Return scheme and host of a base URL; of a wrong one only the host is shown."""
    host = None
    try:
        parts = urlsplit(base_url)
        host = parts.hostname
        is_sound = parts.scheme in ("http", "https") and parts.port != 0 and "@" not in parts.netloc
        is_sound = is_sound and not parts.query and not parts.fragment
        is_sound = is_sound and base_url.isprintable() and " " not in base_url
        is_sound = is_sound and re.fullmatch(rb"[a-z0-9._-]+|[0-9a-f:.]+", (host or "").encode("idna")) is not None
    except ValueError:
        is_sound = False
    if not host or not is_sound:
        raise errors.InvalidInput(f"the host {host!r} is not a base URL such as {DEFAULT_BASE_URL!r}")
    return parts.scheme, host
