"""One file of sound as it is written: the common half of encoding and of copying packets."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Generic, TypeVar

if TYPE_CHECKING:
    from av.container import OutputContainer

ItemT = TypeVar("ItemT")


class TooLarge(Exception):
    """More has been written than is allowed."""


class Muxer(Generic[ItemT]):
    """Writes frames or packets into one file, until :meth:`finish` or :meth:`abandon`.

    :param file: written and sought in; it stays open.
    :param container: FFmpeg's name of the container.
    :param rate: samples per second.
    """

    def __init__(self, file: BinaryIO, container: str, rate: int) -> None:
        import av

        self.container: OutputContainer = av.open(file, "w", format=container, options={"fflags": "+bitexact"})
        self.rate = rate
        self.samples = 0

    @property
    def seconds(self) -> float:
        """Seconds written so far."""
        return self.samples / self.rate

    def write(self, item: ItemT, samples: int) -> None:
        """Write a frame or a packet of so many samples."""
        raise NotImplementedError

    def finish(self) -> None:
        """Complete the file."""
        self.container.close()

    def abandon(self) -> None:
        """Let go of the file without completing it."""
        with suppress(Exception):  # what went wrong first is what matters
            self.container.close()
