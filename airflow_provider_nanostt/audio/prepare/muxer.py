"""Writing files of sound whole or not at all: what encoding and copying have in common."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from av.container import OutputContainer


class TooLarge(Exception):
    """More has been written than may be."""


class Writer:
    """One file of sound being written; a context manager, which completes it unless an exception passes through.

    :param file: written and sought in; it stays open.
    :param container: FFmpeg's name of the container.
    :param rate: samples per second.
    """

    def __init__(self, file: BinaryIO, container: str, rate: int) -> None:
        import av

        self._container: OutputContainer = av.open(file, "w", format=container, options={"fflags": "+bitexact"})
        self._rate = rate
        self._samples = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abandon()

    @property
    def seconds(self) -> float:
        """Seconds written so far."""
        return self._samples / self._rate

    def write(self, item: Any, samples: int) -> None:
        """Write a frame or a packet of so many samples."""
        raise NotImplementedError

    def finish(self) -> None:
        """Complete the file."""
        self._container.close()

    def abandon(self) -> None:
        """Let go of the file; what is in it is of no use."""
        with suppress(Exception):  # what went wrong first is what matters
            self._container.close()


@contextmanager
def whole(target: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open a target for writing so that either all of it is there afterwards, or nothing.

    A path gets its content in one step at the end; a file object is cut back to where it stood if an exception passes.

    :raises OSError: if it cannot be written.
    """
    if not isinstance(target, Path):
        start = target.tell()
        try:
            yield target
        except BaseException:
            target.seek(start)
            target.truncate()
            raise
        return
    unfinished = target.with_name(f".{target.name[-40:]}.{os.getpid()}.part")
    try:
        with unfinished.open("w+b") as file:
            yield file
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
