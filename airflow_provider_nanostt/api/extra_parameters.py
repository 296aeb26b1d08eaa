"""More fields of a request than the service documents, as a user gives them: checked, never shown.

What the values mean is the service's matter. They may be names of people, so no message has any of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from airflow_provider_nanostt.api.body import check_nesting
from airflow_provider_nanostt.common.errors import InvalidInput
from airflow_provider_nanostt.common.numbers import from_text

_OURS = "audio audioUrl file fileUrl url model language actualDuration diarize tagAudioEvents".split()
_MAX_FIELDS = 32
_MAX_CHARS = 100_000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_MAX_WHOLE = 2**53
"""Up to here a number is the same with and without a fraction of nothing."""

_SHORTEST, _SHORTEST_NUMBER = 3, 5
"""Characters of the shortest value that is taken out of a message: a shorter one is in ordinary words."""


def check_extra_parameters(given: Mapping[str, object]) -> dict[str, object]:
    """Return the fields as they are sent: text that a template has made of a list or a mapping is one again.

    :raises InvalidInput: for a field that a submit has anyway, however it is spelled, for two spellings of a name, for
        what is not JSON and for too much of it; the message has no value.
    """
    if not isinstance(given, Mapping):
        raise InvalidInput(f"extra_parameters must be a mapping, got {type(given).__name__}")
    if len(given) > _MAX_FIELDS:
        raise InvalidInput(f"extra_parameters has {len(given)} fields; {_MAX_FIELDS} are allowed")
    fields = {_checked_name(name): _checked(name, value) for name, value in given.items()}
    spelled: dict[str, str] = {}
    for name in fields:
        if (other := spelled.setdefault(_folded(name), name)) != name:
            raise InvalidInput(f"extra_parameters has {other!r} and {name!r}, which are spellings of one name")
    if (chars := len(json.dumps(fields))) > _MAX_CHARS:
        raise InvalidInput(f"extra_parameters has {chars:,} characters as JSON; {_MAX_CHARS:,} are allowed")
    return fields


def texts_in(fields: Mapping[str, object]) -> tuple[str, ...]:
    """Return the texts in the fields of a request, long numbers and names inside included: no message may have them."""
    return tuple(dict.fromkeys(text for value in fields.values() for text in _texts(value)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str) and len(value.strip()) >= _SHORTEST:
        yield value
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and len(number := json.dumps(value)) >= _SHORTEST_NUMBER
    ):
        yield number
    inner = [*value, *value.values()] if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _texts(one)


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput("extra_parameters: a name must be a letter and up to 63 letters, digits, '_', '.' or '-'")
    if (ours := {_folded(one): one for one in _OURS}.get(_folded(name))) is not None:
        raise InvalidInput(f"extra_parameters has {name!r}, which is set by an argument of its own ({ours})")
    return name


def _whole_if_it_is(written: str) -> float:
    number = float(written)
    return int(number) if number.is_integer() and abs(number) <= _MAX_WHOLE else number


def _folded(name: str) -> str:
    """Return a name as it is whatever its case and its separators."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _checked(name: str, value: object) -> object:
    read = from_text(value)
    try:
        # A tuple is a list and 1.0 is 1, also in the fingerprint.
        plain: object = json.loads(json.dumps(read, allow_nan=False), parse_float=_whole_if_it_is)
        check_nesting(plain)
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput(
            f"extra_parameters: the value of {name!r} has the type {type(read).__name__}, or something in it that is "
            "not JSON (text, number, true, false, null, list, mapping) or nested too deeply"
        ) from None
    return plain
