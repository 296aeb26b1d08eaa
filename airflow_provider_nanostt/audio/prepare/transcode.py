"""A recording as one smaller file, or in a format the service takes; whether it must is decided in ``upload_plan``.

Compressing aims once and fits: the bit rate follows from the length. Converting copies the packets where only the
container has to change, and encodes otherwise. Both stream, on one core, from file objects only.
"""

from __future__ import annotations

from typing import BinaryIO

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.decoding import open_track, packet_seconds
from airflow_provider_nanostt.audio.prepare.encoder import Codec, bit_rate_for, codec_spec
from airflow_provider_nanostt.audio.prepare.split import Output, Part, encode, split_copy

_TRIES = 3


def compress(source: BinaryIO, output: Output, *, seconds: float | None = None, codec: Codec = "opus") -> Part | None:
    """Write a recording's speech so that it fits, at the highest bit rate that does.

    :param source: seekable; of a video, the sound is taken.
    :param seconds: length of the recording, if known; otherwise its packets are counted first.
    :param codec: ``opus`` (Ogg, 24 to 16 kb/s) or ``mp3`` (32 kb/s).
    :return: None if it does not fit even at the lowest bit rate, and then nothing is written.
    :raises InvalidInput: as :func:`~.decoding.open_track`, and if it is too long.
    :raises OSError: if the source cannot be read or the file not be written.
    """
    length = measured_seconds(source) if seconds is None else seconds
    for _ in range(_TRIES):
        bit_rate = bit_rate_for(length, output.limit_bytes, codec=codec)
        if bit_rate is None:
            return None
        if parts := encode(source, output, codec=codec, bit_rates=[bit_rate]):
            return parts[0]
        # The length was wrong, or (never seen) the encoder exceeds the rate it was asked for.
        measured = measured_seconds(source)
        length = measured if measured > length * 1.001 else length * 1.1
    return None


def convert(source: BinaryIO, output: Output, *, codec: Codec = "opus") -> Part | None:
    """Write a recording's sound in a format the service takes, without loss where that is possible.

    Opus, Vorbis, MP3 and AAC are copied into Ogg, MP3 or M4A; everything else is encoded at 32 kb/s (Opus) or 48 kb/s
    (MP3) a channel, in at most two channels.

    :param codec: what to encode with where copying will not do.
    :return: None if it exceeds the limit, and then nothing is written. Raises as :func:`compress`.
    """
    rates = [codec_spec(codec).plain]
    parts = split_copy(source, output) or encode(source, output, codec=codec, bit_rates=rates, max_channels=2)
    return parts[0] if parts else None


def measured_seconds(source: BinaryIO) -> float:
    """Return the seconds of a recording, by its packets: nothing is decoded, no header believed; raises as above."""
    with open_track(source) as track:
        seconds = sum(packet_seconds(track, packet) for packet in track.packets())
    if seconds > track.bounds.max_seconds:
        raise InvalidInput(f"{track.name} is longer than {track.bounds.max_seconds / 3600:g} hours")
    return seconds
