"""The channels of a recording: how loud they are, and one or two out of many in which everybody is still heard.

Works on frames of 16-bit samples at :data:`RATE` with the channels interleaved; reads no file.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import mul
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from av import AudioFrame

RATE = 16_000
"""Samples per second of what is listened to and encoded: recognisers listen at this rate, and to nothing above."""

PER_SECOND = 50
"""Levels per second."""

_STEP = 4  # of so many samples one is looked at: peaks survive that, and Python has less to do
_WINDOW = RATE // 20  # samples that are compared at a time
# Times less power than in the loudest channel; unrelated channels lose four times, all but one silent, N².
_CANCELS = 20
_STAYS = 10  # windows in which nothing cancels any more before the mix is taken again
_OTHER = 4  # times the power of the channel that is taken, for another to be taken instead
_FAINT = 16  # power, -78 dB: too little for a comparison


def levels(frames: Iterable[AudioFrame]) -> Iterator[int]:
    """Yield how loud sound is, :data:`PER_SECOND` times a second: half the span of the loudest channel, of 32768.

    :param frames: with all of their channels.
    """
    size, waiting, count = RATE // PER_SECOND, array("h"), 0
    for frame in frames:
        if count != len(frame.layout.channels):  # what is left of the old form is less than one level
            count, waiting = len(frame.layout.channels), array("h")
        waiting.extend(samples(frame))
        end = len(waiting) // (size * count) * size * count
        for at in range(0, end, size * count):
            yield max(map(_span, _split(waiting[at : at + size * count], count)))
        del waiting[:end]


def loud(found: Sequence[int]) -> int:
    """Return the level that one in twenty exceeds; 0 without any."""
    return share(sorted(found), 0.95)


def share(ordered: Sequence[int], part: float) -> int:
    """Return the level below which a part of the ordered ones are; 0 without any."""
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else 0


def samples(frame: AudioFrame) -> array[int]:
    """Return the samples of a frame, of all channels in turn."""
    found = array("h")
    found.frombytes(memoryview(frame.planes[0])[: 2 * frame.samples * len(frame.layout.channels)])
    return found


class Mixer:
    """Mixes frames of any number of channels down to one or two, frame by frame.

    By FFmpeg's rules where the file says what the channels are, and evenly where it does not: FFmpeg would take the
    third of three unnamed channels for a subwoofer, and leave that speaker out. Where channels cancel each other, the
    loudest of them stands for the mix.

    :param channels: 1 or 2; two are mixed by whoever hears them, so they may not cancel each other either.
    """

    def __init__(self, channels: int) -> None:
        self.cancelled = 0.0
        """Seconds in which one channel stood for the mix."""
        self._layout = "stereo" if channels == 2 else "mono"
        self._given: str | None = None
        self._mixed: Callable[[AudioFrame], AudioFrame]
        self._taken: int | None = None
        self._fine = 0

    def mix(self, frame: AudioFrame) -> AudioFrame:
        """Return a frame with the sound of all channels."""
        if frame.layout.name != self._given:
            self._given, self._mixed = frame.layout.name, self._mixer(frame)
        mixed = self._mixed(frame)
        mixed.pts = None
        return mixed if len(frame.layout.channels) == 1 else self._audible(frame, mixed)

    def _audible(self, frame: AudioFrame, mixed: AudioFrame) -> AudioFrame:
        """Return the mix, with the loudest channel where it cancels."""
        import av

        given, made = samples(frame), samples(mixed)
        many, few = len(frame.layout.channels), len(mixed.layout.channels)
        replaced = 0
        for at in range(0, frame.samples, _WINDOW):
            end = min(at + _WINDOW, frame.samples)
            part, mix = given[at * many : end * many], made[at * few : end * few]
            taken = self._choose(_split(part, many), _split(mix, few))
            if taken is not None:
                replaced += end - at
                for channel in range(few):
                    made[at * few + channel : end * few : few] = part[taken::many]
        if not replaced:
            return mixed
        self.cancelled += replaced / RATE
        audible = av.AudioFrame(format="s16", layout=self._layout, samples=frame.samples)
        audible.sample_rate = RATE
        audible.planes[0].update(made.tobytes().ljust(audible.planes[0].buffer_size, b"\0"))
        return audible

    def _choose(self, channels: Sequence[Sequence[int]], mixed: Sequence[Sequence[int]]) -> int | None:
        """Return the channel that stands for the mix; None if the mix will do."""
        powers = [_power(channel, channel) for channel in channels]
        heard = sum(_power(one, other) for one in mixed for other in mixed) / len(mixed) ** 2
        loudest = max(powers)
        if loudest > max(_CANCELS * heard, _FAINT * len(channels[0])):
            self._fine = 0
        elif self._taken is not None:
            self._fine += 1
        else:
            return None
        if self._fine > _STAYS:
            self._taken = None
        elif self._taken is None or self._taken >= len(powers) or loudest > _OTHER * powers[self._taken]:
            self._taken = powers.index(loudest)
        return self._taken

    def _mixer(self, frame: AudioFrame) -> Callable[[AudioFrame], AudioFrame]:
        """Return what mixes frames like this; it delays none, since the rate stays."""
        import av
        import av.filter

        if frame.layout.name == self._layout:
            return lambda frame: frame
        count = len(frame.layout.channels) if frame.layout.name.endswith(" channels") else 0
        if count <= 2:
            resampler = av.AudioResampler(format="s16", layout=self._layout)
            return lambda frame: resampler.resample(frame)[0]
        even = "+".join(f"c{channel}" for channel in range(count))
        graph = av.filter.Graph()
        source = graph.add(
            "abuffer",
            sample_rate=str(RATE),
            sample_fmt="s16",
            channel_layout=frame.layout.name,
            time_base=f"1/{RATE}",
        )
        mix = graph.add("pan", f"{self._layout}|c0<{even}" + (f"|c1<{even}" if self._layout == "stereo" else ""))
        graph.link_nodes(source, mix, graph.add("abuffersink"))
        graph.configure()

        def mixed(frame: AudioFrame) -> AudioFrame:
            graph.push(frame)
            return cast("AudioFrame", graph.pull())

        return mixed


def _split(interleaved: array[int], count: int) -> list[array[int]]:
    """Return some of the samples of each channel."""
    return [interleaved[channel :: count * _STEP] for channel in range(count)]


def _span(channel: Sequence[int]) -> int:
    """Return half the distance of the highest sample from the lowest, whatever constant lies under all."""
    return (max(channel) - min(channel)) // 2


def _power(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(map(mul, one, other))
