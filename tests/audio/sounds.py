"""Recordings made on the spot: the sample speech with pauses of known places, in whatever format a test wants."""

from __future__ import annotations

import io
import random
import struct
import wave
from array import array
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

av = pytest.importorskip("av")

RATE = 16_000
SAMPLES = Path(__file__).parents[2] / "example_dags" / "audio"


@cache
def note() -> array[int]:
    """Twelve seconds of speech, 16 kHz mono."""
    return samples((SAMPLES / "weekly-note.wav").read_bytes())


def samples(recording: bytes, layout: str = "mono", rate: int = RATE) -> array[int]:
    """What a recording sounds like, 16 bits, decoded without any of our own code."""
    heard = array("h")
    with av.open(io.BytesIO(recording), "r") as container:
        resampler = av.AudioResampler(format="s16", layout=layout, rate=rate)
        for frame in [*container.decode(audio=0), None]:
            if frame is not None:
                frame.pts = None
            for made in resampler.resample(frame):
                heard.frombytes(bytes(made.planes[0])[: 2 * made.samples * len(made.layout.channels)])
    return heard


def seconds(recording: bytes) -> float:
    """How long a recording sounds."""
    return len(samples(recording)) / RATE


def hiss(length: float, peak: int = 40, rate: int = RATE) -> array[int]:
    """Quiet noise, as a telephone line has."""
    drawn = array("H", random.Random(1).randbytes(2 * int(length * rate)))
    return array("h", [(value * (2 * peak + 1) >> 16) - peak for value in drawn])


def talk(turns: int, pause: float = 1.0) -> tuple[array[int], list[tuple[float, float]]]:
    """The note so many times with hiss between; and where the pauses are, (start, end) in seconds."""
    spoken, pauses = array("h"), []
    for turn in range(turns):
        if turn:
            pauses.append((len(spoken) / RATE, len(spoken) / RATE + pause))
            spoken.extend(hiss(pause))
        spoken.extend(note())
    return spoken, pauses


def wav(data: array[int] | bytes, rate: int = RATE, channels: int = 1, width: int = 2) -> bytes:
    """A WAV file of integer samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(data if isinstance(data, bytes) else data.tobytes())
    return file.getvalue()


def channels(*voices: array[int]) -> array[int]:
    """The samples of several channels, interleaved."""
    many = array("h", bytes(2 * len(voices) * len(voices[0])))
    for channel, voice in enumerate(voices):
        many[channel :: len(voices)] = voice
    return many


def inverted(voice: array[int], share: float = 1.0) -> array[int]:
    """The same upside down, and a little less if wanted: with the original it cancels."""
    return array("h", (int(-share * value) for value in voice))


def recoded(recording: bytes, codec: str, container: str, layout: str = "stereo") -> bytes:
    """A recording in another format, with all of its channels."""
    file = io.BytesIO()
    with av.open(io.BytesIO(recording)) as source, av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=48_000, layout=layout)
        context = stream.codec_context
        resampler = av.AudioResampler(context.format.name, layout, 48_000, frame_size=context.frame_size or 1024)
        for frame in [*source.decode(audio=0), None]:
            if frame is not None:
                frame.pts = None
            for made in resampler.resample(frame):
                out.mux(stream.encode(made))
        out.mux(stream.encode(None))
    return file.getvalue()


def raw_wav(data: bytes, *, tag: int, rate: int, channels: int, width: int) -> bytes:
    """A WAV file with any format tag: 3 is floating point, 6 A-law, 7 µ-law."""
    header = struct.pack("<IHHIIHH", 16, tag, channels, rate, rate * channels * width, channels * width, width * 8)
    return (
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + header + b"data" + struct.pack("<I", len(data))
    ) + data


def encoded(
    spoken: array[int],
    codec: str,
    container: str,
    *,
    rate: int = RATE,
    layout: str = "mono",
    bit_rate: int | None = None,
    video: bool = False,
    tracks: Sequence[array[int]] | None = None,
) -> bytes:
    """Speech in another format; with video beside it if wanted, or in tracks that each say something else."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        if video:
            picture = out.add_stream("mpeg4", rate=10)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        voices = [spoken] if tracks is None else tracks
        streams = [out.add_stream(codec, rate=rate, layout=layout) for _ in voices]
        for stream in streams:
            if bit_rate:
                stream.bit_rate = bit_rate
        if video:
            for at in range(len(spoken) * 10 // RATE):
                frame = av.VideoFrame(64, 48, "yuv420p")
                frame.pts = at
                out.mux(picture.encode(frame))
            out.mux(picture.encode(None))
        for stream, voice in zip(streams, voices, strict=True):
            _encode(out, stream, voice, rate, layout)
    return file.getvalue()


def _encode(out, stream, spoken, rate, layout):
    context = stream.codec_context
    resampler = av.AudioResampler(
        format=context.format.name, layout=layout, rate=rate, frame_size=context.frame_size or 1024
    )
    done = 0
    for frame in [*frames(spoken), None]:
        for made in resampler.resample(frame):
            made.pts = done
            done += made.samples
            out.mux(stream.encode(made))
    out.mux(stream.encode(None))


def frames(spoken: array[int], rate: int = RATE):
    """The samples as frames of a second."""
    for at in range(0, len(spoken), rate):
        part = spoken[at : at + rate]
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(part))
        frame.planes[0].update(part.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate = rate
        yield frame


def lag(first: array[int], second: array[int], *, at: float, reach: float = 0.25) -> float:
    """By how many seconds the second is later than the first around a moment, found by laying one over the other."""
    begin, best = int(at * RATE), 0
    for step, within in ((16, int(reach * RATE)), (4, 16)):
        best = min(
            range(best - within, best + within + 1, step),
            key=lambda shift: _distance(
                first[begin : begin + RATE : 16], second[begin + shift : begin + shift + RATE : 16]
            ),
        )
    return best / RATE


def _distance(first: array[int], second: array[int]) -> float:
    if len(first) != len(second):
        return float("inf")
    return sum(abs(a - b) for a, b in zip(first, second, strict=True))
