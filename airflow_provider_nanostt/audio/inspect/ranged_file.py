"""Seekable files whose bytes are fetched in ranges: objects in storage, and files that are hashed while they are read.

The files that storages open themselves read ahead by many megabytes, which measuring a recording does not need.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath

_READ_AHEAD_BYTES = 128 * 1024
_HASH_BLOCK_BYTES = 1024 * 1024


class RangedFile(io.RawIOBase):
    """A file of ``size`` bytes; subclasses provide :meth:`fetch`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._position = 0

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes from ``start`` up to, but not including, ``stop``; fewer if there are none.

        :raises OSError: if they cannot be read.
        """
        raise NotImplementedError

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes; fewer only at the end."""
        stop = self.size if size is None or size < 0 else min(self._position + size, self.size)
        data = self.fetch(self._position, stop) if self._position < stop else b""
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move; nothing is fetched."""
        self._position = max(0, offset + {0: 0, 1: self._position, 2: self.size}[whence])
        return self._position

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True


class StoredFile(RangedFile):
    """Reads an object through its storage's own range reads: the bytes asked for and a little more, never the whole.

    :param wrap_error: turns what the storage raises into what is raised here.
    """

    def __init__(self, path: ObjectStoragePath, size: int, wrap_error: Callable[[Exception], Exception]) -> None:
        super().__init__(size)
        self._path, self._wrap_error = path, wrap_error
        self._start, self._data = 0, b""

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes, as far as possible from the last range that was read."""
        at = start - self._start
        if not 0 <= at < len(self._data):
            self._start, self._data, at = start, b"", 0
        end = self._start + len(self._data)
        if end < stop:
            self._data = self._data[at:] + self._read(end, max(stop, end + _READ_AHEAD_BYTES))
            self._start, at = start, 0
        return self._data[at : at + stop - start]

    def _read(self, start: int, end: int) -> bytes:
        try:
            return bytes(self._path.fs.cat_file(self._path.path, start=start, end=min(end, self.size)))
        except Exception as error:
            raise self._wrap_error(error) from error


class HashingFile(RangedFile):
    """Takes the digest of a file while it is read for something else, so that its bytes are read once.

    What is read more or less from front to back goes into the digest as it passes; jumps back and far ahead do not.

    :param file: on this machine's disk; stays open.
    """

    def __init__(self, file: BinaryIO) -> None:
        import hashlib  # takes long, and most readers of ranges have no use for it

        self.stat = os.fstat(file.fileno())
        super().__init__(self.stat.st_size)
        self._file = file
        self._sha256 = hashlib.sha256()
        self._hashed = 0

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes; a small gap behind the hashed ones is read as well."""
        begin = self._hashed if self._hashed < start <= self._hashed + _HASH_BLOCK_BYTES else start
        self._file.seek(begin)
        data = self._file.read(stop - begin)
        if begin <= self._hashed < begin + len(data):
            self._sha256.update(data[self._hashed - begin :])
            self._hashed = begin + len(data)
        return data[start - begin :]

    def sha256(self) -> str:
        """Read the rest, and return the digest of the whole in hexadecimal."""
        self._file.seek(self._hashed)
        while block := self._file.read(_HASH_BLOCK_BYTES):
            self._sha256.update(block)
        return self._sha256.hexdigest()
