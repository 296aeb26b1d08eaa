"""A recording becomes a smaller one, or one in a format the service takes; whether it must is decided elsewhere.

Compressing aims once and fits: the bit rate follows from the length. Converting copies the packets where only the
container is the matter, and encodes otherwise. Both stream, on one core, from file objects only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.decoding import (
    DEFAULT_BOUNDS,
    Bounds,
    Progress,
    Recording,
    channel_count,
    opened,
    packet_seconds,
)
from airflow_provider_nanostt.audio.prepare.encoder import RATE, Codec, Encoder, bit_rate_for, form
from airflow_provider_nanostt.audio.prepare.muxer import TooLarge, whole
from airflow_provider_nanostt.audio.prepare.remux import Copy, Kind, copyable, sample_count
from airflow_provider_nanostt.audio.prepare.resample import Sound

if TYPE_CHECKING:
    from collections.abc import Callable

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Compressed:
    """A recording that was written.

    :param path: where; None if it went to a file object.
    :param seconds: of sound in it.
    :param bytes: its size.
    :param bit_rate: bits per second asked of the encoder, of all channels together; for a copy, what it has.
    :param content_type: ``audio/ogg`` and the like; agrees with the suffix.
    :param broken: pieces of the source that could not be decoded and were left out.
    """

    path: Path | None
    seconds: float
    bytes: int
    bit_rate: int
    content_type: str
    broken: int = 0


def compress(
    source: BinaryIO,
    target: Path | BinaryIO,
    *,
    limit_bytes: int,
    seconds: float | None = None,
    codec: Codec = "opus",
    channels: int = 1,
    track: int = 0,
    bounds: Bounds = DEFAULT_BOUNDS,
    progress: Callable[[float], object] | None = None,
) -> Compressed | None:
    """Write a recording's speech so that it fits, at the highest bit rate that does.

    :param source: seekable; of a video, the sound is taken.
    :param target: a path, written in one step at the end, or a seekable file object; the suffix should be the codec's.
    :param limit_bytes: what the result may have at most.
    :param seconds: length of the recording, if known; otherwise its packets are counted first.
    :param codec: ``opus`` (Ogg, 24 to 16 kb/s) or ``mp3`` (32 kb/s).
    :param channels: 2 keeps a speaker on each channel apart, at twice the bit rate, if there are two.
    :param track: which sound track, from 0.
    :param progress: called with the seconds done, every ten seconds of sound.
    :return: what was written; None if it does not fit even at the lowest bit rate, and then nothing is written.
    :raises InvalidInput: if PyAV is missing, or the source is no recording or exceeds the bounds.
    :raises OSError: if the source cannot be read or the target not be written.
    """
    known, channels = seconds, channel_count(source, channels, track=track)
    for _ in range(_TRIES):
        known = known if known is not None else measured_seconds(source, track=track, bounds=bounds)
        bit_rate = bit_rate_for(known, limit_bytes, codec=codec, channels=channels)
        if bit_rate is None:
            return None
        try:
            with opened(source, track=track, bounds=bounds) as recording, whole(target) as file:
                return _encode(recording, _Output(file, target, limit_bytes, progress), codec, channels, bit_rate)
        except TooLarge:
            # The length was wrong, or (never seen) the encoder exceeds what it was asked for.
            measured = measured_seconds(source, track=track, bounds=bounds)
            known = measured if measured > known * 1.001 else known * 1.1
    return None


def convert(
    source: BinaryIO,
    target: Path,
    *,
    codec: Codec = "opus",
    channels: int | None = None,
    track: int = 0,
    limit_bytes: int | None = None,
    bounds: Bounds = DEFAULT_BOUNDS,
    progress: Callable[[float], object] | None = None,
) -> Compressed:
    """Write a recording's sound in a format the service takes, without loss where that can be.

    Opus, Vorbis, MP3 and AAC are copied into Ogg, MP3 or M4A; everything else is encoded at 32 kb/s (Opus) or 48 kb/s
    (MP3) a channel.

    :param source: seekable; of a video, the sound is taken.
    :param target: a path whose suffix is replaced by the right one.
    :param codec: what to encode with where copying will not do.
    :param channels: of the encoded, at most; None for two.
    :param limit_bytes: what the result may have at most.
    :raises InvalidInput: if PyAV is missing, the source is no recording or exceeds the bounds, or the result the limit.
    :raises OSError: if the source cannot be read or the target not be written.
    """
    try:
        with opened(source, track=track, bounds=bounds) as recording:
            if kind := copyable(recording):
                target = target.with_suffix(kind.suffix)
                with whole(target) as file:
                    return _copy(recording, _Output(file, target, limit_bytes, progress), kind)
            target, count = target.with_suffix(form(codec).suffix), min(recording.channels, channels or 2)
            with whole(target) as file:
                rate = form(codec).plain * count
                return _encode(recording, _Output(file, target, limit_bytes, progress), codec, count, rate)
    except TooLarge as error:
        raise InvalidInput(f"converted, the recording has more than {limit_bytes:,} bytes; compress it") from error


def measured_seconds(source: BinaryIO, *, track: int = 0, bounds: Bounds = DEFAULT_BOUNDS) -> float:
    """Return the length of a recording in seconds, by its packets: nothing is decoded, headers are not believed.

    :raises InvalidInput: if PyAV is missing, or the source is no recording or exceeds the bounds.
    :raises OSError: if the source cannot be read.
    """
    with opened(source, track=track, bounds=bounds) as recording:
        seconds = sum(packet_seconds(recording, packet) for packet in recording.packets())
    if seconds > bounds.max_seconds:
        raise InvalidInput(f"{recording.name} is longer than {bounds.max_seconds / 3600:g} hours; it was given up")
    return seconds


class _Output:
    """A file on its way to a target, watched for its size."""

    def __init__(
        self,
        file: BinaryIO,
        target: Path | BinaryIO,
        limit_bytes: int | None,
        progress: Callable[[float], object] | None,
    ) -> None:
        self.file = file
        self._target = target
        self._start = file.tell()
        self._limit = limit_bytes
        self._progress = Progress(progress)

    def grown(self, seconds: float) -> None:
        """Look at the size, and tell of the progress."""
        if self._limit is not None and self.file.tell() - self._start > self._limit:
            raise TooLarge
        self._progress.at(seconds)

    def finished(self, seconds: float, content_type: str, *, bit_rate: int | None, broken: int) -> Compressed:
        """Look at the size for the last time, and describe the file."""
        self.file.seek(0, 2)
        self.grown(seconds)
        size = self.file.tell() - self._start
        path = self._target if isinstance(self._target, Path) else None
        return Compressed(path, seconds, size, bit_rate or round(size * 8 / seconds), content_type, broken)


def _encode(recording: Recording, output: _Output, codec: Codec, channels: int, bit_rate: int) -> Compressed:
    told = form(codec)
    sound = Sound(recording, rate=RATE, channels=channels, frame_size=told.frame, planar=codec == "mp3")
    with Encoder(output.file, codec=codec, channels=channels, bit_rate=bit_rate) as encoder:
        for frame in sound:
            encoder.write(frame, frame.samples)
            output.grown(encoder.seconds)
    return output.finished(encoder.seconds, told.content_type, bit_rate=bit_rate, broken=recording.broken)


def _copy(recording: Recording, output: _Output, kind: Kind) -> Compressed:
    with Copy(output.file, recording, kind) as copy:
        for packet in recording.packets():
            if packet.size:
                copy.write(packet, sample_count(recording, packet))
                output.grown(copy.seconds)
    if not copy.seconds:
        raise InvalidInput(f"{recording.name} has a sound track with nothing in it")
    return output.finished(copy.seconds, kind.content_type, bit_rate=None, broken=recording.broken)
