"""From bytes of an audio file to sound: its format, how long it lasts, and the 16 kHz PCM of each speaker.

Pure functions of bytes; no network, no file names opened (FFmpeg only ever sees a `BytesIO`), no recognition.
"""

from __future__ import annotations

import io
import wave
from array import array
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePosixPath

RATE = 16_000
SILENT_PEAK = 80  # of 32768, about -52 dBFS: a channel nobody speaks on

AUDIO_FORMATS: dict[str, tuple[str, frozenset[str]]] = {
    ".mp3": ("mp3", frozenset({"audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/mpeg3"})),
    ".wav": ("wav", frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"})),
    ".m4a": ("mp4", frozenset({"audio/mp4", "audio/x-m4a", "audio/m4a", "audio/mp4a-latm"})),
    ".ogg": ("ogg", frozenset({"audio/ogg", "application/ogg", "audio/opus", "audio/vorbis"})),
    ".aac": ("aac", frozenset({"audio/aac", "audio/x-aac", "audio/aacp", "audio/x-hx-aac-adts"})),
}
VIDEO_FORMATS: dict[str, tuple[str, frozenset[str]]] = {
    ".mp4": ("mp4", frozenset({"video/mp4"})),
    ".mov": ("mp4", frozenset({"video/quicktime"})),
}
"""Suffix -> (family of the bytes, content types that agree with it)."""


class UndecodableError(Exception):
    """These bytes are not sound, or nothing installed can decode them."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Decoded audio.

    :param seconds: length of the file.
    :param channels: one entry per speaker: 16 kHz mono 16-bit little-endian PCM. Silent channels are left out, and two
        identical channels are one.
    """

    seconds: float
    channels: tuple[bytes, ...]


def sniff(data: bytes) -> str | None:
    """Return the family the first bytes belong to (mp3, wav, mp4, ogg, aac, webm), or None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    if data[4:8] == b"ftyp":
        return "mp4"
    for magic, family in ((b"OggS", "ogg"), (b"\x1aE\xdf\xa3", "webm"), (b"ID3", "mp3")):
        if data.startswith(magic):
            return family
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0:
        # The same sync word starts both: MPEG audio has a layer, AAC in ADTS has zeros in its place.
        return "mp3" if data[1] & 0x06 else "aac"
    return None


def disagreement(name: str, content_type: str | None, data: bytes, *, video: bool) -> str | None:
    """Say why name, content type and bytes do not describe one supported file, or return None.

    :param content_type: without parameters; None where none was promised (a fetched URL may not know).
    :param video: whether the model takes video files too.
    """
    formats = {**AUDIO_FORMATS, **VIDEO_FORMATS} if video else AUDIO_FORMATS
    suffix = PurePosixPath(name).suffix.lower()
    supported = ", ".join(sorted(key[1:].upper() for key in formats))
    if not data:
        return f"The audio file {name} is empty"
    if suffix not in formats:
        return f"Unsupported file format {suffix or 'without a suffix'}. Supported formats: {supported}"
    family, content_types = formats[suffix]
    if content_type is not None and content_type.lower() not in content_types:
        return f"Content type {content_type} does not agree with the suffix {suffix}"
    found = sniff(data)
    if found != family:
        return f"The content of {name} is {found or 'not a known audio format'}, which does not agree with its suffix"
    return None


def decode(data: bytes, *, pyav: bool = True) -> Sound:
    """Decode a whole file.

    :param pyav: False leaves PyAV out, as if it were not installed.
    :raises UndecodableError: not audio, or a format only PyAV can decode and PyAV is missing.
    """
    plain = _plain_wav(data)
    if plain is not None:
        return plain
    if not can_decode(pyav=pyav):
        raise UndecodableError(
            "only 16-bit 16 kHz PCM WAV can be decoded here because PyAV is not installed: "
            "pip install 'airflow-provider-nanostt[emulator]'"
        )
    return _decode_with_av(data)


def can_decode(*, pyav: bool = True) -> bool:
    """Tell whether PyAV is there, so that what `decode` refuses is broken rather than just unsupported here."""
    return pyav and find_spec("av") is not None


def _plain_wav(data: bytes) -> Sound | None:
    try:
        with wave.open(io.BytesIO(data)) as file:
            if file.getsampwidth() != 2 or file.getframerate() != RATE or file.getnchannels() > 2:
                return None
            samples = array("h", file.readframes(file.getnframes()))
            count = file.getnchannels()
    except (wave.Error, EOFError, ValueError):
        return None
    return _sound([samples[index::count] for index in range(count)])


def _decode_with_av(data: bytes) -> Sound:
    import av  # an optional extra, and 50 MB of FFmpeg: loaded when something must be decoded

    channels: list[array[int]] = []
    try:
        with av.open(io.BytesIO(data), "r") as container:
            stream = container.streams.audio[0]
            count = 2 if stream.codec_context.layout.nb_channels == 2 else 1
            resampler = av.AudioResampler(format="s16p", layout="stereo" if count == 2 else "mono", rate=RATE)
            channels = [array("h") for _ in range(count)]
            for frame in [*container.decode(stream), None]:
                for resampled in resampler.resample(frame):
                    for channel, plane in zip(channels, resampled.planes, strict=True):
                        channel.frombytes(bytes(plane)[: 2 * resampled.samples])
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise UndecodableError(f"the audio cannot be decoded: {error}") from error
    return _sound(channels)


def _sound(channels: list[array[int]]) -> Sound:
    if not channels or not channels[0]:
        raise UndecodableError("there is no sound in this file")
    seconds = len(channels[0]) / RATE
    if len(channels) == 2 and _same(*channels):
        channels = channels[:1]
    return Sound(seconds, tuple(channel.tobytes() for channel in channels if not _silent(channel)))


def _silent(channel: array[int]) -> bool:
    return max(channel) <= SILENT_PEAK and min(channel) >= -SILENT_PEAK


def _same(left: array[int], right: array[int]) -> bool:
    """Whether two channels carry the same sound, give or take what a lossy codec does to them."""
    a, b = left[::16], right[::16]
    difference = sum(abs(x - y) for x, y in zip(a, b, strict=True))
    return difference * 50 <= sum(map(abs, a)) + sum(map(abs, b))
