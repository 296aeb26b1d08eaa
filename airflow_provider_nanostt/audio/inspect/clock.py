"""Where time passes in a recording without sound, by the times of its packets or frames; arithmetic, and nothing else.

Players wait there, decoders and recognisers do not. What is believed is bounded: clocks in files may be broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, pairwise
from math import inf
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from av.container import InputContainer

T = TypeVar("T")

SHORTEST = 0.1
"""Seconds; times that are rounded or jitter stay within."""

_LONGEST = 3600.0  # of all silence, more than there is sound; beyond, a clock is broken
_RESTART = 5.0  # seconds back from which on a clock counts anew
_HEAD = 32  # pieces that show whether a clock runs at the pace of the sound
_WRONG_PACES = ((1.1, 4.0), (100.0, inf))  # times that of the sound: a clock in another unit; between, packets are lost
_FROM_ZERO = ("matroska", "mov", "avi", "flv")
_CLOCKED = (*_FROM_ZERO, "mpegts", "mpeg", "ogg", "asf", "nut")
_LATE = 60.0  # seconds after which all streams begin if the recording was cut out of a longer one
_FIRST_PAGE = 4.0  # seconds of FLAC, more than a page of an Ogg has


def is_believable(silence: float, sound: float) -> bool:
    """Whether so many seconds may pass without sound, where there are so many seconds of it."""
    return silence <= _LONGEST + sound


class Clock:
    """Counts sound, and the silence that belongs before it.

    :param start: the time at which the recording begins, seconds.
    :param unknown_for: for so many seconds of sound the times may be counted from zero, and the first gap is none.
    """

    def __init__(self, start: float = 0.0, *, unknown_for: float = 0.0) -> None:
        self.sound = self.silence = 0.0
        self._end = start
        self._unknown_for = unknown_for

    def silence_before(self, at: float | None, lasts: float) -> float:
        """Return the seconds of silence before the next piece, which is counted.

        :param at: its time, seconds, None if unknown.
        :param lasts: its length as sound, seconds.
        """
        gap = 0.0 if at is None else at - self._end
        is_new = gap < -_RESTART or not is_believable(self.silence + gap, self.sound)
        if gap > SHORTEST and self.sound < self._unknown_for:
            is_new, self._unknown_for = True, 0.0
        silence = gap if gap > SHORTEST and not is_new else 0.0
        self._end += (gap if is_new else silence) + lasts
        self.sound, self.silence = self.sound + lasts, self.silence + silence
        return silence


def clock_of(container: InputContainer) -> Clock | None:
    """Return a clock for an open container; None if its times are only counted from its bytes."""
    names = container.format.name.split(",")
    if not any(name in _CLOCKED for name in names):
        return None
    codecs = (track.codec_context.name for track in container.streams.audio if track.codec_context)
    if "ogg" in names and "flac" in codecs:
        # FFmpeg counts from zero up to the end of the first page, whatever time that has.
        return Clock(unknown_for=_FIRST_PAGE)
    start = (container.start_time or 0) / 1_000_000
    return Clock(0.0 if start <= _LATE and any(name in _FROM_ZERO for name in names) else start)


def with_silence(
    pieces: Iterable[T], timed: Callable[[T], tuple[float | None, float]], clock: Clock | None
) -> Iterator[tuple[float, T]]:
    """Yield each piece with the seconds of silence before it.

    :param timed: returns time and length of a piece, as :meth:`Clock.silence_before` takes them.
    :param clock: None for no silence at all, as where a clock does not run at the pace of the sound.
    """
    given = iter(pieces)
    head = list(islice(given, _HEAD)) if clock else []
    is_steady = _is_steady([timed(piece) for piece in head])
    for piece in chain(head, given):
        at, lasts = timed(piece) if clock else (None, 0.0)
        yield clock.silence_before(at if is_steady else None, lasts) if clock else 0.0, piece


def _is_steady(times: list[tuple[float | None, float]]) -> bool:
    paces = sorted(
        (after - at) / lasts
        for (at, lasts), (after, _) in pairwise(times)
        if at is not None and after is not None and lasts
    )
    return not paces or not any(low < paces[len(paces) // 2] <= high for low, high in _WRONG_PACES)
