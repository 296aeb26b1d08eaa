"""An object in storage as a file that is read in small pieces: what is asked for and a little more, never the whole.

The files that storages open themselves read ahead by many megabytes, which telling a recording's length does not need.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_nanostt._compat import ObjectStoragePath

_AHEAD = 128 * 1024


class StoredFile(io.RawIOBase):
    """Reads an object through its storage's own range reads.

    :param place: the object.
    :param size: its bytes.
    :param trouble: turns what the storage raises into what is raised here.
    """

    def __init__(self, place: ObjectStoragePath, size: int, trouble: Callable[[Exception], Exception]) -> None:
        super().__init__()
        self._place, self._size, self._trouble = place, size, trouble
        self._at, self._begin, self._piece = 0, 0, b""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes from here; fewer only at the end."""
        stop = self._size if size is None or size < 0 else min(self._at + size, self._size)
        if stop <= self._at:
            return b""
        if not self._begin <= self._at or stop > self._begin + len(self._piece):
            self._begin, end = self._at, min(max(stop, self._at + _AHEAD), self._size)
            try:
                self._piece = bytes(self._place.fs.cat_file(self._place.path, start=self._at, end=end))
            except Exception as error:
                raise self._trouble(error) from error
        data = self._piece[self._at - self._begin : stop - self._begin]
        self._at += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer; return how many bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move; nothing is read."""
        self._at = max(0, offset + {0: 0, 1: self._at, 2: self._size}[whence])
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True
