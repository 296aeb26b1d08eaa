"""Reading values that may have come through a template, XCom or a connection: text where a number or a flag is meant.

There is one parser for each sort of value. Each takes the name to complain about and the value, and raises an
:class:`~airflow_provider_nanostt.common.errors.InvalidInput` that names it. What a value is for is not known here, and
nothing (:func:`is_null`) is the caller's matter: it stands for a default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import timedelta

from airflow_provider_nanostt.common.errors import InvalidInput
from airflow_provider_nanostt.common.numbers import from_text, number

DAY_SECONDS = 86_400.0
LONGEST_SECONDS = 366 * DAY_SECONDS
"""What the times that follow from a length of time can still be kept and compared with."""
_TRUE = ("true", "1", "yes", "on", "t", "y")
_FALSE = ("false", "0", "no", "off", "f", "n")


def is_null(value: object) -> bool:
    """Return whether a value is nothing, or the text that a template renders from nothing."""
    return value is None or (isinstance(value, str) and value.strip() in ("", "None", "null"))


def none_if_null(value: object) -> object:
    """Return None for what :func:`is_null`."""
    return None if is_null(value) else value


def as_mapping(value: object) -> object:
    """Return a dataclass as a dict, the form that Airflow renders templates in; anything else stays as it is."""
    if not is_dataclass(value) or isinstance(value, type):
        return value
    return {field.name: getattr(value, field.name) for field in fields(value)}


def parse_text(name: str, value: object) -> str:
    """Read text as it is, or a number or a path as text; a list is none, or its brackets would be paid for."""
    if isinstance(value, Mapping | list | tuple | set | frozenset | bytes):
        raise InvalidInput(f"{name} must be text, got a {type(value).__name__}")
    return str(value)


def parse_word(name: str, value: object) -> str:
    """Read a word, without the spaces around it; which words there are is checked where they are obeyed."""
    return parse_text(name, value).strip()


def parse_number(name: str, value: object, unit: str, *, may_be_zero: bool = True) -> float:
    """Read a number that is not negative."""
    read = number(value)
    if read is None or read < 0 or (read == 0 and not may_be_zero):
        kind = "non-negative" if may_be_zero else "positive"
        raise InvalidInput(f"{name} must be a {kind} number of {unit}, got {value!r}")
    return read


def parse_whole(name: str, value: object, *, least: int, most: int) -> int:
    """Read a whole number in a range."""
    read = number(value)
    if read is None or read != int(read) or not least <= read <= most:
        raise InvalidInput(f"{name} must be a whole number from {least} to {most}, got {value!r}")
    return int(read)


def parse_mapping(name: str, value: object) -> Mapping[str, object]:
    """Read a mapping, which may be text or a dataclass; nothing is an empty one."""
    if is_null(value):
        return {}
    read = from_text(as_mapping(value))
    if isinstance(read, str):
        raise InvalidInput(f"{name} is neither a mapping nor JSON; use the filter tojson")
    if not isinstance(read, Mapping):
        raise InvalidInput(f"{name} must be a mapping, got {type(read).__name__}")
    return read


def parse_bool(name: str, value: object) -> bool:
    """Read a flag."""
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
    read = from_text(value)
    given = read.split(",") if isinstance(read, str) else read
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise InvalidInput(f"{name} must be a list of words, got {value!r}")
    return tuple(word for one in given if (word := str(one).strip()))


def parse_seconds(name: str, value: object, *, most: float = LONGEST_SECONDS, may_be_zero: bool = False) -> float:
    """Read a length of time, given as a number of seconds, as text, or as a timedelta."""
    given = value.total_seconds() if isinstance(value, timedelta) else value
    seconds = parse_number(name, given, "seconds", may_be_zero=may_be_zero)
    if seconds > most:
        raise InvalidInput(f"{name} must be at most {most:.0f} seconds ({most / DAY_SECONDS:g} days), got {value!r}")
    return seconds
