"""How long a recording is, or honestly that this cannot be told; a wrong length is a wrong price.

Three sources, cheapest first: the file's own structure, held against its bytes (``structure``); tinytag, for the few
formats that have nothing to hold against; and, if it is installed and the others are in doubt, PyAV, which adds up the
packets of sound. PyAV is given a file object and the one reader that belongs to the sniffed format, so that no
playlist and no address in a file can make it open anything else. Nothing is decoded.
"""

from __future__ import annotations

import importlib.util
import io
import struct
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.audio.inspect.containers import (
    Doubtful,
    Found,
    Hopeless,
    amr,
    flac,
    mp4,
    mpeg,
    ogg,
    riff,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import BinaryIO

    from airflow_provider_nanostt.audio.inspect.formats import Format

MIN_BITS_PER_SECOND = 4_000
MAX_BITS_PER_SECOND = 3_000_000
"""A header that implies less or more than this is not believed."""

MAX_SECONDS = 100 * 3600.0
"""No recording that the service would take is longer; a longer one is a mistake or a trap."""

_MIN_COUNTED = 400  # Opus says nothing of silence, at 20 bytes a second
_MAX_VIDEO_BITS = 400_000_000
_LONGEST_PACKET = 10.0
_MAX_PACKETS = 20_000_000
_PATIENCE = 30.0
_READ_LIMIT = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Length:
    """How long a recording is.

    :param seconds: None if it cannot be told.
    :param source: how it is known, or why it is not; for people.
    """

    seconds: float | None
    source: str

    @property
    def minutes(self) -> float | None:
        """The length in minutes, as the service counts."""
        return None if self.seconds is None else self.seconds / 60


_STRUCTURES: dict[str, Callable[..., Found]] = {
    "mp3": mpeg.measure_mp3,
    "aac": mpeg.measure_adts,
    "wav": riff.measure,
    "w64": riff.measure,
    "mov": mp4.measure,
    "ogg": ogg.measure,
    "flac": flac.measure,
    "amr": amr.measure,
}
_TAGGED = {"aiff", "asf"}


def measure(file: BinaryIO, size: int, format: Format | None, *, whole: bool = True) -> Length:  # noqa: A002
    """Measure a recording.

    :param file: seekable, open for reading; left open, at an undefined place.
    :param size: its bytes.
    :param format: what it was found to be (:func:`~airflow_provider_nanostt.audio.inspect.formats.identify`).
    :param whole: whether all of it may be read if need be. False for what is far away: then only headers and a few
        probes are read, at most 512 KB in 4 places for ordinary files.
    :return: the length within 1 %, or None with the reason; never an exception for what the file holds or because it
        cannot be read.
    """
    if size <= 0:
        return Length(None, "the file is empty")
    if format is None:
        return Length(None, "the file is of no kind that is known here")
    if not format.is_media:
        return Length(None, f"the file is {format.name}, not sound")
    try:
        return _measure(file, size, format, whole=whole)
    except OSError as error:
        return Length(None, f"the file cannot be read: {error.strerror or error}")


def _measure(file: BinaryIO, size: int, kind: Format, *, whole: bool) -> Length:
    doubts = []
    attempts: list[Callable[[], Found]] = []
    if kind.demuxer in _STRUCTURES:
        attempts.append(lambda: _STRUCTURES[kind.demuxer](file, size, whole=whole))
    if kind.demuxer in _TAGGED and _installed("tinytag"):
        attempts.append(lambda: _tagged(file, size, kind))
    if whole and _installed("av"):
        attempts.append(lambda: _packets(file, kind))
    for attempt in attempts:
        try:
            return _believed(attempt(), size, kind)
        except Hopeless as claim:
            return Length(None, str(claim))
        except Doubtful as doubt:
            doubts.append(str(doubt))
        except (struct.error, ValueError, IndexError, ZeroDivisionError, OverflowError):
            doubts.append(f"its {kind.name} headers make no sense")
    if not attempts:
        doubts.append(f"{kind.name} is measured with the extra [audio]" if whole else f"{kind.name} is far away")
    return Length(None, "; ".join(dict.fromkeys(doubts)))


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _believed(found: Found, size: int, kind: Format) -> Length:
    if not 0 < found.seconds <= MAX_SECONDS:
        raise Doubtful(f"{found.source} would make it {found.seconds / 3600:,.1f} hours")
    bits = 8 * (size if found.payload is None else found.payload) / found.seconds
    lowest = _MIN_COUNTED if found.counted else MIN_BITS_PER_SECOND
    highest = _MAX_VIDEO_BITS if kind.is_video or found.counted else MAX_BITS_PER_SECOND
    if not lowest <= bits <= highest:
        raise Doubtful(f"{found.source} would make it {found.seconds:,.1f} s, or {bits / 1000:,.1f} kb/s")
    return Length(found.seconds, found.source)


def _tagged(file: BinaryIO, size: int, kind: Format) -> Found:
    """Ask tinytag for what has no structure of its own here.

    :raises Doubtful: if it does not know, or the file is not as long as its header says.
    """
    import tinytag

    file.seek(0)
    head = file.read(min(size, 64 * 1024))
    if kind.demuxer == "asf":
        properties = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
        claimed = int.from_bytes(head[properties + 40 : properties + 48], "little") if properties >= 0 else 0
    else:
        claimed = int.from_bytes(head[4:8], "big") + 8
    if abs(claimed - size) > 0.005 * size + 16:
        raise Doubtful(f"the {kind.name} was not finished, or was cut off")
    try:
        # Only the beginning: nothing in a tag may make it read on and on.
        tag = tinytag.TinyTag.get("", file_obj=_Padded(head, size), tags=False, image=False)
    except (tinytag.TinyTagException, AttributeError, TypeError, RecursionError, MemoryError) as error:
        raise Doubtful(f"tinytag cannot read the {kind.name}: {type(error).__name__}") from error
    if not tag.duration:
        raise Doubtful(f"the {kind.name} says nothing of its length")
    return Found(tag.duration, "tinytag")


class _Padded(io.BytesIO):
    """The beginning of a file that says it is as long as the whole."""

    def __init__(self, head: bytes, size: int) -> None:
        super().__init__(head)
        self._size = size

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move; the end is where the whole file's is."""
        return super().seek(self._size + offset if whence == 2 else offset, 0 if whence == 2 else whence)


class _Bounded(io.RawIOBase):
    """What PyAV sees of a file: reading and seeking, for a while and not for ever."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._left = _READ_LIMIT
        self._until = time.monotonic() + _PATIENCE

    def read(self, size: int = -1, /) -> bytes:
        """Return bytes; none once enough was read, which PyAV takes for the end."""
        if self.is_over:
            return b""
        data = self._file.read(size)
        self._left -= len(data)
        return data

    @property
    def is_over(self) -> bool:
        """Whether time or bytes are used up."""
        return self._left <= 0 or time.monotonic() > self._until

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move as the file does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True


def _packets(file: BinaryIO, kind: Format) -> Found:
    """Add up the packets of sound with PyAV.

    :raises Doubtful: if there are none, they leave gaps that cannot be judged, or it takes too long.
    """
    import av

    file.seek(0)
    bounded = _Bounded(file)
    options = {"probesize": "2000000", "analyzeduration": "5000000", "protocol_whitelist": "none"}
    try:
        with av.open(bounded, "r", format=kind.demuxer, options=options, io_open=_nothing_else) as container:
            if not container.streams.audio:
                raise Doubtful("there is no sound in this file")
            stream = container.streams.audio[0]
            seconds, size = _summed(container.demux(stream), stream.time_base or Fraction(1), bounded)
    except (av.FFmpegError, ValueError, LookupError, RuntimeError) as error:
        raise Doubtful(f"FFmpeg cannot read it as {kind.name}: {type(error).__name__}") from error
    return Found(seconds, "the packets of sound, added up", counted=True, payload=size)


def _nothing_else(*_: Any) -> Any:
    raise PermissionError("a recording may not open other files")


def _summed(packets: Iterable[Any], unit: Fraction, bounded: _Bounded) -> tuple[float, int]:
    """Return seconds and bytes of the packets; gaps between them count, as in a player."""
    total, size, begin, end, before, missing, steady = 0, 0, None, 0, None, 0, True
    longest = _LONGEST_PACKET / unit
    for count, packet in enumerate(packets):
        if count > _MAX_PACKETS or (count % 256 == 0 and bounded.is_over):
            raise Doubtful("reading the file takes too long")
        if packet.size <= 0 or packet.is_discard:
            continue
        length, at = packet.duration or 0, packet.pts
        size, total, missing = size + packet.size, total + length, missing + (not length)
        if at is not None:
            begin = at if begin is None else begin
            steady = steady and (before is None or 0 <= at - before <= longest)
            before, end = at, max(end, at + length)
        if length > longest:
            raise Doubtful("a single packet claims more than ten seconds")
    span = end - begin if begin is not None and steady else None
    if not size or (span is None and missing):
        raise Doubtful("the packets of sound do not say how long they are")
    if bounded.is_over:
        raise Doubtful("reading the file takes too long")
    if span is not None and (missing or span > 1.005 * total):
        total = span
    return float(total * unit), size
