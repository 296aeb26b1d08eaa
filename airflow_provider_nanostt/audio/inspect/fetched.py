"""A read-only, seekable file whose bytes are fetched as they are read; only the file's manners, and where it stands."""

from __future__ import annotations

import io
from typing import Any


class FetchedFile(io.RawIOBase):
    """A file of ``size`` bytes that is fetched in pieces; who derives from it brings :meth:`read`."""

    size = 0
    """Bytes of the whole file."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes from here; fewer only at the end."""
        raise NotImplementedError

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer; return how many bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move; nothing is fetched."""
        self._at = max(0, offset + {0: 0, 1: self._at, 2: self.size}[whence])
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
