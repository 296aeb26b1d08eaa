"""Names files after the recording, by the user's pattern, and never outside of the folder they belong in."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from string import Formatter
from typing import Protocol

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.outputs.formats.registry import unambiguous

FIELDS = ("name", "run_id", "model", "language", "map_index")
"""The fields of a pattern."""

PATTERN = "{name}"
_LONGEST_STEM = 100


class FileOwner(Protocol):
    """The task instance that writes files, as far as their names and their JSON file need it."""

    @property
    def map_index(self) -> int:
        """-1 for a task that is not mapped."""

    @property
    def digest(self) -> str:
        """A short name of the task instance."""


def check_pattern(pattern: str) -> None:
    """Refuse a pattern with unknown fields, or with a folder in it.

    :raises InvalidInput: naming the fault.
    """
    try:
        parts = list(Formatter().parse(pattern))
    except ValueError as error:
        raise InvalidInput(f"filename={pattern!r} is not a valid pattern: {error}") from error
    for literal, field, spec, conversion in parts:
        if "/" in literal or "\\" in literal:
            raise InvalidInput(f"filename={pattern!r} must not contain a folder; set the folder with output_path")
        if field is not None and (field not in FIELDS or spec or conversion):
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise InvalidInput(
                f"filename={pattern!r}: unknown field {{{field}}}; allowed, without format or conversion: {known}"
            )


def file_stem(
    source: str | None,
    identity: FileOwner | None,
    pattern: str = PATTERN,
    *,
    run_id: str | None = None,
    model: str = "",
    language: str | None = None,
) -> str:
    """Return a file name without suffix: the filled pattern, cleaned, and for a mapped task its digest.

    Two mapped tasks may have recordings of the same name and write at the same moment, so checking whether a name is
    taken would not be enough. With ``{map_index}`` in the pattern no digest is added.

    :param source: the recording's name; the last part of it, without suffix, is ``{name}``.
    """
    map_index = identity.map_index if identity else -1
    filled = pattern.format(
        name=_clean(PurePosixPath(source or "").stem) or "transcript",
        run_id=_clean(run_id or "none"),
        model=_clean(model or "none"),
        language=_clean(language or "none"),
        map_index=max(map_index, 0),
    )
    # File systems count bytes: 255 of them with all that is added to the name.
    short = _clean(filled).encode("utf-8", "replace")[:_LONGEST_STEM].decode("utf-8", "ignore") or "transcript"
    short = unambiguous(short)
    needs_digest = map_index >= 0 and "{map_index}" not in pattern
    return own_stem(short, identity) if identity and needs_digest else short


def own_stem(stem: str, identity: FileOwner) -> str:
    """Return a stem that no other task instance uses."""
    return f"{stem}-{identity.digest}"


def _clean(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("._")
