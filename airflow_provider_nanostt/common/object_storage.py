"""Files wherever ``ObjectStoragePath`` reaches: read and written whole or not at all, and signed for others to fetch.

Nothing about content, and nothing of what a storage raises means the same as "there is no file".
"""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

from airflow_provider_nanostt.common.errors import InvalidInput, StorageUnavailable, describe_exception

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_nanostt._compat import ObjectStoragePath

_WEB = ("http://", "https://")
_FOR_GOOD = (
    FileNotFoundError,
    PermissionError,
    NotADirectoryError,
    IsADirectoryError,
    ValueError,
    TypeError,
    ImportError,
)
"""What a storage raises that another try would not mend."""

_LONGEST_SIGNED = 7 * 86_400
"""Seconds for which S3 and Google Cloud Storage accept a signature of version 4."""

_LOCAL = ("file", "local", "")
_LONGEST_PREFIX = 80


def resolve(uri: str) -> ObjectStoragePath:
    """Return the place a user named: an object storage URI, or a path on this machine.

    :raises InvalidInput: for a kind of storage that is not installed, and for a relative path; from where such a path
        counts differs between workers and Airflow versions.
    """
    from airflow_provider_nanostt._compat import ObjectStoragePath  # all of Airflow, which sound has no need of

    text = str(uri)
    if "://" not in text and not Path(text).is_absolute():
        raise InvalidInput(f"{text!r} is a relative path; name a folder from the root, or an object storage URI")
    try:
        return ObjectStoragePath(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no place for files: {error}") from error


def join(folder: ObjectStoragePath, parts: Iterable[str]) -> ObjectStoragePath:
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


def names(folder: ObjectStoragePath) -> list[str]:
    """Return the names of what lies in a folder; none if there is no such folder.

    :raises OSError: if the storage cannot tell.
    """
    folder.fs.invalidate_cache()
    try:
        found = [str(path).rstrip("/") for path in folder.fs.ls(folder.path, detail=False)]
    except FileNotFoundError:
        return []
    # An object store that remembers an empty folder lists it as its own content.
    return [path.rpartition("/")[2] for path in found if path.strip("/") != folder.path.strip("/")]


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file as a listing has it.

    :param size: bytes.
    :param etag: the storage's mark of this content, without quotes; None if it has none.
    :param mtime: when it was last changed, epoch seconds; only of a file on this machine.
    """

    size: int
    etag: str | None
    mtime: float | None


def list_folder(folder: ObjectStoragePath) -> dict[str, FileInfo]:
    """Return the files of a folder by name, from one listing; none if there is no such folder.

    :raises OSError: if the storage cannot be listed.
    """
    folder.fs.invalidate_cache()
    try:
        entries = folder.fs.ls(folder.path, detail=True)
    except FileNotFoundError:
        return {}
    return {
        str(entry["name"]).rpartition("/")[2]: FileInfo(int(entry.get("size") or 0), _etag(entry), _mtime(entry))
        for entry in entries
        if entry.get("type") != "directory" and str(entry["name"]).strip("/") != folder.path.strip("/")
    }


def _etag(entry: Mapping[str, object]) -> str | None:
    found = entry.get("ETag") or entry.get("etag")
    return found.strip('"') if isinstance(found, str) else None


def _mtime(entry: Mapping[str, object]) -> float | None:
    found = entry.get("mtime")
    return found if isinstance(found, float) else None


def file_info(place: ObjectStoragePath) -> FileInfo | None:
    """Return what the storage says of one file; None only if it says that there is none.

    :raises OSError: if the storage does not answer.
    """
    place.fs.invalidate_cache()
    try:
        entry = place.fs.info(place.path)
    except FileNotFoundError:
        return None
    return FileInfo(int(entry.get("size") or 0), _etag(entry), _mtime(entry))


def is_local(place: ObjectStoragePath) -> bool:
    """Return whether a file is on a disk of this machine."""
    return place.protocol in _LOCAL


def remove_folder(folder: ObjectStoragePath) -> None:
    """Remove a folder with all that is in it; one that is gone already is no error.

    :raises OSError: if it cannot be removed.
    """
    with suppress(FileNotFoundError):
        folder.fs.rm(folder.path, recursive=True)


def presign(place: ObjectStoragePath, seconds: float) -> str | None:
    """Return a web address at which a file can be fetched for so many seconds, None if the storage has no such thing.

    :raises InvalidInput: if no address is good for as long.
    :raises Exception: whatever a storage raises.
    """
    lasting = ceil(seconds)
    try:
        url = place.fs.sign(place.path, expiration=lasting)
        if _is_of_old(url) and (newer := _signing_anew(place.fs)) is not None:
            newer.info(
                place.path
            )  # on the way it learns in which region the bucket is, which becomes a part of the URL
            url = newer.sign(place.path, expiration=lasting)
    except NotImplementedError:
        return None
    if not isinstance(url, str) or not url.startswith(_WEB):
        return None
    if lasting > _LONGEST_SIGNED and not {"X-Amz-Expires", "X-Goog-Expires"}.isdisjoint(_query(url)):
        raise InvalidInput(
            f"an address is signed for {_LONGEST_SIGNED:,} seconds (7 days) at the most, not for {lasting:,}; "
            "set presign_for"
        )
    return url


def public_url(place: ObjectStoragePath) -> str | None:
    """Return where others would fetch a file, without any signature; None if the storage has no such addresses.

    Nothing is asked, so the file need not be there.

    :raises Exception: whatever a storage raises.
    """
    try:
        url = place.fs.sign(place.path, expiration=60)
    except NotImplementedError:
        return None
    return url.partition("?")[0] if isinstance(url, str) and url.startswith(_WEB) else None


def _query(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


def _is_of_old(url: Any) -> bool:
    """Whether an address bears an S3 signature of version 2, as botocore makes it in the oldest regions.

    S3 refuses it for encrypted objects and for buckets made since 2020.
    """
    return isinstance(url, str) and {"AWSAccessKeyId", "Signature", "Expires"} <= _query(url).keys()


def _signing_anew(fs: Any) -> Any:
    """Return the same S3 file system with signatures of version 4; None if its version is the user's own choice."""
    settings = dict(fs.storage_options)
    config = dict(settings.get("config_kwargs") or {})
    if "signature_version" in config:
        return None
    return type(fs)(*fs.storage_args, **{**settings, "config_kwargs": {**config, "signature_version": "s3v4"}})


def wrap_error(error: Exception, what: str, place: ObjectStoragePath) -> InvalidInput | StorageUnavailable:
    """Turn what a storage has raised into what is raised here.

    :param what: what cannot be done, as the beginning of a sentence.
    :return: :class:`InvalidInput` for what another try would not mend, such as refused credentials.
    """
    kind = InvalidInput if isinstance(error, _FOR_GOOD) else StorageUnavailable
    conn_id = getattr(place, "conn_id", None) or place.storage_options.get("conn_id")  # the latter before Airflow 3.2
    through = f" (connection {conn_id!r})" if conn_id else ""
    return kind(f"{what}: {describe_exception(error)}{through}")


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = os.fsdecode(b"." + os.fsencode(path.name)[:_LONGEST_PREFIX] + b".")
    # Made with the permissions that any new file gets: to ask for the umask is to set it, for all threads at once.
    temporary = path.parent / f"{prefix}{secrets.token_hex(8)}.part"
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
