"""Files that ``ObjectStoragePath`` reaches: listed, read, and written whole or not at all.

Nothing about their content; and no error of a storage means the same as "there is no file". Where the storage does not
answer or refuses, what is asked of it raises an OSError.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from inspect import signature
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_provider_nanostt.common import conditional_writes, local_files
from airflow_provider_nanostt.common.errors import InvalidInput, StorageUnavailable, describe_exception
from airflow_provider_nanostt.common.storage_errors import as_os_errors, is_condition_failed, is_lasting, status
from airflow_provider_nanostt.common.urls import display

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath

_NO_SUCH_RANGE = 416
_BUCKETS: set[str] = set()
"""Where this process has looked whether conditions of a write are heeded."""

_LOG = logging.getLogger(__name__)

_LOCAL = ("file", "local", "")
_LOST_IN_URLS = ("\t", "\r", "\n", "::")
"""What may be in a key and not in a URL: Python's parser takes out the first three, and fsspec cuts at the last."""
MAX_BYTES = 256 * 1024 * 1024
"""Of a file that is read whole: some 80 hours of words, as JSON."""


def resolve(uri: str) -> ObjectStoragePath:
    """Return the path that a user named: an object storage URI, or a path on this machine.

    :raises InvalidInput: for a kind of storage that is not installed, and for a relative path, which would mean another
        folder on each worker.
    """
    from airflow_provider_nanostt._compat import ObjectStoragePath  # imports all of Airflow

    text = str(uri)
    if "://" not in text and not Path(text).is_absolute():
        raise InvalidInput(
            f"{display(text)!r} is a relative path; name a folder from the root, or an object storage URI"
        )
    try:
        root, slash, key = _split(text)
        if any(mark in key for mark in _LOST_IN_URLS):
            plain: Any = PurePosixPath(key)  # in a text, what is before "::" would be another kind of storage
            return ObjectStoragePath(root + slash) / (plain if str(plain) == key else key)
        return ObjectStoragePath(text)
    except ValueError as error:
        raise InvalidInput(f"{display(text)!r} cannot be used for files: {describe_exception(error)}") from error


def resolve_folder(uri: str) -> ObjectStoragePath:
    """Return the folder that a user named, as :func:`resolve` does.

    :raises InvalidInput: also for one whose files would lie elsewhere: to join a name is to read the URI once more.
    """
    folder = resolve(uri)
    is_odd = any(mark in str(uri) for mark in _LOST_IN_URLS)
    if is_odd and (folder / "file").path.rpartition("/")[0] != folder.path.rstrip("/"):
        raise InvalidInput(f"{display(str(uri))!r} cannot be a folder here: name one without '::' and tabs")
    return folder


def _split(uri: str) -> tuple[str, str, str]:
    """Return scheme and bucket, the slash behind them, and the key."""
    scheme, mark, rest = uri.partition("://")
    bucket, slash, key = rest.partition("/")
    return scheme + mark + bucket, slash, key


def read(path: ObjectStoragePath, *, at_most: int = MAX_BYTES) -> bytes | None:
    """Return a file's bytes; None only if the storage says that there is none.

    :param at_most: bytes; others may write into the folder, too.
    :raises ValueError: if it is larger, or no regular file: a pipe would not end, and a link leads elsewhere.
    """
    try:
        data = local_files.read(Path(path.path), at_most + 1) if is_local(path) else _read_object(path, at_most + 1)
    except FileNotFoundError:
        return None
    if len(data) > at_most:
        raise ValueError(f"it has more than {at_most:,} bytes")
    return data


def _read_object(path: ObjectStoragePath, at_most: int) -> bytes:
    """Read the beginning of an object, not through open() nor in pieces, for which the size would be asked first."""
    fs = fresh(path)
    takes = signature(getattr(fs, "_cat_file", fs.cat_file)).parameters
    options = {"max_concurrency": 1} if "max_concurrency" in takes else {}
    try:
        with as_os_errors():
            return bytes(fs.cat_file(path.path, start=0, end=at_most, **options))
    except OSError as error:
        is_empty = status(error) == _NO_SUCH_RANGE or "range" in str(error).lower()
        if isinstance(error, FileNotFoundError) or not is_empty:
            raise
        return b""  # of an empty object no range can be had


def fresh(path: ObjectStoragePath) -> Any:
    """Return a path's file system without what it remembers of the file's folder: others write there, too."""
    fs = path.fs
    with suppress(KeyError):  # another thread has just made it forget
        fs.invalidate_cache(str(path.path).rstrip("/").rpartition("/")[0])
    return fs


def connection_of(path: ObjectStoragePath) -> str | None:
    """Return the id of the connection that a path is reached through, None for none."""
    return getattr(path, "conn_id", None) or path.storage_options.get("conn_id")  # the latter before Airflow 3.2


def reopen(path: ObjectStoragePath) -> None:
    """Forget a path's file system, so that its connection is read anew, such as after its key was replaced.

    Airflow keeps one of each connection as long as the process lives, and so does fsspec.
    """
    from airflow_provider_nanostt._compat import attach

    store = attach(path.protocol or "file", connection_of(path))
    if (fs := store.__dict__.pop("fs", None)) is not None:
        fs.clear_instance_cache()


def copy(path: ObjectStoragePath, target: Path, *, at_most: int) -> None:
    """Copy a file to this machine's disk, unless it has grown beyond so many bytes since its size was asked for.

    :raises ValueError: if it has; another error if the storage does not answer.
    """
    from fsspec.callbacks import Callback

    def check(size: int | None, value: int, **_: object) -> None:
        if max(size or 0, value) > at_most:
            raise ValueError(f"it has more than {at_most:,} bytes")

    fresh(path).get_file(path.path, str(target), callback=Callback(hooks={"limit": check}))


def write(path: ObjectStoragePath, data: bytes) -> str:
    """Write a file, replacing the one that is there; a reader sees the old or the new, never a part.

    :return: the file's URI.
    """
    if is_local(path):
        with local_files.writing(Path(path.path)) as file:
            file.write(data)
    else:
        # Not through open(): closing a file after an exception would upload the part that was written.
        with as_os_errors():
            path.fs.pipe_file(path.path, data)
    return str(path)


def create(path: ObjectStoragePath, data: bytes) -> bool:
    """Write a file only if none of its name is there, in one step of the storage: of many writers one wins.

    :param data: names its writer, so that nobody else writes the same bytes: a request that a client repeats by itself
        may be refused because of its own first try, and is known by them.
    :return: whether this call has written it; True, too, on a storage without such a write, which the log says once.
    """
    if is_local(path):
        return _is_ours(lambda: local_files.create(Path(path.path), data), path, data)
    store = conditional_writes.find(path.fs)
    if store is None:
        _warn_of_plain_writes(_bucket(path))
        write(path, data)
        return True
    return _written_once(lambda: path.fs.pipe_file(path.path, data, **store.if_none), path, data)


def replace(path: ObjectStoragePath, old: bytes, data: bytes) -> bool:
    """Replace a file's content only while it is ``old``, in one step of the storage.

    :param data: names its writer, as for :func:`create`.
    :return: whether this call has written it; False if the content is another by now, or the file is gone.
    """
    if is_local(path):
        return local_files.replace(Path(path.path), old, data)
    store = conditional_writes.find(path.fs)
    if store is None:
        _warn_of_plain_writes(_bucket(path))
        if read(path) != old:
            return False
        write(path, data)
        return True
    try:
        return _written_once(lambda: store.replace(path.fs, path.path, old, data), path, data)
    except FileNotFoundError:  # Amazon's answer to a condition on what is not there
        return False


def _written_once(write_once: Callable[[], object], path: ObjectStoragePath, data: bytes) -> bool:
    """Write on a condition; the first of a process in a bucket again, which a storage with such a write must refuse."""
    is_ours = _is_ours(write_once, path, data)
    bucket = _bucket(path)
    if is_ours and bucket not in _BUCKETS and conditional_writes.may_ignore(path.fs):
        _BUCKETS.add(bucket)
        with suppress(Exception):
            write_once()
            _warn_of_plain_writes(bucket)
    return is_ours


def _bucket(path: ObjectStoragePath) -> str:
    return "/".join(str(path).split("/")[:3])


def _is_ours(write_once: Callable[[], object], path: ObjectStoragePath, data: bytes) -> bool:
    """Write on a condition; where it is refused, look whether an earlier request of this very write has been."""
    try:
        with as_os_errors():
            write_once()
    except OSError as error:
        if not is_condition_failed(error):
            raise
    else:
        return True
    try:
        return read(path, at_most=len(data)) == data
    except ValueError:  # it is longer, or no file
        return False


@cache
def _warn_of_plain_writes(storage: str) -> None:
    _LOG.warning(
        "Storage %r does not write files on a condition: two attempts at the same instant may both submit, and pay "
        "twice. Local disks, S3, Google Cloud Storage and Azure can, through s3fs, gcsfs and adlfs >= 2024.12",
        storage,
    )


def reading(path: ObjectStoragePath) -> AbstractContextManager[BinaryIO]:
    """Open a block that reads a file piece by piece.

    :raises ValueError: if it is no regular file.
    """
    if is_local(path):
        return local_files.reading(Path(path.path))
    return cast("AbstractContextManager[BinaryIO]", fresh(path).open(path.path, "rb"))


@contextmanager
def writing(path: ObjectStoragePath) -> Iterator[BinaryIO]:
    """Open a block that writes a file piece by piece; the file is there after the block, whole or not at all."""
    if is_local(path):
        with local_files.writing(Path(path.path)) as local:
            yield local
    else:
        with tempfile.NamedTemporaryFile(prefix="nanostt-") as file:
            yield cast("BinaryIO", file)
            file.flush()
            with as_os_errors():
                path.fs.put_file(file.name, path.path)


def remove(path: ObjectStoragePath) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError), as_os_errors():
        if is_local(path):
            Path(path.path).unlink()
        else:
            path.fs.rm_file(path.path)


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file as a listing has it.

    :param size: bytes.
    :param etag: the storage's mark of this content, without quotes; the MD5 in hexadecimal where the storage tells it;
        None if it has none.
    :param mtime: when it was last changed, epoch seconds; only of a file on this machine.
    """

    size: int
    etag: str | None
    mtime: float | None


def list_folder(folder: ObjectStoragePath) -> dict[str, FileInfo]:
    """Return the files of a folder by name, from one listing; none if there is no such folder."""
    fs = folder.fs
    fs.invalidate_cache()
    try:
        with as_os_errors():
            entries = fs.ls(folder.path, detail=True)
    except FileNotFoundError:
        return {}
    # An object store that remembers an empty folder lists it as its own content.
    return {
        str(entry["name"]).rpartition("/")[2]: _file_info(entry)
        for entry in entries
        if entry.get("type") != "directory" and str(entry["name"]).strip("/") != folder.path.strip("/")
    }


def file_info(path: ObjectStoragePath) -> FileInfo | None:
    """Return what the storage says of one file; None only if it says that there is none."""
    fs = fresh(path)
    try:
        with as_os_errors():
            return _file_info(fs.info(path.path))
    except FileNotFoundError:
        return None


def _file_info(entry: Mapping[str, object]) -> FileInfo:
    size, mtime, etag = entry.get("size"), entry.get("mtime"), entry.get("ETag") or entry.get("etag")
    if digest := conditional_writes.content_md5(entry):
        etag = digest.hex()
    return FileInfo(
        size if isinstance(size, int) else 0,
        etag.strip('"') if isinstance(etag, str) else None,
        mtime if isinstance(mtime, float) else None,
    )


def in_folder(folder: ObjectStoragePath, uri: object) -> str:
    """Return the URI of the file of that name in a folder, wherever the given one says that it is.

    :raises ValueError: if it names no file.
    """
    name = uri.rpartition("/")[2] if isinstance(uri, str) else ""
    if name in ("", ".", ".."):
        raise ValueError(f"{uri!r} names no file")
    return str(folder / name)


def is_local(path: ObjectStoragePath) -> bool:
    """Whether a path is on a disk of this machine."""
    return path.protocol in _LOCAL


def remove_folder(folder: ObjectStoragePath) -> None:
    """Remove a folder with everything in it, if it is there."""
    with suppress(FileNotFoundError), as_os_errors():
        folder.fs.rm(folder.path, recursive=True)


def wrap_error(error: Exception, problem: str, path: ObjectStoragePath) -> InvalidInput | StorageUnavailable:
    """Return our own error for an error of a storage.

    :param problem: what cannot be done, as the beginning of a sentence.
    :return: :class:`InvalidInput` for an error that another try would not fix, such as refused credentials.
    """
    kind = InvalidInput if is_lasting(error) else StorageUnavailable
    through = f" (connection {conn_id!r})" if (conn_id := connection_of(path)) else ""
    return kind(f"{problem}: {describe_exception(error)}{through}")
