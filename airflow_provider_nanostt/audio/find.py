"""Which recordings a text names: the one that is called so, or else those that it finds as a pattern.

Only a text with the characters of a pattern is looked up, and only its folders are listed.
"""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api.errors import InvalidInput, NanoGPTError
from airflow_provider_nanostt.audio.sources import LocalFile, StoredObject, is_there, locate_source
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.reprs import redacted_repr
from airflow_provider_nanostt.common.urls import display

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MARKS = frozenset("*?[")
_ALWAYS_LITERAL = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Found:
    """One recording that a text names.

    :param audio: its path, URI or address; the text itself, if nothing was found.
    :param info: what its storage said of it.
    :param problem: why nothing was found.
    :param is_no_match: whether that is because there is none, and not because it could not be looked up.
    """

    __repr__ = redacted_repr

    audio: str
    info: Mapping[str, object] | None = None
    problem: NanoGPTError | None = None
    is_no_match: bool = False


def find(text: str, *, may_be_relative: bool = False) -> list[Found]:
    """Return the recordings that a text names, at least one; patterns' in the order of names.

    What exists under that very name is that, and no pattern; the same holds for each folder in it.

    :param may_be_relative: whether a pattern may begin in the working directory.
    """
    if text.strip().lower().startswith(_ALWAYS_LITERAL):
        return [Found(text.strip())]
    has_marks = bool(_MARKS & set(text))
    if not has_marks and "://" in text and text == text.strip() and not text.lower().startswith("file:"):
        return [Found(text)]
    try:
        source = locate_source(text)
        if isinstance(source, LocalFile):
            path = source.path
            if not has_marks or is_there(path):
                return [Found(str(path))]
            found = _find_local(path, may_be_relative=may_be_relative)
        elif isinstance(source, StoredObject) and has_marks:
            found = _find_stored(source)
        else:
            return [Found(source.given if isinstance(source, StoredObject) else text)]
    except NanoGPTError as error:
        return [Found(text, problem=error)]
    problem = InvalidInput(f"{display(text)!r} does not exist, and matches no recording as a pattern")
    return found or [Found(text, problem=problem, is_no_match=True)]


def _find_local(path: Path, *, may_be_relative: bool) -> list[Found]:
    if not path.is_absolute() and not may_be_relative:
        raise InvalidInput(f"{display(str(path))!r} is a relative pattern; name the folder from the root")
    pattern = _with_literal_folders(str(path), lambda folder: is_there(Path(folder)))
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207  Path.glob takes no pattern from the root
    return [Found(name) for name in sorted(names) if Path(name).is_file()]


def _find_stored(source: StoredObject) -> list[Found]:
    """Return what there is in object storage, by URIs with the connection that the pattern names."""
    try:
        fs, key = source.path.fs, source.path.path  # an unknown storage is only found out here on Airflow 2
        try:
            info = fs.info(key)
        except FileNotFoundError:
            found = fs.glob(_with_literal_folders(key, fs.exists), detail=True)
        else:
            return [Found(source.given, info if info.get("type") == "file" else None)]
    except Exception as error:  # whatever a storage raises, it is not the answer "no files"
        raise object_storage.wrap_error(error, f"{display(source.given)!r} cannot be listed", source.path) from error
    scheme, _, rest = source.given.partition("://")
    authority = rest.partition("/")[0]
    base = str(object_storage.resolve(f"{scheme}://{authority}").path).strip("/")
    return [
        Found(f"{scheme}://{authority}/{name.lstrip('/').removeprefix(base).lstrip('/')}", facts)
        for name, facts in sorted(found.items())
        if facts.get("type") == "file"
    ]


def _with_literal_folders(pattern: str, exists: Callable[[str], bool]) -> str:
    """Return a pattern in which the folders that exist as they are written stand for themselves."""
    *folders, name = pattern.split("/")
    for number, folder in enumerate(folders):
        if _MARKS & set(folder):
            if not exists("/".join(pattern.split("/")[: number + 1])):
                break
            folders[number] = glob.escape(folder)
    return "/".join([*folders, name])
