"""Recordings for benchmarks, made on the spot: sample speech with pauses of random length and a little line noise."""

from __future__ import annotations

import io
import random
import wave
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RATE = 16_000
SAMPLES = Path(__file__).resolve().parents[1] / "example_dags" / "audio"
NOISE = 40  # of 32768, about -58 dB
_ROUND = 1200.0  # seconds of speech before it repeats in an MP3


def samples(recording: bytes) -> array[int]:
    """What a recording sounds like: 16 kHz, one channel, 16 bits."""
    import av

    heard = array("h")
    with av.open(io.BytesIO(recording), "r") as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        for frame in [*container.decode(audio=0), None]:
            for made in resampler.resample(frame):
                heard.frombytes(bytes(made.planes[0])[: 2 * made.samples])
    return heard


def speech(seconds: float, seed: int = 1) -> Iterator[array[int]]:
    """Yield stretches of speech and pauses in turn until so many seconds are full."""
    source = random.Random(seed)
    texts = [samples((SAMPLES / name).read_bytes()) for name in ("weekly-note.wav", "closed-office.ogg")]
    hiss = array("h", (source.randint(-NOISE, NOISE) for _ in range(4 * RATE)))
    left = int(seconds * RATE)
    while left > 0:
        for stretch in (source.choice(texts), hiss[: source.randint(int(0.4 * RATE), 3 * RATE)]):
            if left > 0:
                yield stretch[:left]
                left -= len(stretch)


def wav_to(file: BinaryIO, stretches: Iterable[array[int]]) -> None:
    """Write samples as WAV, 16 kHz, one channel."""
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        for stretch in stretches:
            out.writeframes(stretch.tobytes())


def write_wav(path: Path, seconds: float) -> None:
    """Write that much speech as WAV."""
    with path.open("wb") as file:
        wav_to(file, speech(seconds))


def write_mp3(path: Path, seconds: float, bit_rate: int = 64_000) -> None:
    """Write speech as MP3 without headers that tell its length.

    Twenty minutes are encoded and then repeated, frame for frame.
    """
    import av

    once, written = io.BytesIO(), 0
    with av.open(once, "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}) as out:
        stream = out.add_stream("libmp3lame", rate=RATE, layout="mono")
        stream.bit_rate = bit_rate
        resampler = av.AudioResampler(format="s16p", layout="mono", rate=RATE, frame_size=576)

        def encode(frame) -> None:
            nonlocal written
            for made in resampler.resample(frame):
                made.pts = written
                written += made.samples
                out.mux(stream.encode(made))

        for stretch in speech(min(_ROUND, seconds)):
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(stretch))
            frame.planes[0].update(stretch.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
            frame.sample_rate = RATE
            encode(frame)
        encode(None)
        out.mux(stream.encode(None))
    data = once.getvalue()
    length = len(data) * 8 / bit_rate  # what a constant bit rate makes of it
    rounds = max(1, round(seconds / length))
    with path.open("wb") as out_file:
        for _ in range(rounds):
            out_file.write(data)


def peak_mb() -> float:
    """The most memory this process has ever had resident, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1000
