"""A recording that a user names: a file on this machine, an object in storage, or a web address.

Naming a recording reads nothing, and nothing is kept between two calls. What its bytes are is read in ``inspect``, what
is done with it is decided in ``prepare``; nothing here talks to the transcription service.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Self, TypeAlias, cast
from urllib.parse import unquote

from airflow_provider_nanostt.api.errors import InvalidInput, StorageUnavailable
from airflow_provider_nanostt.audio.inspect import signed_url
from airflow_provider_nanostt.audio.inspect.ranged_file import HashingFile, StoredFile
from airflow_provider_nanostt.audio.inspect.remote import RemoteFile
from airflow_provider_nanostt.audio.inspect.url_safety import check_fetchable
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.urls import display, identity_url, is_web_url, redact

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath

_WEB = ("http://", "https://")
_FILE_URI = re.compile(r"\s*file:(?://[^/]*)?(/.*)", re.IGNORECASE | re.DOTALL)
VERSION_NAMES = "ETag etag md5Hash content_md5 generation LastModified last_modified updated mtime".split()
"""What storages call that which tells one version of an object from another, the surest first."""


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """The bytes that a recording had when it was identified.

    :param key: identifies the recording: SHA-256 of a local one; URI, size and ETag of an object; an address without
        its signature.
    :param path: of a local file, the real path.
    :param size: bytes.
    :param mtime_ns: when a local file was last changed; None if it changed while it was read.
    """

    key: str
    path: str | None = None
    size: int | None = None
    mtime_ns: int | None = None

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Self | None:
        """Read it back; None for anything else."""
        if not isinstance(value, dict) or not isinstance(value.get("key"), str):
            return None
        return cls(value["key"], value.get("path"), value.get("size"), value.get("mtime_ns"))


class LocalFile:
    """A recording on this machine's disk.

    :param argument: the name of the argument that named it, for messages.
    """

    def __init__(self, path: str | Path, argument: str = "audio") -> None:
        self.path = Path(path)
        self.name = self.path.name
        self._label = f"{argument}={display(str(path))!r}"

    def version(self) -> SourceVersion:
        """Return the digest of its bytes, all of which are read for it."""
        with self.open() as file:
            return self.version_of(HashingFile(file))

    def has_version(self, known: SourceVersion) -> bool:
        """Whether it still has the path, size and time of an earlier version, and need not be read again for it."""
        found = self.stat()
        there = (os.path.realpath(self.path), found.st_size, found.st_mtime_ns)
        return there == (known.path, known.size, known.mtime_ns)

    def version_of(self, file: HashingFile) -> SourceVersion:
        """Return the version of what has been read of it so far and the rest, which is read now."""
        key, now = file.sha256(), self.stat()
        is_unchanged = (now.st_size, now.st_mtime_ns) == (file.stat.st_size, file.stat.st_mtime_ns)
        return SourceVersion(
            key, os.path.realpath(self.path), file.size, file.stat.st_mtime_ns if is_unchanged else None
        )

    def stat(self) -> os.stat_result:
        """Return size and times.

        :raises InvalidInput: if it is not a file, or may not be read.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError as error:
            raise InvalidInput(
                f"{self._label} does not exist on the worker of this task; name a file that is elsewhere by its web "
                "address or object storage URI"
            ) from error
        except OSError as error:
            raise self._unreadable(error) from error
        if not stat.S_ISREG(found.st_mode):
            raise InvalidInput(f"{self._label} is not a file")
        return found

    def open(self) -> BinaryIO:
        """Open it for reading; raises as :meth:`stat`."""
        self.stat()
        try:
            return self.path.open("rb")
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> InvalidInput:
        return InvalidInput(f"{self._label} cannot be read: {error.strerror or error}")


class StoredObject:
    """A recording in object storage. Only headers and a few samples of it are read to measure it.

    :param given: the URI as the user wrote it, for messages.
    :param info: what the storage says of it (``size``, ``ETag``), if a listing has said so already; otherwise each
        method that needs it asks for it.
    """

    def __init__(
        self, path: ObjectStoragePath, given: str | None = None, info: Mapping[str, object] | None = None
    ) -> None:
        self.path = path
        self.name = PurePosixPath(path.path).name
        self.given = given or str(path)
        self._label = f"audio={display(self.given)!r}"
        self._info = info

    def with_info(self) -> StoredObject:
        """Return it with what its storage says of it, which is one request unless it is known already."""
        return StoredObject(self.path, self.given, self.info())

    def info(self) -> Mapping[str, object]:
        """Return what its storage says of it.

        :raises InvalidInput: if it does not exist, is not a file, or may not be read.
        :raises StorageUnavailable: if the storage cannot be asked now.
        """
        if self._info is not None:
            return self._info
        try:
            found = object_storage.fresh(self.path).info(self.path.path)
        except FileNotFoundError as error:
            raise InvalidInput(f"{self._label} does not exist") from error
        except Exception as error:
            raise self._unreadable(error) from error
        if found.get("type") != "file":
            raise InvalidInput(f"{self._label} is not a file")
        return cast("Mapping[str, object]", found)

    def size(self) -> int | None:
        """Return its bytes, None if the storage does not say."""
        size = self.info().get("size")
        return size if isinstance(size, int) else None

    def version(self) -> SourceVersion:
        """Return its URI, and what the storage says of this version of the object."""
        found = self.with_info()
        info, size = found.info(), found.size()
        etag = next((str(info[name]) for name in VERSION_NAMES if info.get(name)), "")
        return SourceVersion(json.dumps([str(self.path), size, etag]), size=size)

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open it for reading in ranges."""
        return cast("AbstractContextManager[BinaryIO]", StoredFile(self.path, self.size() or 0, self._unreadable))

    def fetch(self, target: Path, limit: int) -> LocalFile:
        """Copy it to this machine's disk.

        :param limit: bytes above which that is refused.
        :raises InvalidInput: if it is larger, or may not be read.
        :raises StorageUnavailable: if it cannot be read now.
        """
        size = self.size()
        if size is None or size > limit:
            raise InvalidInput(f"{self._label} has {size or 'unknown'} bytes; at most {limit:,} are fetched")
        try:
            object_storage.copy(self.path, target, at_most=limit)
        except Exception as error:
            raise self._unreadable(error) from error
        return LocalFile(target)

    def presign(self, seconds: float) -> str | None:
        """Return an address at which the service can fetch it for so many seconds; None if the storage has none.

        :raises InvalidInput: if the storage can sign, but not this, or not for as long.
        :raises StorageUnavailable: if it cannot now.
        """
        try:
            return signed_url.presign(self.path, seconds)
        except InvalidInput as error:
            raise InvalidInput(f"{self._label}: {error}") from error
        except Exception as error:
            raise object_storage.wrap_error(error, f"{self._label} cannot be signed", self.path) from error

    def _unreadable(self, error: Exception) -> InvalidInput | StorageUnavailable:
        return object_storage.wrap_error(error, f"{self._label} cannot be read", self.path)


class WebAddress:
    """A recording that the service fetches itself; a few ranges of a public one are read to measure it.

    :param allow_private: whether addresses inside the network may be read.
    """

    def __init__(self, url: str, *, allow_private: bool = False) -> None:
        self.url = url
        self.name = display(url)
        self._allow_private = allow_private

    def version(self) -> SourceVersion:
        """Return the address without its signature."""
        return SourceVersion(identity_url(self.url))

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open it for reading in a few ranges; see :class:`~.remote.RemoteFile`."""
        return cast("AbstractContextManager[BinaryIO]", RemoteFile(self.url, allow_private=self._allow_private))


Recording: TypeAlias = LocalFile | StoredObject | WebAddress
"""A recording, wherever it is: ``name`` for people, ``version`` that makes it the same the next time, ``open`` to read.

The methods raise :class:`InvalidInput` if it cannot be read, or :class:`StorageUnavailable` if it cannot be read now.
"""


def locate_source(
    audio: str | Path | ObjectStoragePath | None = None,
    audio_path: str | Path | None = None,
    audio_url: str | None = None,
    *,
    allow_private: bool = False,
    base_url: str = "",
    info: Mapping[str, object] | None = None,
) -> Recording:
    """Return the recording that a user names, without reading it.

    :param audio: a path on this machine, a ``file://`` URI, a web address, or any object storage URI.
    :param audio_path: a path on this machine.
    :param audio_url: a web address that the service can fetch, up to 500 MB.
    :param allow_private: whether addresses inside the network may be read.
    :param base_url: where the service is, which must reach a web address; empty if that does not matter.
    :param info: what a listing said of the recording, so that its storage need not be asked again.
    :raises InvalidInput: unless exactly one of the three is given, in one of these forms, and can be reached.
    """
    given = {"audio": audio, "audio_path": audio_path, "audio_url": audio_url}
    names = [name for name, value in given.items() if value]
    if len(names) != 1:
        raise InvalidInput(
            f"exactly one of audio, audio_path and audio_url is needed; got {' and '.join(names) or 'neither'}"
        )
    text = str(given[names[0]])
    if audio_path:
        return LocalFile(_exact_path(text), "audio_path")
    if audio_url or text.strip().lower().startswith(_WEB):
        text = text.strip()
        if not is_web_url(text):
            raise InvalidInput(f"{names[0]}={redact(text)!r} is not an http(s) URL; for a file on disk use audio_path")
        if base_url:
            check_fetchable(text, base_url)
        return WebAddress(text, allow_private=allow_private)
    if match := _FILE_URI.match(text):
        return LocalFile(_exact_path(unquote(match[1], errors="surrogateescape")))
    return _exact_object(text.lstrip(), info) if "://" in text else LocalFile(_exact_path(text))


def is_there(path: Path) -> bool:
    """Whether there is anything of that name on this machine; a name that cannot be is not there."""
    try:
        path.lstat()
    except (OSError, ValueError):
        return False
    return True


def _exact_path(text: str) -> Path:
    """Return the path of that very name, or without the blanks around it, which templates leave, if it is not there."""
    bare = text.strip()
    return Path(text if bare == text or is_there(Path(text)) else bare)


def _exact_object(text: str, info: Mapping[str, object] | None) -> StoredObject:
    """Return the object of that very name, or without the blanks behind it, if its storage has none."""
    exact = StoredObject(object_storage.resolve(text), text, info)
    bare = text.rstrip()
    if bare != text and info is None:
        try:
            object_storage.fresh(exact.path).info(exact.path.path)
        except FileNotFoundError:
            return StoredObject(object_storage.resolve(bare), bare)
        except Exception:  # noqa: BLE001  whatever it is, it is said when the recording is read
            return exact
    return exact
