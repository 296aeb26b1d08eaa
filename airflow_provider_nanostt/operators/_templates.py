"""How arguments meet Airflow's templates: as dicts before they are rendered, with their secrets masked after.

Every DAG file loads this module; reading what was rendered is in ``_arguments``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from airflow_provider_nanostt._compat import mask_secret


def as_template(options: object) -> object:
    """Return options in the form that Airflow renders templates in: a dict; anything else stays as it is."""
    if not is_dataclass(options) or isinstance(options, type):
        return options
    return {field.name: getattr(options, field.name) for field in fields(options)}


def mask_addresses(value: object) -> None:
    """Have Airflow mask what is secret in the addresses in a value."""
    for url in _texts_in(value):
        if "://" in url and ("?" in url or "@" in url):
            from airflow_provider_nanostt.common.urls import secret_parts

            for secret in secret_parts(url):
                mask_secret(secret)


def _texts_in(value: object) -> Iterator[str]:
    """Yield every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts_in(inner)
