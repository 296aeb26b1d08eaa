"""What an Airflow connection says: who we are and where the service is, checked field by field. Nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt._compat import mask_secret
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.config import DEFAULT_BASE_URL, Config
from airflow_provider_nanostt.common.numbers import number

if TYPE_CHECKING:
    from airflow.sdk import Connection


@dataclass(frozen=True, slots=True)
class Extras:
    """What a connection says beside who we are and where the service is."""

    prices: Mapping[str, float]  # USD per minute by model, where the catalogue has none
    allow_private_addresses: bool  # whether web addresses inside the network may be asked for what they hold


def config_from(connection: Connection) -> Config:
    """Turn a connection into the client's settings.

    :raises InvalidInput: naming the connection, and the field that is wrong.
    """
    extra = connection.extra_dejson
    settings: dict[str, Any] = {"base_url": _base_url(connection)}
    try:
        if not connection.password:
            raise errors.InvalidInput(f"the password is empty; API keys are made at {errors.KEYS_PAGE}")
        mask_secret(connection.password)
        for name in ("timeout", "requests_per_second"):
            if extra.get(name) not in (None, ""):
                settings[name] = number(extra[name])
                if settings[name] is None:
                    raise errors.InvalidInput(f"the extra {name!r} is {extra[name]!r}, not a number")
        return Config(connection.password.strip(), allow_http=_flag(extra, "allow_insecure_http"), **settings)
    except errors.InvalidInput as error:
        raise errors.InvalidInput(f"connection {connection.conn_id!r}: {error}") from None


def _flag(extra: Mapping[str, Any], name: str) -> bool:
    return str(extra.get(name) or "").strip().lower() in ("true", "1", "yes", "on")


def extras_from(connection: Connection) -> Extras:
    """Read what is not the client's business; raises as :func:`config_from`."""
    extra = connection.extra_dejson
    prices = extra.get("prices") or {}
    if isinstance(prices, str):
        try:
            prices = json.loads(prices)
        except ValueError:
            prices = None
    amounts = {str(model): number(price) for model, price in prices.items()} if isinstance(prices, Mapping) else None
    known = {model: price for model, price in (amounts or {}).items() if price is not None and price >= 0}
    if amounts is None or len(known) < len(amounts):
        raise errors.InvalidInput(
            f"connection {connection.conn_id!r}: the extra 'prices' is {extra.get('prices')!r}; it maps models to USD "
            'per minute, like {"Whisper-Large-V3": 0.01}'
        )
    return Extras(known, _flag(extra, "allow_private_addresses"))


def _base_url(connection: Connection) -> str:
    """Put a base URL together from however the connection was written: as one URL, or in parts."""
    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_BASE_URL
    if "://" in host:
        return host.rstrip("/")
    scheme, path = "https", "api"
    if connection.schema in ("http", "https"):
        scheme = connection.schema
    elif connection.schema:
        path = connection.schema.strip("/")
    port = f":{connection.port}" if connection.port else ""
    return f"{scheme}://{host}{port}/{path}"
