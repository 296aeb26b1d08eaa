"""How loud a recording is, fifty times a second, and from that where nobody speaks.

One pass decodes it; the levels of three hours are a megabyte. The threshold of silence follows the recording: a
quarter of a second well below the speech around it and not above the noise that is always there. No files are written.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_nanostt.audio.prepare.channels import PER_SECOND, Mixer, levels, loud, share
from airflow_provider_nanostt.audio.prepare.decoding import AudioTrack, by_channel, open_track, throttled

if TYPE_CHECKING:
    from av import AudioFrame

SHORTEST_SILENCE = 0.25
"""Seconds; the gap before a plosive is shorter, the pause between two sentences longer."""

_BLOCK_LEVELS = 60 * PER_SECOND  # levels that decide together how loud speech is there
_BELOW_SPEECH = 20  # times, 26 dB
_ABOVE_NOISE = 2
_NEVER_SPEECH = 50  # of 32768, -56 dB
_WITHIN_SPEECH = 10  # times, 20 dB
_FAR_BELOW = 30  # times, 30 dB
_SOME = 0.01  # of all sound
_QUIET_WINDOW = 10  # levels, a fifth of a second, around a split point without a silence


@dataclass(frozen=True, slots=True)
class Loudness:
    """How loud a recording is over time.

    :param seconds: its length, as decoded.
    :param levels: of the loudest channel, of 32768, :data:`PER_SECOND` a second.
    :param cancels: whether channels cancel each other when they are mixed.
    :param filled: seconds of silence that are put where time passes without sound.
    """

    seconds: float
    levels: Sequence[int] = field(repr=False)
    cancels: bool = False
    filled: float = 0.0

    @property
    def may_copy(self) -> bool:
        """Whether its packets can be copied, and would be heard as they are here."""
        return not self.cancels and not self.filled

    def silences(self, shortest: float = SHORTEST_SILENCE) -> list[tuple[float, float]]:
        """Return (start, end) in seconds of every stretch in which nobody speaks, in order."""
        found, end = [], 0
        for is_quiet, run in groupby(self._quiet()):
            start, end = end, end + sum(1 for _ in run)
            if is_quiet and end - start >= shortest * PER_SECOND:
                found.append((start / PER_SECOND, self.seconds if end == len(self.levels) else end / PER_SECOND))
        return found

    def quietest(self, start: float, end: float) -> float:
        """Return the moment between two others (seconds) around which it is least loud for a fifth of a second."""
        first, last = max(0, int(start * PER_SECOND)), min(len(self.levels), int(end * PER_SECOND))
        if last - first <= _QUIET_WINDOW:
            return (start + end) / 2
        sums = list(accumulate(self.levels[first:last], initial=0))
        where = min(range(len(sums) - _QUIET_WINDOW), key=lambda at: sums[at + _QUIET_WINDOW] - sums[at])
        return (first + where + _QUIET_WINDOW / 2) / PER_SECOND

    def lost(self, made: Loudness, start: float) -> tuple[int, int] | None:
        """Return the levels of speech here and of what was made of it, if that is all but silent; else None.

        :param made: how loud a part is that begins at ``start``, seconds.
        """
        first, least = round(start * PER_SECOND), max(_NEVER_SPEECH, loud(self.levels) / _WITHIN_SPEECH)
        for at in range(0, len(made.levels), _BLOCK_LEVELS):
            heard = made.levels[at : at + _BLOCK_LEVELS]
            here, there = loud(self.levels[first + at : first + at + len(heard)]), loud(heard)
            if here > max(least, there * _FAR_BELOW):
                return here, there
        return None

    def _quiet(self) -> Iterator[bool]:
        """Yield for each level whether nobody speaks."""
        noise = min(share(sorted(self.levels), 0.05) * _ABOVE_NOISE, loud(self.levels) / 4)
        for at in range(0, len(self.levels), _BLOCK_LEVELS):
            block = self.levels[at : at + _BLOCK_LEVELS]
            threshold = max(loud(block) / _BELOW_SPEECH, noise, _NEVER_SPEECH)
            yield from (level <= threshold for level in block)


def measure_loudness(source: BinaryIO, *, progress: Callable[[float], object] | None = None) -> Loudness:
    """Decode a whole recording and return how loud it is; raises as :meth:`AudioTrack.frames`.

    :param progress: called with the seconds done, every ten seconds of sound.
    """
    with open_track(source) as track:
        mixer = Mixer(channels=1)
        found = array("H", levels(_mixed(track, mixer, throttled(progress))))
    filled = track.clock.silence if track.clock else 0.0
    return Loudness(track.seconds + filled, found, mixer.cancelled > _SOME * track.seconds, filled)


def _mixed(track: AudioTrack, mixer: Mixer, report: Callable[[float], None]) -> Iterator[AudioFrame]:
    """Yield the sound of all channels, after it has been mixed to see whether they cancel each other."""
    for frame in by_channel(track):
        mixer.mix(frame)
        report(track.seconds)
        yield frame
