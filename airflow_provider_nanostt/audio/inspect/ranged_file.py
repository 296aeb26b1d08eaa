"""An object in storage as a file that is read in small pieces: what is asked for and a little more, never the whole.

The files that storages open themselves read ahead by many megabytes, which telling a recording's length does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_nanostt.audio.inspect.fetched import FetchedFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_nanostt._compat import ObjectStoragePath

_AHEAD = 128 * 1024


class StoredFile(FetchedFile):
    """Reads an object through its storage's own range reads.

    :param place: the object.
    :param size: its bytes.
    :param trouble: turns what the storage raises into what is raised here.
    """

    def __init__(self, place: ObjectStoragePath, size: int, trouble: Callable[[Exception], Exception]) -> None:
        super().__init__()
        self._place, self.size, self._trouble = place, size, trouble
        self._begin, self._piece = 0, b""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes from here; fewer only at the end."""
        stop = self.size if size is None or size < 0 else min(self._at + size, self.size)
        if stop <= self._at:
            return b""
        if not self._begin <= self._at or stop > self._begin + len(self._piece):
            self._begin, end = self._at, min(max(stop, self._at + _AHEAD), self.size)
            try:
                self._piece = bytes(self._place.fs.cat_file(self._place.path, start=self._at, end=end))
            except Exception as error:
                raise self._trouble(error) from error
        data = self._piece[self._at - self._begin : stop - self._begin]
        self._at += len(data)
        return data
