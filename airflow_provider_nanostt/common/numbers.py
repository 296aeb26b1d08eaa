"""A number that arrived as text: from a template, a connection or an answer. Nothing else."""

from __future__ import annotations


def number(value: object) -> float | None:
    """Read a number that may have arrived as text; None for anything that is not a finite number."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if abs(result) < float("inf") else None


def amount(value: object) -> float | None:
    """Read a cost, a price or a length; None for what is no number, or a negative one, which would lift a limit."""
    read = number(value)
    return None if read is None or read < 0 else read
