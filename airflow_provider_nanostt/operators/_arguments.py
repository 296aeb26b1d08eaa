"""Reading arguments that may have come through a template: text where a number, a flag or a mapping is meant. Pure.

A value that cannot be read is an :class:`~airflow_provider_nanostt.api.errors.InvalidInput` that names the argument.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import number

_TRUE = ("true", "1", "yes", "on", "t", "y")
_FALSE = ("false", "0", "no", "off", "f", "n", "", "none", "null")


def none_if_blank(value: object) -> object:
    """Return None for what a template renders from nothing."""
    return None if value in ("", "None") else value


def text_or_none(value: object) -> str | None:
    """Return a value as text, None for what a template renders from nothing."""
    given = none_if_blank(value)
    return None if given is None else str(given)


def parse_number(name: str, value: object, unit: str) -> float | None:
    """Read a number that a template may have turned into text; None stays None.

    :raises InvalidInput: if it is not a number.
    """
    if none_if_blank(value) is None:
        return None
    read = number(value)
    if read is None:
        raise errors.InvalidInput(f"{name} must be a number of {unit}, got {value!r}")
    return read


def parse_whole(name: str, value: object, least: int, most: int) -> int:
    """Read a whole number in a range.

    :raises InvalidInput: if it is anything else.
    """
    read = number(value)
    if read is None or read != int(read) or not least <= read <= most:
        raise errors.InvalidInput(f"{name} must be a whole number from {least} to {most}, got {value!r}")
    return int(read)


def parse_mapping(name: str, value: object) -> Mapping[str, object]:
    """Read a mapping that a template may have turned into JSON text; nothing is an empty one.

    :raises InvalidInput: if it is not a mapping.
    """
    if isinstance(value, str) and none_if_blank(value) is not None:
        try:
            value = json.loads(value)
        except ValueError as error:
            raise errors.InvalidInput(f"{name} is neither a mapping nor JSON; use the filter tojson") from error
    value = {} if none_if_blank(value) is None else value
    if not isinstance(value, Mapping):
        raise errors.InvalidInput(f"{name} must be a mapping, got {type(value).__name__}")
    return value


def parse_bool(name: str, value: object) -> bool:
    """Read a flag that a template may have turned into text.

    :raises InvalidInput: if it is neither true nor false.
    """
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise errors.InvalidInput(f"{name} must be true or false, got {value!r}")


def parse_choice(name: str, value: object, words: tuple[str, ...]) -> str:
    """Read one of several words.

    :raises InvalidInput: if it is another.
    """
    word = str(value).strip()
    if word not in words:
        raise errors.InvalidInput(f"{name} must be one of {', '.join(words)}; got {value!r}")
    return word


def parse_seconds(name: str, value: object) -> float:
    """Read a length of time given as a number, as text, or as a timedelta.

    :raises InvalidInput: if it is not a positive length.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else number(value)
    if seconds is None or seconds <= 0:
        raise errors.InvalidInput(f"{name} must be a positive number of seconds, got {value!r}")
    return seconds


def texts_in(value: object) -> Iterator[str]:
    """Yield every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_in(inner)
