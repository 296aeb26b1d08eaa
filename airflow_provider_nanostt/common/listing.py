"""Which objects of a store match a pattern, page by page from S3, where a listing has no end in memory, or are below a
folder.

fsspec's own ``glob`` holds all that it has listed, some kilobyte for each object, before it looks at the first. What a
match is for is not known here.
"""

from __future__ import annotations

import gc
import re
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_nanostt.common.storage_errors import as_os_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from airflow_provider_nanostt._compat import ObjectStoragePath

_PAGE = 1000
"""Objects that a store lists in one answer."""
MARKS = frozenset("*?[")
"""What makes a text a pattern."""


def matching(fs: Any, pattern: str) -> Iterator[Mapping[str, object]]:
    """Yield what a file system says of each file that matches a pattern, in any order.

    :param pattern: bucket and key, as ``fs.glob`` takes it.
    :raises Exception: any error of the storage.
    """
    entries = _entries(fs, pattern)
    if entries is None:
        found = fs.glob(pattern, detail=True).values()
        yield from (entry for entry in found if entry.get("type") == "file")
        return
    from fsspec.utils import glob_translate

    is_match = re.compile(glob_translate(pattern)).match
    for entry in entries:
        name = str(entry["name"])
        if entry.get("type") == "file" and not name.endswith("/") and is_match(name):
            yield entry


def names_below(folder: ObjectStoragePath) -> set[str]:
    """Return the files in a folder and in all below it, as they are named from there; none if there is no such folder.

    Neither links nor pipes.

    :raises OSError: if the storage cannot be listed.
    """
    fs = folder.fs
    fs.invalidate_cache()
    root = str(folder.path).strip("/") + "/"
    try:
        with as_os_errors():
            found = fs.find(folder.path, detail=True)
    except FileNotFoundError:
        return set()
    return {str(name).lstrip("/").removeprefix(root) for name, entry in found.items() if entry.get("type") == "file"}


def _entries(fs: Any, pattern: str) -> Iterator[Mapping[str, object]] | None:
    """Return all that may match, page by page; None where that cannot be, or takes more requests than ``glob``."""
    iterate = getattr(fs, "_iterdir", None)  # of s3fs
    start = "".join(takewhile(lambda letter: letter not in MARKS, pattern))
    if iterate is None or "/" not in start.lstrip("/"):
        return None
    is_deep = "**" in pattern
    if not is_deep and "/" in pattern[len(start) :]:
        return None  # some levels of folders, of which each is listed by itself
    bucket, key, _ = fs.split_path(start)
    return _paged(fs, iterate(bucket, prefix=key, delimiter="" if is_deep else "/"))


def _paged(fs: Any, entries: AsyncIterator[Mapping[str, object]]) -> Iterator[Mapping[str, object]]:
    """Yield what the store's own event loop iterates over, a page at a time."""
    from fsspec.asyn import sync

    async def page() -> list[Mapping[str, object]]:
        found = []
        async for entry in entries:
            found.append(entry)
            if len(found) == _PAGE:
                break
        return found

    while True:
        with _without_collections():
            found = cast("list[Mapping[str, object]]", sync(fs.loop, page))
        if not found:
            return
        while found:  # nothing of this page is there any more when the next one comes
            yield found.pop()


@contextmanager
def _without_collections() -> Iterator[None]:
    """Hold Python's garbage collector off while one page is read.

    botocore makes some ten thousand short-lived objects of a page. That is enough growth for a collection of the whole
    process every few pages, and over all that Airflow has imported one takes a triggerer's event loop 150 ms.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
