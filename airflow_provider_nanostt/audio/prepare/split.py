"""A recording too long in minutes or bytes becomes parts that are not: copied as they are, or compressed on the way.

Where to cut is decided by :func:`plan_split_points` from what :func:`measure` heard; here the cuts are made. Each part
knows exactly where it begins, so times of a merged transcript do not drift.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.decoding import DEFAULT_BOUNDS, Bounds, Progress, channel_count, opened
from airflow_provider_nanostt.audio.prepare.encoder import RATE, Codec, Encoder, bit_rate_for, form
from airflow_provider_nanostt.audio.prepare.muxer import TooLarge, Writer
from airflow_provider_nanostt.audio.prepare.remux import Copy, copyable, cut_packet, sample_count
from airflow_provider_nanostt.audio.prepare.resample import Sound
from airflow_provider_nanostt.audio.prepare.silence import Loudness, measure, silences
from airflow_provider_nanostt.audio.prepare.split_points import plan_split_points

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ["Loudness", "Part", "measure", "plan_split_points", "silences", "split_compress", "split_copy"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a recording that was split.

    :param path: its file; the parts of a recording sort by name.
    :param start_seconds: where it begins in the recording.
    :param seconds: its length.
    :param bytes: its size.
    :param content_type: agrees with the suffix.
    """

    path: Path
    start_seconds: float
    seconds: float
    bytes: int
    content_type: str


def split_copy(
    source: BinaryIO,
    folder: Path,
    cuts: Sequence[float],
    *,
    track: int = 0,
    bounds: Bounds = DEFAULT_BOUNDS,
    progress: Callable[[float], object] | None = None,
) -> list[Part] | None:
    """Split a recording without touching its sound: PCM at the sample, everything else at the nearest packet.

    A packet lasts 20 to 70 milliseconds; one that lost its predecessor to the part before begins with as much silence.

    :param source: seekable; of a video, the sound is taken.
    :param folder: exists; gets ``part-001.mp3`` and so on.
    :param cuts: seconds, ascending; what is not inside the recording is left out.
    :param track: which sound track, from 0.
    :param progress: called with the seconds done, every ten seconds of sound.
    :return: the parts in order; None if the service takes no file with this codec in it.
    :raises InvalidInput: if PyAV is missing, or the source is no recording or exceeds the bounds.
    :raises OSError: if the source cannot be read or a part not be written; none is left then.
    """
    with opened(source, track=track, bounds=bounds) as recording:
        kind = copyable(recording)
        if kind is None:
            return None
        looks = _Looks(folder, kind.suffix, kind.content_type, None, Progress(progress))
        with _Parts(looks, cuts, recording.rate, lambda file, _: Copy(file, recording, kind)) as out:
            for packet in recording.packets():
                rest, count = packet, sample_count(recording, packet) if packet.size else 0
                out.turn(0 if kind.sample_bytes else count / 2)
                while kind.sample_bytes and out.until_cut < count:
                    count -= out.until_cut
                    piece, rest = cut_packet(recording, rest, out.until_cut)
                    out.write(piece, out.until_cut)
                    out.turn(0)
                if count:
                    out.write(rest, count)
    if not out.parts:
        raise InvalidInput(f"{recording.name} has a sound track with nothing in it")
    return out.parts


def split_compress(
    source: BinaryIO,
    folder: Path,
    cuts: Sequence[float],
    *,
    limit_bytes: int,
    seconds: float,
    codec: Codec = "opus",
    channels: int = 1,
    track: int = 0,
    bounds: Bounds = DEFAULT_BOUNDS,
    progress: Callable[[float], object] | None = None,
) -> list[Part] | None:
    """Split and compress a recording in one pass; each part gets the highest bit rate at which it fits.

    :param source: seekable; of a video, the sound is taken.
    :param folder: exists; gets ``part-001.ogg`` and so on.
    :param cuts: seconds, ascending; parts may be :func:`~.encoding.longest_seconds` long.
    :param limit_bytes: what a part may have at most.
    :param seconds: length of the recording.
    :param codec: ``opus`` or ``mp3``.
    :param channels: 2 keeps a speaker on each channel apart, at twice the bit rate, if there are two.
    :param track: which sound track, from 0.
    :param progress: called with the seconds done, every ten seconds of sound.
    :return: the parts in order; None if one of them does not fit even at the lowest bit rate, and then none is left.
    :raises InvalidInput: if PyAV is missing, or the source is no recording or exceeds the bounds.
    :raises OSError: if the source cannot be read or a part not be written; none is left then.
    """
    told, channels = form(codec), channel_count(source, channels, track=track)
    ends = [*(cut for cut in cuts if 0 < cut < seconds), seconds]
    longest = [end - start + told.frame / RATE for start, end in zip([0.0, *ends], ends, strict=False)]
    rates = [bit_rate_for(part, limit_bytes, codec=codec, channels=channels) for part in longest]

    def encoder(file: BinaryIO, number: int) -> Encoder:
        return Encoder(file, codec=codec, channels=channels, bit_rate=rates[number] or told.lowest)

    if None in rates:
        return None
    looks = _Looks(folder, told.suffix, told.content_type, limit_bytes, Progress(progress))
    with opened(source, track=track, bounds=bounds) as recording:
        sound = Sound(recording, rate=RATE, channels=channels, frame_size=told.frame, planar=codec == "mp3")
        try:
            with _Parts(looks, ends[:-1], RATE, encoder) as out:
                for frame in sound:
                    out.turn(frame.samples / 2)
                    out.write(frame, frame.samples)
        except TooLarge:
            return None
    return out.parts


@dataclass(frozen=True, slots=True)
class _Looks:
    """Where parts go and what they look like; ``limit_bytes`` is what one may have at most, if anything."""

    folder: Path
    suffix: str
    content_type: str
    limit_bytes: int | None
    progress: Progress


class _Parts:
    """The parts of a recording as they are written, one after the other; a context manager: on an error none is left.

    :param cuts: seconds, ascending.
    :param rate: samples per second, which is what times are counted in.
    :param make: returns what writes into a file, given the file and how many cuts lie behind it.
    """

    def __init__(
        self, looks: _Looks, cuts: Sequence[float], rate: int, make: Callable[[BinaryIO, int], Writer]
    ) -> None:
        self.parts: list[Part] = []
        self._looks = looks
        self._cuts = [round(cut * rate) for cut in cuts if cut > 0]
        self._rate = rate
        self._make = make
        self._passed = 0
        self._position = self._start = 0
        self._begun: list[Path] = []
        self._open: tuple[BinaryIO, Writer] | None = None

    @property
    def until_cut(self) -> int:
        """Samples until the next cut; more than any packet has if there is none."""
        return self._cuts[self._passed] - self._position if self._passed < len(self._cuts) else sys.maxsize

    def turn(self, reach: float) -> None:
        """Go on to the next part if a cut is no more than so many samples ahead."""
        while self.until_cut <= reach:
            self._complete()
            self._passed += 1

    def write(self, item: Any, samples: int) -> None:
        """Write a packet or frame to the part."""
        file, writer = self._open = self._open or self._begin()
        writer.write(item, samples)
        self._position += samples
        self._check(file)
        self._looks.progress.at(self._position / self._rate)

    def __enter__(self) -> _Parts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._complete()
                return
        except BaseException:
            self._discard()
            raise
        self._discard()

    def _begin(self) -> tuple[BinaryIO, Writer]:
        path = self._looks.folder / f"part-{len(self._begun) + 1:03}{self._looks.suffix}"
        self._begun.append(path)
        self._start = self._position
        file = path.open("w+b")
        try:
            return file, self._make(file, self._passed)
        except BaseException:
            file.close()
            raise

    def _complete(self) -> None:
        if self._open is None:
            return
        file, writer = self._open
        with file:
            writer.finish()
            file.seek(0, 2)
            self._check(file)
            size = file.tell()
        start = self._start / self._rate
        self.parts.append(Part(self._begun[-1], start, writer.seconds, size, self._looks.content_type))
        self._open = None

    def _check(self, file: BinaryIO) -> None:
        if self._looks.limit_bytes is not None and file.tell() > self._looks.limit_bytes:
            raise TooLarge

    def _discard(self) -> None:
        if self._open is not None:
            file, writer = self._open
            writer.abandon()
            file.close()
        for path in self._begun:
            path.unlink(missing_ok=True)
