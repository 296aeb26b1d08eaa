"""Bodies of answers: JSON that may be anything, and the words in it that are for people. Knows nothing of HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from airflow_provider_nanostt.common.numbers import number
from airflow_provider_nanostt.common.urls import escaped, redact

_MAX_EXCERPT_CHARS = 500
_MAX_LABEL_CHARS = 200
_MAX_TEXT_CHARS = 4000
_MAX_DEPTH = 4
_MAX_REASONS = 20

# What a few bytes become in memory, and how long reading them takes, goes by the number of values. A day of words has
# some 650,000 objects with five values each.
_MAX_CONTAINERS = 1_000_000
_MAX_VALUES = 4_000_000
_MAX_NESTING = 64

# NaN, Infinity and 1e999 become None: a job and a transcript are written out as JSON again.
# ``json.loads`` would make a new decoder for each of thousands of answers.
DECODER = json.JSONDecoder(parse_constant=number, parse_float=number)


class UnreadableBodyError(ValueError):
    """A body that is not what it should be; the text says why."""


def decode(data: bytes) -> object:
    """Read JSON; raises UnreadableBodyError if it is none, or has too many values or levels."""
    text = as_text(data)
    try:
        found: object = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableBodyError("it is not JSON") from error
    check_nesting(found)
    return found


def as_text(data: bytes) -> str:
    """Return JSON as text; raises UnreadableBodyError if it is none, or has too many values."""
    if data.count(b"[") + data.count(b"{") > _MAX_CONTAINERS or data.count(b",") > _MAX_VALUES:
        raise UnreadableBodyError("it has too many values")
    try:
        return data.decode(json.detect_encoding(data), "surrogatepass")
    except ValueError as error:
        raise UnreadableBodyError("it is not JSON") from error


def check_nesting(value: object, depth: int = 0) -> None:
    """Raise UnreadableBodyError if a value has too many levels; ``depth`` are those around it."""
    level: list[object] = [[value]]
    for _ in range(_MAX_NESTING - depth + 1):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise UnreadableBodyError("it is nested too deeply")


def decode_object(data: bytes) -> Mapping[str, object]:
    """Read a JSON object; raises UnreadableBodyError if it is anything else."""
    body = decode(data)
    if not isinstance(body, Mapping):
        raise UnreadableBodyError("it is not a JSON object")
    return body


def message_of(body: object, depth: int = _MAX_DEPTH) -> str | None:
    """Return the words for people in any of the envelopes seen so far; deeper than ``depth`` there are none."""
    if isinstance(body, str):
        return shorten(body) or None
    if isinstance(body, list) and depth:
        found = [message_of(item, depth - 1) for item in body[:_MAX_REASONS]]
        return shorten("; ".join(text for text in found if text)) or None
    if isinstance(body, Mapping) and depth:
        found = [message_of(body.get(name), depth - 1) for name in ("error", "message", "detail", "msg")]
        return next((text for text in found if text), None)
    return None


def code_of(body: object) -> str | None:
    """Return the machine-readable code of a refusal."""
    codes = (place.get("code") for place in _envelopes(body))
    return next((label(code) for code in codes if isinstance(code, str) and code), None)


def required_balance_of(body: object) -> float | None:
    """Return the USD that a refusal asks for."""
    found = (number(place.get("requiredBalance")) for place in reversed(_envelopes(body)))
    return next((read for read in found if read is not None), None)


def excerpt(data: bytes) -> str:
    """Return a line of an answer that is not JSON; of HTML only its title."""
    text = _cut(data)
    # Each character is tried once: whatever follows a "<" ends before the next one.
    titles = (found[1] for found in re.finditer(r"<title[^<>]*>([^<]*)(?=</title>)", text, re.IGNORECASE))
    return shorten(next(filter(str.strip, titles), None) or re.sub(r"<[^<>]*>", " ", text))


def shorten(text: str | bytes, most: int = _MAX_EXCERPT_CHARS) -> str:
    """Return the service's words on one line as they may be logged and stored: short, and without secrets or controls.

    :param most: number of characters.
    """
    flat = redact(" ".join(_cut(text).split()))
    shown = escaped(flat[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def label(text: str) -> str:
    """Return a word of the service for people and for machines, a code or the name of a model, as :func:`shorten`."""
    return shorten(text, _MAX_LABEL_CHARS)


def _cut(text: str | bytes) -> str:
    """Return the beginning of a text, without its last word if that is cut: it could be half of an address."""
    if isinstance(text, bytes):
        text = text[: 4 * _MAX_TEXT_CHARS + 4].decode("utf-8", "replace")
    if len(text) > _MAX_TEXT_CHARS and not text[_MAX_TEXT_CHARS].isspace():
        return (text[:_MAX_TEXT_CHARS].rsplit(None, 1) or [""])[0]
    return text[:_MAX_TEXT_CHARS]


def _envelopes(body: object) -> list[Mapping[str, object]]:
    """Return the places of a refusal's facts, the inner first."""
    if not isinstance(body, Mapping):
        return []
    inner = body.get("error")
    return [inner, body] if isinstance(inner, Mapping) else [body]
