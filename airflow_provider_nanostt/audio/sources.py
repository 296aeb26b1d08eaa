"""A recording that a user names, wherever it lies: what tells about it, and how its bytes are read.

A path on this machine, anything ``ObjectStoragePath`` knows, or a web address. Naming one reads nothing; its size,
format and length are found out when they are first asked for, in a few small reads. What is to be done with a
recording is decided in ``plans``; nothing here talks to the transcription service.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast
from urllib.parse import unquote, urlsplit

from airflow_provider_nanostt.api.errors import InvalidInput, StorageUnavailable
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES
from airflow_provider_nanostt.audio.inspect import formats
from airflow_provider_nanostt.audio.inspect.duration import Length, measure
from airflow_provider_nanostt.audio.inspect.ranged_file import StoredFile
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.urls import identity_url
from airflow_provider_nanostt.lazily import cached_property

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.audio.inspect.formats import Format

_WEB = ("http://", "https://")
_BLOCK = 1024 * 1024


class Source(Protocol):
    """A recording somewhere.

    Whatever is asked of it may raise :class:`InvalidInput` if it cannot be read, or :class:`StorageUnavailable` if it
    cannot be read now; the message names it.
    """

    @property
    def name(self) -> str:
        """The file's name, or the address without what may be secret in it; for people."""

    @property
    def key(self) -> str:
        """What makes it the same recording the next time."""

    @property
    def size(self) -> int | None:
        """Bytes, None if unknown."""

    @property
    def format(self) -> Format | None:
        """What its bytes are, None if nothing here knows them or they were not looked at."""

    @property
    def length(self) -> Length:
        """How long it is, as far as that can be told."""


class LocalFile:
    """A recording on this machine's disk."""

    def __init__(self, path: str | Path, argument: str = "audio") -> None:
        self.path = Path(path)
        self.name = self.path.name
        self._told = f"{argument}={str(path)!r}"

    @cached_property
    def size(self) -> int:
        """Bytes."""
        try:
            found = self.path.stat()
            if not self.path.is_file():
                raise InvalidInput(f"{self._told} is not a file")
        except FileNotFoundError as error:
            raise InvalidInput(
                f"{self._told} does not exist on the worker of this task; name a file that is elsewhere by its web "
                "address or object storage URI"
            ) from error
        except OSError as error:
            raise self._unreadable(error) from error
        return found.st_size

    @cached_property
    def format(self) -> Format | None:
        """What its bytes are."""
        with self.open() as file:
            return formats.identify(file, self.size)

    @cached_property
    def length(self) -> Length:
        """How long it is."""
        with self.open() as file:
            return measure(file, self.size, self.format)

    @cached_property
    def key(self) -> str:
        """SHA-256 of the bytes."""
        digest = hashlib.sha256()
        with self.open() as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()

    def open(self) -> BinaryIO:
        """Open it for reading.

        :raises InvalidInput: if that cannot be.
        """
        _ = self.size
        try:
            return self.path.open("rb")
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> InvalidInput:
        return InvalidInput(f"{self._told} cannot be read: {error.strerror or error}")


class StoredObject:
    """A recording in object storage. Only headers and a few probes of it are read to tell what it is.

    :param given: the URI as the user wrote it, for messages.
    """

    def __init__(self, place: ObjectStoragePath, given: str | None = None) -> None:
        self.place = place
        self.name = PurePosixPath(place.path).name
        self._told = f"audio={(given or str(place))!r}"

    @cached_property
    def _info(self) -> dict[str, object]:
        try:
            found = self.place.fs.info(self.place.path)
        except FileNotFoundError as error:
            raise InvalidInput(f"{self._told} does not exist") from error
        except Exception as error:  # whatever a storage raises
            raise self._unreadable(error) from error
        if found.get("type") != "file":
            raise InvalidInput(f"{self._told} is not a file")
        return cast("dict[str, object]", found)

    @cached_property
    def size(self) -> int | None:
        """Bytes, None if the storage does not say."""
        size = self._info.get("size")
        return size if isinstance(size, int) else None

    @cached_property
    def format(self) -> Format | None:
        """What its bytes are."""
        with self.open() as file:
            return formats.identify(file, self.size or 0)

    @cached_property
    def length(self) -> Length:
        """How long it is."""
        size = self.size or 0
        with self.open() as file:
            return measure(file, size, self.format, whole=size <= MAX_UPLOAD_BYTES)

    @cached_property
    def key(self) -> str:
        """The URI, and what the storage says of this version of the object."""
        names = ("ETag", "etag", "md5Hash", "content_md5", "generation", "LastModified", "last_modified", "mtime")
        version = next((str(self._info[name]) for name in names if self._info.get(name)), "")
        return json.dumps([str(self.place), self.size, version])

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open it for reading in pieces."""
        return cast("AbstractContextManager[BinaryIO]", StoredFile(self.place, self.size or 0, self._unreadable))

    def fetch(self, target: Path, limit: int) -> LocalFile:
        """Copy it to this machine's disk.

        :param limit: bytes above which that is refused.
        :raises InvalidInput: if it is larger, or may not be read.
        :raises StorageUnavailable: if it cannot be read now.
        """
        if self.size is None or self.size > limit:
            raise InvalidInput(f"{self._told} has {self.size or 'unknown'} bytes; at most {limit:,} are fetched")
        try:
            self.place.fs.get_file(self.place.path, str(target))
        except Exception as error:
            raise self._unreadable(error) from error
        return LocalFile(target)

    def signed(self, seconds: float) -> str | None:
        """Return an address at which the service can fetch it for so many seconds; None if the storage has none.

        :raises InvalidInput: if the storage can sign, but not this, or not for as long.
        :raises StorageUnavailable: if it cannot now.
        """
        try:
            return object_storage.presign(self.place, seconds)
        except InvalidInput as error:
            raise InvalidInput(f"{self._told}: {error}") from error
        except Exception as error:
            raise object_storage.wrap_error(error, f"{self._told} cannot be signed", self.place) from error

    def _unreadable(self, error: Exception) -> InvalidInput | StorageUnavailable:
        return object_storage.wrap_error(error, f"{self._told} cannot be read", self.place)


class WebAddress:
    """A recording that the service fetches itself; of what is public, a few pieces are read to tell how long it is.

    :param allow_private: whether addresses inside the network may be asked.
    """

    def __init__(self, url: str, *, allow_private: bool = False) -> None:
        parts = urlsplit(url)
        self.url = url
        self.name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self.key = identity_url(url)
        self._allow_private = allow_private

    @property
    def size(self) -> int | None:
        """Bytes, None if unknown."""
        return self._looked[0]

    @property
    def format(self) -> Format | None:
        """What its bytes are, None if they could not be looked at."""
        return self._looked[1]

    @property
    def length(self) -> Length:
        """How long it is."""
        return self._looked[2]

    @cached_property
    def _looked(self) -> tuple[int | None, Format | None, Length]:
        from airflow_provider_nanostt.audio.inspect.remote import remote_facts

        return remote_facts(self.url, allow_private=self._allow_private)


def named(
    audio: str | Path | ObjectStoragePath | None = None,
    audio_path: str | Path | None = None,
    audio_url: str | None = None,
    *,
    allow_private: bool = False,
) -> LocalFile | StoredObject | WebAddress:
    """Return the recording that a user names, without looking at it.

    :param audio: a path on this machine, a ``file://`` URI, a web address, or any object storage URI.
    :param audio_path: a path on this machine.
    :param audio_url: a web address that the service can fetch, up to 500 MB.
    :param allow_private: whether addresses inside the network may be asked for what they hold.
    :raises InvalidInput: unless exactly one of the three is given, and of a kind that is known here.
    """
    given = {"audio": audio, "audio_path": audio_path, "audio_url": audio_url}
    names = [name for name, value in given.items() if value]
    if len(names) != 1:
        raise InvalidInput(
            f"exactly one of audio, audio_path and audio_url is needed; got {' and '.join(names) or 'neither'}"
        )
    text = str(given[names[0]]).strip()
    if audio_path:
        return LocalFile(text, "audio_path")
    if audio_url or text.lower().startswith(_WEB):
        return WebAddress(_web_address(text, names[0]), allow_private=allow_private)
    if text.startswith("file://"):
        return LocalFile(unquote(urlsplit(text.replace("#", "%23").replace("?", "%3F")).path))
    return StoredObject(object_storage.resolve(text), text) if "://" in text else LocalFile(text)


def _web_address(text: str, argument: str) -> str:
    shown = text if "?" not in text else text.split("?", 1)[0] + "?…"
    shown = shown if "@" not in shown else "…@" + shown.rpartition("@")[2]
    try:
        parts = urlsplit(text)
        is_one = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_one = False
    if not is_one:
        raise InvalidInput(f"{argument}={shown!r} is not an http(s) URL; for a file on disk use audio_path")
    return text


def can_transcode() -> bool:
    """Whether recordings can be converted, compressed and split here."""
    return importlib.util.find_spec("av") is not None
