"""Reading values that may have come through a template, XCom or a connection: text where a number or a flag is meant.

There is one parser for each sort of value. Each takes the name to complain about and the value, and raises an
:class:`~airflow_provider_nanostt.common.errors.InvalidInput` that names it. What a value is for is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import timedelta

from airflow_provider_nanostt.common.errors import InvalidInput
from airflow_provider_nanostt.common.numbers import number

_TRUE = ("true", "1", "yes", "on", "t", "y")
_FALSE = ("false", "0", "no", "off", "f", "n", "", "none", "null")


def none_if_blank(value: object) -> object:
    """Return None for what a template renders from nothing."""
    return None if value in ("", "None") else value


def as_mapping(value: object) -> object:
    """Return a dataclass as a dict, the form that Airflow renders templates in; anything else stays as it is."""
    if not is_dataclass(value) or isinstance(value, type):
        return value
    return {field.name: getattr(value, field.name) for field in fields(value)}


def parse_optional_text(name: str, value: object) -> str | None:  # noqa: ARG001  any value can be read as text
    """Read text; None for what a template renders from nothing."""
    given = none_if_blank(value)
    return None if given is None else str(given)


def parse_text(name: str, value: object, default: str | None = None) -> str:  # noqa: ARG001  any value is text
    """Read text.

    :param default: for what a template renders from nothing, which is read as it is without one.
    """
    return str(value) if default is None or none_if_blank(value) is not None else default


def parse_word(name: str, value: object) -> str:  # noqa: ARG001  which words there are is checked where they are obeyed
    """Read a word, without the spaces around it."""
    return str(value).strip()


def parse_number(name: str, value: object, unit: str, *, may_be_zero: bool = True) -> float | None:
    """Read a number that is not negative; None for what a template renders from nothing."""
    if none_if_blank(value) is None:
        return None
    read = number(value)
    if read is None or read < 0 or (read == 0 and not may_be_zero):
        raise InvalidInput(
            f"{name} must be a {'non-negative' if may_be_zero else 'positive'} number of {unit}, got {value!r}"
        )
    return read


def parse_whole(name: str, value: object, *, least: int, most: int, default: int | None = None) -> int:
    """Read a whole number in a range.

    :param default: for what a template renders from nothing; without one that is refused.
    """
    read = default if default is not None and none_if_blank(value) is None else number(value)
    if read is None or read != int(read) or not least <= read <= most:
        raise InvalidInput(f"{name} must be a whole number from {least} to {most}, got {value!r}")
    return int(read)


def parse_mapping(name: str, value: object) -> Mapping[str, object]:
    """Read a mapping, which may be JSON text or a dataclass; nothing is an empty one."""
    value = as_mapping(value)
    if isinstance(value, str) and none_if_blank(value) is not None:
        try:
            value = json.loads(value)
        except ValueError as error:
            raise InvalidInput(f"{name} is neither a mapping nor JSON; use the filter tojson") from error
    value = {} if none_if_blank(value) is None else value
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{name} must be a mapping, got {type(value).__name__}")
    return value


def parse_bool(name: str, value: object) -> bool:
    """Read a flag; nothing is false."""
    word = str(value).strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise InvalidInput(f"{name} must be true or false, got {value!r}")
    return word in _TRUE


def parse_choice(name: str, value: object, words: Sequence[str]) -> str:
    """Read one of several words."""
    word = str(value).strip()
    if word not in words:
        raise InvalidInput(f"{name} must be one of {', '.join(words)}; got {value!r}")
    return word


def parse_words(name: str, value: object) -> tuple[str, ...]:
    """Read a list of words, which may be one text with commas between them."""
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise InvalidInput(f"{name} must be a list of words, got {value!r}")
    return tuple(word for one in given if (word := str(one).strip()))


def parse_seconds(name: str, value: object, *, optional: bool = False) -> float:
    """Read a positive length of time, given as a number of seconds, as text, or as a timedelta.

    :param optional: whether nothing, or 0, may be given, too; both are 0.
    """
    if optional and none_if_blank(value) in (None, 0, "0"):
        return 0.0
    seconds = value.total_seconds() if isinstance(value, timedelta) else number(value)
    if seconds is None or seconds <= 0:
        raise InvalidInput(f"{name} must be a positive number of seconds, got {value!r}")
    return seconds
