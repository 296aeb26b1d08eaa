"""Reading single values of whatever type that came from a template, a connection, an answer or a file. Nothing else."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from numbers import Real

MAX_USD = 1e9
"""No sum of money is larger; nor is a number of requests."""


def number(value: object) -> float | None:
    """Read a number that may have arrived as text, or from a database; None for what is not a finite number."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal | Real):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if abs(result) < float("inf") else None


def text_or_none(value: object) -> str | None:
    """Return a text; None for anything else."""
    return value if isinstance(value, str) else None


def mapping(value: object) -> Mapping[str, object]:
    """Return a mapping as it is; for anything else an empty one."""
    return value if isinstance(value, Mapping) else {}


def amount(value: object) -> float | None:
    """Read a cost, a price or a length; None for what is no number, or a negative one, which would lift a limit."""
    read = number(value)
    return None if read is None or read < 0 else read


def total(amounts: Iterable[float | None]) -> float | None:
    """Return the sum of those that are known, None if none is; the ninth digit is the last."""
    known = [one for one in amounts if one is not None]
    return round(sum(known), 9) if known else None


def from_text(value: object) -> object:
    """Return the list or mapping that a template has made text of, as JSON or as Python writes it.

    Anything else stays as it is.
    """
    if isinstance(value, str) and value.strip()[:1] in ("[", "{", "("):
        for read in (json.loads, ast.literal_eval):
            try:
                found = read(value.strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(found, list | tuple | dict):
                return found
    return value
