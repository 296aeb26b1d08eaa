"""The length of a recording by its own structure, format by format, checked against the bytes that are there.

Each module has a ``measure`` for one family of containers; see :class:`Measure`. It uses the standard library alone, a
bounded number of small reads, and no decoding. What a header claims counts only if the file's size and end agree;
otherwise :class:`Doubtful` is raised, and the caller asks something more thorough or says that the length is unknown.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

_MAX_CHUNKS = 200


class Doubtful(Exception):
    """The structure does not say how long the recording is, or cannot be believed; the reason is for people."""


class Hopeless(Doubtful):
    """No more thorough way would know better, or none should be let near it: it claims what no recording has."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a structure says.

    :param seconds: the length.
    :param source: how it is known, for people.
    :param counted: whether each piece of the sound was counted, so that no header had to be believed.
    :param payload: bytes that are sound, without pictures and the like; None for all of the file.
    """

    seconds: float
    source: str
    counted: bool = False
    payload: int | None = None


class Measure(Protocol):
    """Reads the length of one family of containers."""

    def __call__(self, file: BinaryIO, size: int, *, whole: bool) -> Found:
        """Measure a recording.

        :param file: seekable; left at an undefined position.
        :param size: its bytes.
        :param whole: whether all bytes may be read; otherwise headers and a few samples have to be enough.
        :raises Doubtful: if its structure is incomplete, contradicts itself, or disagrees with its bytes.
        :raises OSError: if the file cannot be read.
        """


def read_at(file: BinaryIO, position: int, length: int) -> bytes:
    """Return up to ``length`` bytes from a position.

    :raises OSError: if they cannot be read.
    """
    file.seek(position)
    return file.read(length)


def chunks(
    file: BinaryIO, size: int, start: int, *, order: str, wide: bool = False
) -> Iterator[tuple[bytes, int, int]]:
    """Yield the mark of each chunk of a RIFF, AIFF or Wave64 file, the length of its content, and where that starts.

    :param start: of the first chunk.
    :param order: of the bytes of numbers, as ``struct`` has it.
    :param wide: whether they are Wave64's.
    """
    at, head_bytes = start, 24 if wide else 8
    for _ in range(_MAX_CHUNKS):
        head = read_at(file, at, head_bytes)
        if len(head) < head_bytes or at >= size:
            return
        length = struct.unpack_from("<Q" if wide else order + "I", head, 16 if wide else 4)[0]
        length, body = max(0, length - 24) if wide else length, at + head_bytes
        yield head[:4], length, body
        at = body + length + (-length % 8 if wide else length & 1)
