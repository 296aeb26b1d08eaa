"""The length of a recording by its own structure, format by format, checked against the bytes that are there.

Each module has a ``measure`` for one family of containers; see :class:`Measure`. It uses the standard library alone, a
bounded number of small reads, and no decoding. What a header claims counts only if the file's size and end agree;
otherwise :class:`Doubtful` is raised, and the caller asks something more thorough or says that the length is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol


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
    :param tracks: of sound, that play at the same time; the longest counts.
    :param silence: seconds that pass without sound, which are not in ``seconds``.
    """

    seconds: float
    source: str
    counted: bool = False
    payload: int | None = None
    tracks: int = 1
    silence: float = 0.0


class Measure(Protocol):
    """Reads the length of one family of containers."""

    def __call__(self, file: BinaryIO, size: int, *, whole: bool) -> Found:
        """Measure a recording.

        :param file: seekable; left at an undefined position. ``size`` is its bytes.
        :param whole: whether all bytes may be read; otherwise headers and a few samples have to be enough.
        :raises Doubtful: if its structure is incomplete, contradicts itself, or disagrees with its bytes.
        :raises OSError: if the file cannot be read.
        """


def read_at(file: BinaryIO, position: int, length: int) -> bytes:
    """Return up to ``length`` bytes from a position."""
    file.seek(position)
    return file.read(length)
