"""Bodies of answers: JSON that may be anything, and the words in it that are for people. Knows nothing of HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from airflow_provider_nanostt.common.numbers import number
from airflow_provider_nanostt.common.urls import redact

MAX_EXCERPT_CHARS = 500
_MAX_TEXT_CHARS = 20_000
_MAX_DEPTH = 4

# NaN, Infinity and 1e999 become None: a job and a transcript are written out as JSON again.
# ``json.loads`` would make a new decoder for each of thousands of answers.
_DECODER = json.JSONDecoder(parse_constant=number, parse_float=number)


class UnreadableBodyError(ValueError):
    """A body that is not what it should be; the text says why."""


def decode(data: bytes) -> object:
    """Read JSON; raises UnreadableBodyError if it is none."""
    try:
        return _DECODER.decode(data.decode(json.detect_encoding(data), "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise UnreadableBodyError("it is not JSON") from error


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
        found = [message_of(item, depth - 1) for item in body]
        return shorten("; ".join(text for text in found if text)) or None
    if isinstance(body, Mapping) and depth:
        found = [message_of(body.get(name), depth - 1) for name in ("error", "message", "detail", "msg")]
        return next((text for text in found if text), None)
    return None


def code_of(body: object) -> str | None:
    """Return the machine-readable code of a refusal."""
    codes = (place.get("code") for place in _envelopes(body))
    return next((shorten(code) for code in codes if isinstance(code, str) and code), None)


def required_balance_of(body: object) -> float | None:
    """Return the USD that a refusal asks for."""
    found = (number(place.get("requiredBalance")) for place in reversed(_envelopes(body)))
    return next((read for read in found if read is not None), None)


def excerpt(data: bytes) -> str:
    """Return a line of an answer that is not JSON; of HTML only its title."""
    text = data[:_MAX_TEXT_CHARS].decode("utf-8", "replace")
    title = re.search(r"<title[^<>]*>([^<]*\S[^<]*)</title>", text, re.IGNORECASE)
    return shorten(title[1] if title else re.sub(r"<[^<>]*>", " ", text))


def beginning(data: bytes) -> str:
    """Return the beginning of any answer on one line."""
    return shorten(data[:_MAX_TEXT_CHARS].decode("utf-8", "replace"))


def shorten(text: str) -> str:
    """Return the service's words on one line as they may be logged and stored: short, and without secrets."""
    if len(text) > _MAX_TEXT_CHARS:
        text = text[:_MAX_TEXT_CHARS].rsplit(None, 1)[0]  # or half an address could be left
    flat = redact(" ".join(text.split()))
    return flat if len(flat) <= MAX_EXCERPT_CHARS else flat[: MAX_EXCERPT_CHARS - 1] + "…"


def _envelopes(body: object) -> list[Mapping[str, object]]:
    """Return the places of a refusal's facts, the inner first."""
    if not isinstance(body, Mapping):
        return []
    inner = body.get("error")
    return [inner, body] if isinstance(inner, Mapping) else [body]
