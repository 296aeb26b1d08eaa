"""What files are called: after the recording, by the user's pattern, and never outside of the folder they belong in."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from string import Formatter
from typing import Protocol

from airflow_provider_nanostt.api.errors import InvalidInput

FIELDS = ("name", "run_id", "model", "language", "map_index")
"""What a pattern may name."""

PATTERN = "{name}"
_LONGEST_STEM = 100


class Named(Protocol):
    """Whose transcript it is; gives files names of their own where the audio's name would not do."""

    @property
    def map_index(self) -> int:
        """-1 for a task that is not mapped."""

    @property
    def digest(self) -> str:
        """A short name of the task instance."""


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that names what there is not, or another folder.

    :raises InvalidInput: saying what is wrong with it.
    """
    try:
        parts = list(Formatter().parse(pattern))
    except ValueError as error:
        raise InvalidInput(f"name={pattern!r} is no pattern: {error}") from error
    for literal, field, spec, conversion in parts:
        if "/" in literal or "\\" in literal:
            raise InvalidInput(f"name={pattern!r} names a folder; folders belong into output")
        if field is not None and (field not in FIELDS or spec or conversion):
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise InvalidInput(f"name={pattern!r}: there is no {{{field}}}; there are {known}, as they stand here")


def file_stem(
    source: str | None,
    identity: Named | None,
    pattern: str = PATTERN,
    *,
    run_id: str | None = None,
    model: str = "",
    language: str | None = None,
) -> str:
    """Return a file name without suffix: the pattern filled, cleaned; mapped tasks add what tells them apart.

    Two mapped tasks may have recordings of the same name and land in the same moment, so asking whether a name is
    taken would not do. A pattern with ``{map_index}`` tells them apart itself.

    :param source: the audio's name; the last part of it, without suffix, is ``{name}``.
    """
    mapped = identity is not None and identity.map_index >= 0
    filled = pattern.format(
        name=_clean(PurePosixPath(source or "").stem) or "transcript",
        run_id=_clean(run_id or "none"),
        model=_clean(model or "none"),
        language=_clean(language or "none"),
        map_index=identity.map_index if identity is not None and mapped else 0,
    )
    # File systems count bytes: 255 of them with all that is added to the name.
    short = _clean(filled).encode("utf-8", "replace")[:_LONGEST_STEM].decode("utf-8", "ignore") or "transcript"
    if identity is not None and mapped and "{map_index}" not in pattern:
        return own_stem(short, identity)
    return short


def own_stem(stem: str, identity: Named) -> str:
    """Return a stem that no other task instance has."""
    return f"{stem}-{identity.digest}"


def _clean(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("._")
