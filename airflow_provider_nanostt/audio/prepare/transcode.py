"""A recording as smaller files, or in a format the service takes, whole or in parts.

Whether it must be is decided in ``upload_plan``, where to split in ``split_points``. Compressing aims once and fits:
the bit rate follows from the length. Packets are copied where only the container has to change. Everything streams, on
one core, from file objects only. Each part knows exactly where it begins, so times of a merged transcript do not drift.
"""

from __future__ import annotations

import logging
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.channels import RATE
from airflow_provider_nanostt.audio.prepare.decoding import AudioTrack, open_track, packet_seconds, resampled, throttled
from airflow_provider_nanostt.audio.prepare.muxer import (
    COPIED_INTO,
    Codec,
    Container,
    bit_rate_for,
    codec_spec,
    copied,
    encoded,
    packet_bytes,
)

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import OutputContainer

    from airflow_provider_nanostt.audio.prepare.muxer import Written

log = logging.getLogger(__name__)

T = TypeVar("T")

_TRIES = 3


class _TooLarge(Exception):
    """More has been written than is allowed."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a recording, or all of it, as a file.

    :param path: the parts of a recording sort by name.
    :param start: where it begins in the recording, seconds.
    :param seconds: its length.
    """

    path: Path
    start: float
    seconds: float


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


def compress(source: BinaryIO, output: Output, *, seconds: float, codec: Codec = "opus") -> Part | None:
    """Write a recording's speech so that it fits, at the highest bit rate that does.

    :param source: seekable; of a video, the sound is taken.
    :param seconds: length of the recording.
    :param codec: ``opus`` (Ogg, 24 to 16 kb/s) or ``mp3`` (32 kb/s).
    :return: None if it does not fit even at the lowest bit rate, and then nothing is written.
    :raises InvalidInput: as :func:`~.decoding.open_track`, and if it is too long.
    :raises OSError: if the source cannot be read or the file not be written; nothing is left then.
    """
    for _ in range(_TRIES):
        bit_rate = bit_rate_for(seconds, output.limit_bytes, codec=codec)
        if bit_rate is None:
            return None
        if parts := _encode(source, output, [], [bit_rate], codec=codec):
            return parts[0]
        # The length was wrong, or (never seen) the encoder exceeds the rate it was asked for.
        seconds = max(seconds * 1.1, measured_seconds(source))
    return None


def convert(source: BinaryIO, output: Output, *, codec: Codec = "opus", may_copy: bool = True) -> Part | None:
    """Write a recording's sound in a format the service takes, without loss where that is possible.

    Opus, Vorbis, MP3 and AAC are copied into Ogg, MP3 or M4A; everything else is encoded at 32 kb/s (Opus) or 48 kb/s
    (MP3) a channel, in at most two channels.

    :param codec: what to encode with where copying will not do.
    :param may_copy: False encodes everything.
    :return: None if it exceeds the limit, and then nothing is written. Raises as :func:`compress`.
    """
    parts = split_copy(source, output) if may_copy else None
    parts = parts or _encode(source, output, [], [codec_spec(codec).plain], codec=codec, max_channels=2)
    return parts[0] if parts else None


def split_copy(source: BinaryIO, output: Output, split_points: Sequence[float] = ()) -> list[Part] | None:
    """Split a recording without touching its sound: PCM at the sample, everything else at the nearest packet.

    A packet lasts 20 to 70 milliseconds; one that lost its predecessor to the part before begins with as much silence.

    :param split_points: seconds, ascending; those outside the recording are ignored.
    :return: the parts in order; None if the service takes no file with this codec in it, or one does not fit, and then
        none is left. Raises as :func:`compress`.
    """
    with open_track(source) as track:
        container = COPIED_INTO.get(track.codec)
        if container is None:
            return None
        points = [round(point * track.rate) for point in split_points]
        packets = packet_bytes(track, points)
        parts = _write_parts(
            packets, points, track.rate, output, container, mux=lambda file, _, items: copied(file, track, items)
        )
    if parts == []:
        raise InvalidInput(f"{track.name} has a sound track with nothing in it")
    _report(track)
    return parts


def split_compress(
    source: BinaryIO, output: Output, split_points: Sequence[float] = (), *, seconds: float, codec: Codec = "opus"
) -> list[Part] | None:
    """Split and compress a recording in one pass; each part gets the highest bit rate at which it fits.

    :param split_points: seconds, ascending; parts may be :func:`~.muxer.longest_seconds` long.
    :param seconds: length of the recording.
    :return: the parts in order; None if one of them does not fit even at the lowest bit rate, and then none is left.
        Raises as :func:`compress`.
    """
    points = [point for point in split_points if 0 < point < seconds]
    frame = codec_spec(codec).frame / RATE
    rates = [
        bit_rate_for(end - start + frame, output.limit_bytes, codec=codec)
        for start, end in pairwise([0.0, *points, seconds])
    ]
    fitting = [rate for rate in rates if rate is not None]
    return _encode(source, output, points, fitting, codec=codec) if len(fitting) == len(rates) else None


def measured_seconds(source: BinaryIO) -> float:
    """Return the seconds of a recording, by its packets: nothing is decoded, no header believed."""
    with open_track(source) as track:
        seconds = sum(packet_seconds(track, packet) for packet in track.packets())
    track.check_length(seconds)
    return seconds


def _encode(
    source: BinaryIO,
    output: Output,
    split_points: Sequence[float],
    bit_rates: Sequence[int],
    *,
    codec: Codec,
    max_channels: int = 1,
) -> list[Part] | None:
    """Encode in one pass, each part at its own bits per second and channel; ``max_channels`` 2 keeps two apart."""
    spec = codec_spec(codec)
    with open_track(source) as track:
        channels = min(track.channels, max_channels)
        frames = resampled(track, channels=channels, frame_size=spec.frame, planar=codec == "mp3")

        def mux(file: OutputContainer, number: int, items: Iterator[tuple[AudioFrame, int]]) -> Iterator[Written]:
            return encoded(file, items, spec, channels=channels, bit_rate=bit_rates[number] * channels)

        points = [round(point * RATE) for point in split_points]
        parts = _write_parts(
            ((frame, frame.samples) for frame in frames), points, RATE, output, spec.container, mux=mux
        )
    _report(track)
    return parts


def _report(track: AudioTrack) -> None:
    if track.clock and track.clock.silence:
        log.info("%s: its times have gaps; %.1f s of silence stand for them", track.name, track.clock.silence)
    if track.broken:
        log.warning("%s: %d damaged packets were left out", track.name, track.broken)


def _write_parts(
    items: Iterable[tuple[T, int]],
    split_points: Sequence[int],
    rate: int,
    output: Output,
    container: Container,
    *,
    mux: Callable[[OutputContainer, int, Iterator[tuple[T, int]]], Iterator[Written]],
) -> list[Part] | None:
    """Write packets or frames of so many samples each, split at the nearest of them; on an error no part is left.

    :param split_points: samples, ascending; ``rate`` of them are a second.
    :param mux: :func:`encoded` or :func:`copied`, given the file, how many split points are behind it, and its items.
    :return: None if a part exceeds the limit.
    """
    report, done = throttled(output.progress), 0
    parts: list[Part] = []
    begun: list[Path] = []
    try:
        for number, group in groupby(_numbered(items, split_points), itemgetter(0)):
            path, start = output.folder / f"part-{len(parts) + 1:03}{container.suffix}", done
            with _new_file(path, container) as (written, file):
                begun.append(path)
                for packets, samples in mux(file, number, (item for _, item in group)):
                    file.mux(packets)
                    done += samples
                    _check_size(written.tell(), output)
                    report(done / rate)
            _check_size(path.stat().st_size, output)
            parts.append(Part(path, start / rate, (done - start) / rate))
    except BaseException as error:
        for path in begun:
            path.unlink()
        if isinstance(error, _TooLarge):
            return None
        raise
    return parts


def _numbered(items: Iterable[tuple[T, int]], split_points: Sequence[int]) -> Iterator[tuple[int, tuple[T, int]]]:
    """Yield how many split points are before the middle of an item, and the item."""
    position = 0
    for item, samples in items:
        yield bisect_right(split_points, position + samples / 2), (item, samples)
        position += samples


@contextmanager
def _new_file(path: Path, container: Container) -> Iterator[tuple[BinaryIO, OutputContainer]]:
    """Open a new file, also for FFmpeg to write."""
    import av

    with path.open("x+b") as written:
        file = av.open(written, "w", format=container.name, options={"fflags": "+bitexact"})
        try:
            yield written, file
        except BaseException:
            with suppress(Exception):  # what went wrong first is what matters
                file.close()
            raise
        file.close()


def _check_size(size: int, output: Output) -> None:
    if size > output.limit_bytes:
        raise _TooLarge
