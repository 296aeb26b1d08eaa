"""Writing speech as small as recognition allows: Ogg-Opus or MP3, one encoder at a time, whole files or none.

What is known of sizes lives here, too: which bit rate fits how many bytes, and how long a recording may be at most.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from airflow_provider_nanostt.api.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from av import AudioFrame

Codec = Literal["opus", "mp3"]

RATE = 16_000
"""Samples per second of what is written: recognisers listen at this rate, and spend no bits on what is above."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How a codec is written. Rates in bits per second and per channel; ``overhead`` is the container's."""

    encoder: str
    container: str
    suffix: str
    content_type: str
    frame: int
    lowest: int
    highest: int
    plain: int
    overhead: int
    options: dict[str, str]


_OPUS = {"application": "voip", "vbr": "constrained", "frame_duration": "60"}

_FORMS: dict[str, _Form] = {
    # 15,000 makes 16 kb/s with what Ogg adds; the word error is that of 24 kb/s. MP3 below 32 kb/s is not understood.
    "opus": _Form("libopus", "ogg", ".ogg", "audio/ogg", 960, 15_000, 24_000, 32_000, 450, _OPUS),
    "mp3": _Form("libmp3lame", "mp3", ".mp3", "audio/mpeg", 576, 32_000, 32_000, 48_000, 0, {}),
}

_HEADERS = 4096
_MARGIN = 0.01


def form(codec: str) -> _Form:
    """Return how a codec is written.

    :raises InvalidInput: for a codec that is not ``opus`` or ``mp3``.
    """
    if codec not in _FORMS:
        raise InvalidInput(f"{codec=} is not written here; {' or '.join(map(repr, _FORMS))} is")
    return _FORMS[codec]


def bit_rate_for(seconds: float, limit_bytes: int, *, codec: Codec = "opus", channels: int = 1) -> int | None:
    """Return the highest speech bit rate at which a recording stays under a limit, bits per second.

    :return: None if it does not even fit at the lowest that recognition survives.
    """
    told = form(codec)
    fitting = ((limit_bytes - _HEADERS) * 8 / max(seconds, 0.1) - told.overhead) * (1 - _MARGIN)
    return min(told.highest * channels, int(fitting)) if fitting >= told.lowest * channels else None


def longest_seconds(limit_bytes: int, *, codec: Codec = "opus", channels: int = 1) -> float:
    """Return how long a recording may be to fit under a limit at the lowest bit rate, seconds (3 MB: 25.6 minutes)."""
    told = form(codec)
    return max(0.0, (limit_bytes - _HEADERS) * 8 / (told.lowest * channels / (1 - _MARGIN) + told.overhead))


class Encoder:
    """One file being encoded; a context manager, which completes it unless an exception passes through.

    :param file: written and, for MP3, sought in; it stays open.
    :param bit_rate: bits per second, of all channels together.
    """

    def __init__(self, file: BinaryIO, *, codec: Codec, channels: int, bit_rate: int) -> None:
        import av

        told = form(codec)
        self._samples = 0
        container: Any = av.open(file, "w", format=told.container, options={"fflags": "+bitexact"})
        self._container = container
        self._stream = container.add_stream(
            told.encoder, rate=RATE, options=told.options, layout="stereo" if channels == 2 else "mono"
        )
        self._stream.bit_rate = bit_rate
        self._stream.codec_context.thread_count = 1

    def __enter__(self) -> Encoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        else:
            with suppress(Exception):  # what went wrong first is what matters
                self._container.close()

    @property
    def seconds(self) -> float:
        """Seconds written so far."""
        return self._samples / RATE

    def write(self, frame: AudioFrame) -> None:
        """Encode a frame: :data:`RATE`, the codec's frame size, 16 bits."""
        frame.pts = self._samples
        self._samples += frame.samples
        self._container.mux(self._stream.encode(frame))


@contextmanager
def whole(target: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open a target for writing so that either all of it is there afterwards, or nothing.

    A path gets its content in one step at the end; a file object is cut back to where it stood if an exception passes.

    :raises OSError: if it cannot be written.
    """
    if not isinstance(target, Path):
        start = target.tell()
        try:
            yield target
        except BaseException:
            target.seek(start)
            target.truncate()
            raise
        return
    unfinished = target.with_name(f".{target.name[-100:]}.{os.getpid()}.part")
    try:
        with unfinished.open("w+b") as file:
            yield file
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
