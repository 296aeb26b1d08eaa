"""What a value says of itself in a log or a traceback: without what is secret in an address. Imports little."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from airflow_provider_nanostt.common.numbers import from_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def redacted_repr(value: DataclassInstance) -> str:
    """Return what ``repr`` says of a dataclass, without what is secret in an address; to be its ``__repr__``."""
    from airflow_provider_nanostt.common.urls import display, redact  # patterns that DAG files need not compile

    given = {one.name: getattr(value, one.name) for one in fields(value) if one.repr}
    shown = (f"{name}={(display(one) if isinstance(one, str) else one)!r}" for name, one in given.items())
    return f"{type(value).__name__}({redact(', '.join(shown))})"


class Private:
    """A mapping that a task uses and nobody shows: Airflow stores its text, which has only the names in it."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __str__(self) -> str:
        read = from_text(self.value)
        names = ", ".join(map(str, read)) if isinstance(read, Mapping) else "a value"
        return f"{names} (not shown)"

    __repr__ = __str__
