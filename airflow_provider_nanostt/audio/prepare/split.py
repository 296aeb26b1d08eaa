"""Parts of a recording written as files: copied as they are, or compressed on the way; one file if it is not split.

Where to split is decided by :func:`~.split_points.plan_split_points`. Each part knows exactly where it begins, so times
of a merged transcript do not drift.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Generic

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.decoding import AudioTrack, open_track, throttled
from airflow_provider_nanostt.audio.prepare.encoder import RATE, Codec, CodecSpec, Encoder, bit_rate_for, codec_spec
from airflow_provider_nanostt.audio.prepare.muxer import ItemT, Muxer, TooLarge
from airflow_provider_nanostt.audio.prepare.remux import Remuxer, RemuxTarget, cut_packet, remux_target, sample_count
from airflow_provider_nanostt.audio.prepare.resample import resampled

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a recording, or all of it, as a file.

    :param path: the parts of a recording sort by name.
    :param start: where it begins in the recording, seconds.
    :param seconds: its length.
    :param bytes: its size.
    :param content_type: agrees with the suffix.
    """

    path: Path
    start: float
    seconds: float
    bytes: int
    content_type: str


@dataclass(frozen=True, slots=True)
class Output:
    """Where parts are written.

    :param folder: exists; gets ``part-001.mp3`` and so on.
    :param limit_bytes: the largest size of a part.
    :param progress: called with the seconds done, every ten seconds of sound.
    """

    folder: Path
    limit_bytes: int = sys.maxsize
    progress: Callable[[float], object] | None = None


def split_copy(source: BinaryIO, output: Output, split_points: Sequence[float] = ()) -> list[Part] | None:
    """Split a recording without touching its sound: PCM at the sample, everything else at the nearest packet.

    A packet lasts 20 to 70 milliseconds; one that lost its predecessor to the part before begins with as much silence.

    :param source: seekable; of a video, the sound is taken.
    :param split_points: seconds, ascending; those outside the recording are ignored.
    :return: the parts in order; None if the service takes no file with this codec in it, or one does not fit, and then
        none is left.
    :raises InvalidInput: if PyAV is missing, or the source is not a recording or too long.
    :raises OSError: if the source cannot be read or a part not be written; none is left then.
    """
    with open_track(source) as track:
        target = remux_target(track)
        if target is None:
            return None
        packets = ((bytes(packet), sample_count(track, packet)) for packet in track.packets() if packet.size)
        cut = partial(cut_packet, track) if target.sample_bytes else None
        writer = _PartWriter(output, target, split_points, track.rate, lambda file, _: Remuxer(file, track, target))
        parts = writer.write_all(packets, cut)
    if parts == []:
        raise InvalidInput(f"{track.name} has a sound track with nothing in it")
    _report_damage(track)
    return parts


def split_compress(
    source: BinaryIO, output: Output, split_points: Sequence[float] = (), *, seconds: float, codec: Codec = "opus"
) -> list[Part] | None:
    """Split and compress a recording in one pass; each part gets the highest bit rate at which it fits.

    :param source: seekable; of a video, the sound is taken.
    :param split_points: seconds, ascending; parts may be :func:`~.encoder.longest_seconds` long.
    :param seconds: length of the recording.
    :return: the parts in order; None if one of them does not fit even at the lowest bit rate, and then none is left.
        Raises as :func:`split_copy`.
    """
    points = [point for point in split_points if 0 < point < seconds]
    longest = codec_spec(codec).frame / RATE
    rates = [
        bit_rate_for(end - start + longest, output.limit_bytes, codec=codec)
        for start, end in pairwise([0.0, *points, seconds])
    ]
    fitting = [rate for rate in rates if rate is not None]
    return encode(source, output, points, codec=codec, bit_rates=fitting) if len(fitting) == len(rates) else None


def encode(
    source: BinaryIO,
    output: Output,
    split_points: Sequence[float] = (),
    *,
    codec: Codec,
    bit_rates: Sequence[int],
    max_channels: int = 1,
) -> list[Part] | None:
    """Encode a recording in one pass; see :func:`split_compress`.

    :param bit_rates: of each part, bits per second and channel.
    :param max_channels: 2 keeps two channels apart, if there are two.
    """
    spec = codec_spec(codec)
    with open_track(source) as track:
        channels = min(track.channels, max_channels)
        frames = resampled(track, rate=RATE, channels=channels, frame_size=spec.frame, planar=codec == "mp3")

        def make(file: BinaryIO, number: int) -> Encoder:
            return Encoder(file, codec=codec, channels=channels, bit_rate=bit_rates[number] * channels)

        writer = _PartWriter(output, spec, split_points, RATE, make)
        parts = writer.write_all((frame, frame.samples) for frame in frames)
    _report_damage(track)
    return parts


def _report_damage(track: AudioTrack) -> None:
    if track.broken:
        log.warning("%s: %d damaged packets were left out", track.name, track.broken)


class _PartWriter(Generic[ItemT]):
    """Writes the parts of a recording one after the other; on an error none is left.

    :param target: has their suffix and content type.
    :param split_points: seconds, ascending.
    :param rate: samples per second, in which times are counted.
    :param make: returns the muxer of a file, given the file and how many split points are behind it.
    """

    def __init__(
        self,
        output: Output,
        target: RemuxTarget | CodecSpec,
        split_points: Sequence[float],
        rate: int,
        make: Callable[[BinaryIO, int], Muxer[ItemT]],
    ) -> None:
        self._done: list[Part] = []
        self._output, self._target = output, target
        self._points = [round(point * rate) for point in split_points if point > 0]
        self._rate, self._make, self._report = rate, make, throttled(output.progress)
        self._passed = self._position = self._start = 0
        self._begun: list[Path] = []
        self._open: tuple[BinaryIO, Muxer[ItemT]] | None = None

    def write_all(
        self, items: Iterable[tuple[ItemT, int]], cut: Callable[[ItemT, int], tuple[ItemT, ItemT]] | None = None
    ) -> list[Part] | None:
        """Write packets or frames of so many samples each; None if a part exceeds the limit.

        :param cut: cuts an item after so many samples; None splits at the nearest item.
        """
        try:
            for item, samples in items:
                self._write(item, samples, cut)
            self._complete()
        except BaseException as error:
            self._discard()
            if isinstance(error, TooLarge):
                return None
            raise
        return self._done

    def _write(self, item: ItemT, samples: int, cut: Callable[[ItemT, int], tuple[ItemT, ItemT]] | None) -> None:
        self._advance(0 if cut else samples / 2)
        while cut and (before := self._until_next()) < samples:
            head, item = cut(item, before)
            samples -= before
            self._append(head, before)
            self._advance(0)
        if samples:
            self._append(item, samples)

    def _until_next(self) -> int:
        """Return the samples until the next split point; more than any item has if there is none."""
        return self._points[self._passed] - self._position if self._passed < len(self._points) else sys.maxsize

    def _advance(self, reach: float) -> None:
        """Go on to the next part if a split point is at most so many samples ahead."""
        while self._until_next() <= reach:
            self._complete()
            self._passed += 1

    def _append(self, item: ItemT, samples: int) -> None:
        file, muxer = self._open = self._open or self._begin()
        muxer.write(item, samples)
        self._position += samples
        self._check(file)
        self._report(self._position / self._rate)

    def _begin(self) -> tuple[BinaryIO, Muxer[ItemT]]:
        path = self._output.folder / f"part-{len(self._begun) + 1:03}{self._target.suffix}"
        file = path.open("x+b")
        self._begun.append(path)
        self._start = self._position
        try:
            return file, self._make(file, self._passed)
        except BaseException:
            file.close()
            raise

    def _complete(self) -> None:
        if self._open is None:
            return
        file, muxer = self._open
        with file:
            muxer.finish()
            file.seek(0, 2)
            self._check(file)
            size = file.tell()
        start = self._start / self._rate
        self._done.append(Part(self._begun[-1], start, muxer.seconds, size, self._target.content_type))
        self._open = None

    def _check(self, file: BinaryIO) -> None:
        if file.tell() > self._output.limit_bytes:
            raise TooLarge

    def _discard(self) -> None:
        if self._open is not None:
            file, muxer = self._open
            muxer.abandon()
            with suppress(OSError):  # a full disk says so once more
                file.close()
        for path in self._begun:
            path.unlink(missing_ok=True)
