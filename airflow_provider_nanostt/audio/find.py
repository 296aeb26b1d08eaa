"""Which recordings a text names: the one that is called so, or else those that it finds as a pattern.

Only a text with the characters of a pattern is looked up, and only its folders are listed. What a listing says of a
file is its version: it is another once the file has grown or been replaced, as far as its storage shows that.
"""

from __future__ import annotations

import glob
import stat
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api.errors import InvalidInput, NanoGPTError
from airflow_provider_nanostt.audio.sources import VERSION_NAMES, LocalFile, StoredObject, is_there, locate_source
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.listing import MARKS, matching
from airflow_provider_nanostt.common.reprs import redacted_repr
from airflow_provider_nanostt.common.urls import display

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_ALWAYS_LITERAL = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Found:
    """One recording that a text names.

    :param audio: its path, URI or address; the text itself, if nothing was found.
    :param info: what its storage said of it.
    :param version: its size, and what else tells this content from another; empty if it was not looked at.
    :param problem: why nothing was found.
    :param is_no_match: whether that is because there is none, and not because it could not be looked up.
    """

    __repr__ = redacted_repr

    audio: str
    info: Mapping[str, object] | None = None
    version: str = field(default="", compare=False, repr=False)
    problem: NanoGPTError | None = None
    is_no_match: bool = False


def find(text: str, *, may_be_relative: bool = False) -> list[Found]:
    """Return the recordings that a text names, at least one; patterns' in the order of names.

    What exists under that very name is that, and no pattern; the same holds for each folder in it.

    :param may_be_relative: whether a pattern may begin in the working directory.
    """
    if text.strip().lower().startswith(_ALWAYS_LITERAL):
        return [Found(text.strip())]
    has_marks = bool(MARKS & set(text))
    if not has_marks and "://" in text and text == text.strip() and not text.lower().startswith("file:"):
        return [Found(text)]
    try:
        source = locate_source(text)
        if isinstance(source, LocalFile) and not has_marks:
            return [Found(str(source.path), version=_version_of_file(source.path))]
        if not has_marks:
            return [Found(source.given if isinstance(source, StoredObject) else text)]
        found = sorted(_listing(source, may_be_relative=may_be_relative), key=lambda one: one.audio)
    except NanoGPTError as error:
        return [Found(text, problem=error)]
    problem = InvalidInput(f"{display(text)!r} does not exist, and matches no recording as a pattern")
    return found or [Found(text, problem=problem, is_no_match=True)]


def listing(pattern: str) -> Iterator[Found]:
    """Yield what a pattern finds, in any order and as it comes, so that the list need not fit into memory.

    :raises NanoGPTError: if it cannot be looked up.
    """
    return _listing(locate_source(pattern))


def _listing(source: object, *, may_be_relative: bool = False) -> Iterator[Found]:
    if isinstance(source, LocalFile):
        yield from _find_local(source.path, may_be_relative=may_be_relative)
    elif isinstance(source, StoredObject):
        try:
            yield from _find_stored(source)
        except Exception as error:  # whatever a storage raises, it is not the answer "no files"
            problem = f"{display(source.given)!r} cannot be listed"
            raise object_storage.wrap_error(error, problem, source.path) from error


def _find_local(path: Path, *, may_be_relative: bool) -> Iterator[Found]:
    if is_there(path):
        yield Found(str(path), version=_version_of_file(path))
        return
    if not path.is_absolute() and not may_be_relative:
        raise InvalidInput(f"{display(str(path))!r} is a relative pattern; name the folder from the root")
    pattern = _with_literal_folders(str(path), lambda folder: is_there(Path(folder)))
    deep, mark, _ = pattern.partition("**")
    leads_back = cache(_leads_back)
    for name in glob.iglob(pattern, recursive=True):  # noqa: PTH207  Path.glob takes no pattern from the root
        around = list(Path(name).parents)
        below = around[: len(around) - deep.count("/")] if mark else ()
        if (version := _version_of_file(Path(name))) and not any(map(leads_back, below)):
            yield Found(name, version=version)


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one around it, below which each recording would be found, and paid for, again.

    Around it are also the folders that other links on the way to it lead from.
    """
    return folder.is_symlink() and any(one.resolve().is_relative_to(folder.resolve()) for one in folder.parents)


def _version_of_file(path: Path) -> str:
    """Return size, time and number of a file on this machine; empty if it is none, or has just gone."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}" if stat.S_ISREG(found.st_mode) else ""


def _find_stored(source: StoredObject) -> Iterator[Found]:
    """Yield what there is in object storage, by URIs with the connection that the pattern names."""
    fs, key = source.path.fs, source.path.path  # an unknown storage is only found out here on Airflow 2
    fs.invalidate_cache()  # others write there, and an earlier look may have been this process's own
    try:
        info = fs.info(key)
    except FileNotFoundError:
        pass
    else:
        is_file = info.get("type") == "file"
        yield Found(source.given, info if is_file else None, _version(info) if is_file else "")
        return
    scheme, _, rest = source.given.partition("://")
    authority = rest.partition("/")[0]
    base = str(object_storage.resolve(f"{scheme}://{authority}").path).strip("/")
    for entry in matching(fs, _with_literal_folders(key, fs.exists)):
        name = str(entry["name"]).lstrip("/").removeprefix(base).lstrip("/")
        yield Found(f"{scheme}://{authority}/{name}", entry, _version(entry))


def _version(info: Mapping[str, Any]) -> str:
    return " ".join(str(info[name]) for name in ("size", *VERSION_NAMES) if info.get(name) is not None)


def _with_literal_folders(pattern: str, exists: Callable[[str], bool]) -> str:
    """Return a pattern in which the folders that exist as they are written stand for themselves."""
    *folders, name = pattern.split("/")
    for number, folder in enumerate(folders):
        if MARKS & set(folder):
            if not exists("/".join(pattern.split("/")[: number + 1])):
                break
            folders[number] = glob.escape(folder)
    return "/".join([*folders, name])
