"""What an Airflow connection says: who we are and where the service is, checked field by field. Nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt._compat import mask_secret
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.config import DEFAULT_BASE_URL, Config
from airflow_provider_nanostt.common.parsing import is_null, parse_bool, parse_mapping, parse_number

if TYPE_CHECKING:
    from airflow.sdk import Connection


def config_from(connection: Connection) -> Config:
    """Turn a connection into the client's settings.

    :raises InvalidInput: naming the connection, and the field that is wrong.
    """
    extra = connection.extra_dejson
    settings: dict[str, Any] = {"base_url": _base_url(connection), "prices": {}}
    try:
        if not connection.password:
            raise errors.InvalidInput(f"the password is empty; API keys are made at {errors.KEYS_PAGE}")
        mask_secret(connection.password)
        for name in ("timeout", "requests_per_second"):
            if not is_null(extra.get(name)):
                settings[name] = parse_number(f"the extra {name!r}", extra[name], "seconds or requests")
        for name, field in (("allow_insecure_http", "allow_http"), ("allow_private_addresses",) * 2):
            if not is_null(extra.get(name)):
                settings[field] = parse_bool(f"the extra {name!r}", extra[name])
        for model, price in parse_mapping("the extra 'prices'", extra.get("prices")).items():
            settings["prices"][str(model)] = parse_number(f"the price of {model!r} in the extra 'prices'", price, "USD")
        return Config(connection.password.strip(), **settings)
    except errors.InvalidInput as error:
        raise errors.InvalidInput(f"connection {connection.conn_id!r}: {error}") from None


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
