"""Reading and writing files wherever ``ObjectStoragePath`` reaches, whole or not at all; nothing about content."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_provider_nanostt._compat import ObjectStoragePath
from airflow_provider_nanostt.api.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LOCAL = ("file", "local", "")
_LONGEST_PREFIX = 80


def location(uri: str) -> ObjectStoragePath:
    """Return the place a user named: an object storage URI, or a path on this machine.

    :raises InvalidInput: for a kind of storage that is not installed, and for a relative path; from where such a path
        counts differs between workers and Airflow versions.
    """
    text = str(uri)
    if "://" not in text and not Path(text).is_absolute():
        raise InvalidInput(f"{text!r} is a relative path; name a folder from the root, or an object storage URI")
    try:
        return ObjectStoragePath(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no place for files: {error}") from error


def child(folder: ObjectStoragePath, parts: Iterable[str]) -> ObjectStoragePath:
    """Return a place below a folder."""
    place = folder
    for part in parts:
        place /= part
    return place


def read(place: ObjectStoragePath) -> bytes | None:
    """Return a file's bytes; None only if the storage says that there is none.

    :raises OSError: if the storage cannot tell.
    """
    try:
        with place.open("rb") as file:  # type: ignore[no-untyped-call]
            return bytes(file.read())
    except FileNotFoundError:
        return None


def write(place: ObjectStoragePath, data: bytes) -> str:
    """Put a file in its place, replacing what is there; whoever reads sees the old or the new, never a part.

    :return: the file's URI.
    :raises OSError: if it cannot be written.
    """
    if place.protocol in _LOCAL:
        with _replacing(Path(place.path)) as file:
            file.write(data)
    else:
        # Not through open(): closing a file after an exception would upload the part that was written.
        place.fs.pipe_file(place.path, data)
    return str(place)


@contextmanager
def writing(place: ObjectStoragePath) -> Iterator[BinaryIO]:
    """Return a block that writes a file piece by piece; it is in its place after the block, whole or not at all.

    :raises OSError: if it cannot be written.
    """
    if place.protocol in _LOCAL:
        with _replacing(Path(place.path)) as file:
            yield file
        return
    with tempfile.NamedTemporaryFile(prefix="nanostt-") as file:
        yield cast("BinaryIO", file)
        file.flush()
        place.fs.put_file(file.name, place.path)


def remove(place: ObjectStoragePath) -> None:
    """Remove a file; one that is gone already is no error.

    :raises OSError: if it cannot be removed.
    """
    try:
        if place.protocol in _LOCAL:
            Path(place.path).unlink()
        else:
            place.fs.rm_file(place.path)
    except FileNotFoundError:
        pass


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = os.fsdecode(b"." + os.fsencode(path.name)[:_LONGEST_PREFIX] + b".")
    handle, temporary = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
