"""How loud a recording is, fifty times a second, and from that where nobody speaks.

One pass decodes it; the levels of three hours are a megabyte. The threshold of silence follows the recording: a
quarter of a second well below the speech around it and not above the noise that is always there. No files are written.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from airflow_provider_nanostt.audio.prepare.decoding import AudioTrack, open_track, resampled, throttled

PER_SECOND = 50
"""Levels per second."""

SHORTEST_SILENCE = 0.25
"""Seconds; the gap before a plosive is shorter, the pause between two sentences longer."""

_SAMPLES_PER_SECOND = 4000  # peaks survive leaving some out, and Python has less to do
_BLOCK_LEVELS = 60 * PER_SECOND  # levels that decide together how loud speech is there
_BELOW_SPEECH = 20  # times, 26 dB
_ABOVE_NOISE = 2
_NEVER_SPEECH = 50  # of 32768, -56 dB
_QUIET_WINDOW = 10  # levels, a fifth of a second, around a split point without a silence


@dataclass(frozen=True, slots=True)
class Loudness:
    """How loud a recording is over time.

    :param seconds: its length, as decoded.
    :param levels: peaks, of 32768, :data:`PER_SECOND` a second.
    """

    seconds: float
    levels: Sequence[int] = field(repr=False)

    def silences(self, shortest: float = SHORTEST_SILENCE) -> list[tuple[float, float]]:
        """Return (start, end) in seconds of every stretch in which nobody speaks, in order.

        :param shortest: seconds.
        """
        found: list[tuple[float, float]] = []
        start: int | None = None
        least = shortest * PER_SECOND
        for block, threshold in self._thresholds():
            for at in range(block, min(block + _BLOCK_LEVELS, len(self.levels))):
                if self.levels[at] <= threshold:
                    start = at if start is None else start
                elif start is not None:
                    if at - start >= least:
                        found.append((start / PER_SECOND, at / PER_SECOND))
                    start = None
        if start is not None and len(self.levels) - start >= least:
            found.append((start / PER_SECOND, self.seconds))
        return found

    def quietest(self, start: float, end: float) -> float:
        """Return the moment between two others (seconds) around which it is least loud for a fifth of a second."""
        first, last = max(0, int(start * PER_SECOND)), min(len(self.levels), int(end * PER_SECOND))
        if last - first <= _QUIET_WINDOW:
            return (start + end) / 2
        total = sum(self.levels[first : first + _QUIET_WINDOW])
        least, where = total, first
        for at in range(first + 1, last - _QUIET_WINDOW + 1):
            total += self.levels[at + _QUIET_WINDOW - 1] - self.levels[at - 1]
            if total < least:
                least, where = total, at
        return (where + _QUIET_WINDOW / 2) / PER_SECOND

    def _thresholds(self) -> list[tuple[int, float]]:
        """Return, for each block of levels, where it begins and up to which level nobody speaks."""
        ordered = sorted(self.levels)
        speech = _at(ordered, 0.95)
        noise = min(_at(ordered, 0.05) * _ABOVE_NOISE, speech / 4)
        blocks = range(0, len(self.levels), _BLOCK_LEVELS)
        local = ((at, _at(sorted(self.levels[at : at + _BLOCK_LEVELS]), 0.95)) for at in blocks)
        return [(at, max(loud / _BELOW_SPEECH, noise, _NEVER_SPEECH)) for at, loud in local]


def measure_loudness(source: BinaryIO, *, progress: Callable[[float], object] | None = None) -> Loudness:
    """Decode a whole recording and return how loud it is.

    :param source: seekable.
    :param progress: called with the seconds done, every ten seconds of sound.
    :raises InvalidInput: if PyAV is missing, or the source is not a recording or too long.
    :raises OSError: if the source cannot be read.
    """
    report = throttled(progress)
    with open_track(source) as track:
        levels = array("H", _levels(track, report))
    return Loudness(track.seconds, levels)


def _levels(track: AudioTrack, report: Callable[[float], None]) -> Iterator[int]:
    """Yield levels, of which :data:`PER_SECOND` are a second at any rate, without drift."""
    waiting = array("h")
    rate = count = done = 0  # levels and samples at this rate
    for frame in resampled(track, rate=None):
        if frame.sample_rate != rate:  # the remainder of the old rate is less than one level
            rate, count, done, waiting = frame.sample_rate, 0, 0, array("h")
        waiting.frombytes(memoryview(frame.planes[0])[: 2 * frame.samples])
        at, stride = 0, max(1, rate // _SAMPLES_PER_SECOND)
        while (end := (count + 1) * rate // PER_SECOND - done) <= len(waiting):
            samples = waiting[at:end:stride]
            yield max(max(samples, default=0), -min(samples, default=0))
            at, count = end, count + 1
        del waiting[:at]
        done += at
        report(track.seconds)


def _at(ordered: Sequence[int], share: float) -> int:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0
