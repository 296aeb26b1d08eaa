"""Reading arguments that may have come through a template: text where a number, a flag or a mapping is meant. Pure.

Whatever cannot be read is an :class:`~airflow_provider_nanostt.api.errors.InvalidInput` that names the argument.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import number

if TYPE_CHECKING:
    from collections.abc import Mapping


def none_if_blank(value: Any) -> Any:
    """Treat what a template renders from nothing as nothing."""
    return None if value in ("", "None") else value


def parse_number(name: str, value: object, unit: str) -> float | None:
    """Read a number that a template may have turned into text; None stays None.

    :raises InvalidInput: if it is no number.
    """
    if none_if_blank(value) is None:
        return None
    read = number(value)
    if read is None:
        raise errors.InvalidInput(f"{name}={value!r} is not a number of {unit}")
    return read


def parse_mapping(name: str, value: object) -> Mapping[str, Any]:
    """Read a mapping that a template may have turned into JSON text; nothing is an empty one.

    :raises InvalidInput: if it is no mapping.
    """
    if isinstance(value, str) and none_if_blank(value) is not None:
        try:
            value = json.loads(value)
        except ValueError as error:
            raise errors.InvalidInput(f"{name} is neither a mapping nor JSON; use the filter tojson") from error
    value = {} if none_if_blank(value) is None else value
    if not isinstance(value, dict):
        raise errors.InvalidInput(f"{name} is of type {type(value).__name__}, not a mapping")
    return value


def parse_bool(name: str, value: object) -> bool:
    """Read a flag that a template may have turned into text.

    :raises InvalidInput: if it is neither true nor false.
    """
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off", "", "none"):
        return False
    raise errors.InvalidInput(f"{name}={value!r} is neither true nor false")


def parse_seconds(name: str, value: object) -> float:
    """Read a length of time given as a number, as text, or as a timedelta.

    :raises InvalidInput: if it is not a positive length.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else number(value)
    if seconds is None or seconds <= 0:
        raise errors.InvalidInput(f"{name}={value!r} is not a positive number of seconds")
    return seconds
