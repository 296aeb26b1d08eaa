"""How long a recording is, or that this is unknown; a wrong length is a wrong price.

The file's own structure is asked first, checked against its bytes (``containers``); if that is in doubt, the packets of
sound are added up, where PyAV (the extra ``[audio]``) is installed and the whole file may be read. Nothing is decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio import sandbox
from airflow_provider_nanostt.audio.inspect.containers import (
    Doubtful,
    Found,
    Hopeless,
    Measure,
    amr,
    asf,
    flac,
    mp4,
    mpeg,
    ogg,
    riff,
)
from airflow_provider_nanostt.audio.inspect.formats import Format
from airflow_provider_nanostt.audio.inspect.packets import MAX_READ_SECONDS, by_packets

MIN_BITS_PER_SECOND = 4_000
MAX_BITS_PER_SECOND = 3_000_000
"""A header that implies less or more than this is not believed."""

MAX_SECONDS = 100 * 3600.0
"""No recording that the service would take is longer; a longer one is a mistake or a trap."""

_MIN_COUNTED = 400  # Opus says nothing of silence, at 20 bytes a second
_MAX_VIDEO_BITS = 400_000_000


@dataclass(frozen=True, slots=True)
class Length:
    """How long a recording is.

    :param seconds: of sound, None if unknown.
    :param source: how it is known, or why it is not; for people.
    :param tracks: tracks of sound that play at the same time, of which the longest was measured.
    :param silence: seconds that pass in a player where there is no sound; what is made anew has them as silence.
    """

    seconds: float | None
    source: str
    tracks: int = 1
    silence: float = 0.0

    @property
    def minutes(self) -> float | None:
        """The length in minutes, as the service counts."""
        return None if self.seconds is None else self.seconds / 60

    @property
    def played(self) -> Length:
        """The length with the silence, as it is made anew."""
        if self.seconds is None or not self.silence:
            return self
        how = f"{self.source}, and {self.silence:.1f} s of silence where its times have gaps"
        return Length(self.seconds + self.silence, how, self.tracks)


_STRUCTURES: dict[str, Measure] = {
    "mp3": mpeg.measure_mp3,
    "aac": mpeg.measure_adts,
    "wav": riff.measure,
    "w64": riff.measure,
    "mov": mp4.measure,
    "ogg": ogg.measure,
    "flac": flac.measure,
    "amr": amr.measure,
    "aiff": riff.measure_aiff,
    "asf": asf.measure,
}


def measure(file: BinaryIO, size: int, kind: Format | None, *, whole: bool = True) -> Length:
    """Measure a recording.

    :param file: seekable, open for reading; left open, at an undefined position.
    :param size: its bytes.
    :param kind: see :func:`~airflow_provider_nanostt.audio.inspect.formats.identify`.
    :param whole: whether all of it may be read if need be. False for a remote file: then only headers and a few samples
        are read, at most 512 KB in 4 ranges for ordinary files.
    :return: the length within 1 %, or None with the reason; never an exception for the bytes of the file or because it
        cannot be read.
    """
    if size <= 0:
        return Length(None, "the file is empty")
    if kind is None:
        return Length(None, "the file has an unrecognised format")
    if not kind.is_media:
        return Length(None, f"the file is {kind.name}, not sound")
    try:
        return _measure(file, size, kind, whole=whole)
    except OSError as error:
        return Length(None, f"the file cannot be read: {error.strerror or error}")


def _measure(file: BinaryIO, size: int, kind: Format, *, whole: bool) -> Length:
    ways: list[Callable[[], Found]] = []
    if kind.demuxer in _STRUCTURES:
        ways.append(lambda: _STRUCTURES[kind.demuxer](file, size, whole=whole))
    if whole and sandbox.is_possible():
        ways.append(lambda: _by_packets(file, kind))
    doubts: list[str] = []
    for way in ways:
        try:
            return _believed(way(), size, kind)
        except Hopeless as claim:
            return Length(None, str(claim))
        except Doubtful as doubt:
            doubts.append(str(doubt))
        except (struct.error, ValueError, IndexError, ZeroDivisionError, OverflowError):
            doubts.append(f"its {kind.name} headers are malformed")
    if not ways:
        needs = "with the extra [audio]" if whole else "only if the whole file can be read"
        doubts.append(f"{kind.name} is measured {needs}")
    return Length(None, "; ".join(dict.fromkeys(doubts)))


def _believed(found: Found, size: int, kind: Format) -> Length:
    if not 0 < found.seconds <= MAX_SECONDS:
        raise Doubtful(f"{found.source} would make it {found.seconds / 3600:,.1f} hours")
    bits = 8 * (size if found.payload is None else found.payload) / found.seconds
    lowest = _MIN_COUNTED if found.counted else MIN_BITS_PER_SECOND
    highest = _MAX_VIDEO_BITS if kind.is_video or found.counted else MAX_BITS_PER_SECOND
    if not lowest <= bits <= highest:
        raise Doubtful(f"{found.source} would make it {found.seconds:,.1f} s, or {bits / 1000:,.1f} kb/s")
    return Length(found.seconds, found.source, found.tracks, found.silence)


def _by_packets(file: BinaryIO, kind: Format) -> Found:
    try:
        return sandbox.run(
            by_packets,
            file,
            read=_read_found,
            demuxer=kind.demuxer,
            name=kind.name,
            cpu_seconds=MAX_READ_SECONDS,
            raises=(Doubtful,),
        )
    except InvalidInput as error:
        raise Doubtful(str(error)) from error


def _read_found(answer: dict[str, Any]) -> Found:
    payload = answer["payload"]
    return Found(
        float(answer["seconds"]),
        str(answer["source"]),
        answer["counted"] is True,
        None if payload is None else int(payload),
        int(answer["tracks"]),
        float(answer["silence"]),
    )
