"""MP4, M4A and QuickTime: the table of contents, wherever it is, held against the bytes that are there.

Of the table only a few fields are read, never the lists that make up most of it: an hour of sound has some 600 KB of
them. A file cut off before its last piece, one made of fragments, and one whose cuts leave parts out are doubtful.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found, Hopeless, read_at

_MAX_BOXES = 2000
_MAX_TRACKS = 64
_MAX_RUNS = 4096
"""Entries of a list of lengths; sound has one or two, pictures may have thousands."""


@dataclass(slots=True)
class _Box:
    kind: bytes
    start: int
    end: int


@dataclass(slots=True)
class _Track:
    handler: bytes = b""
    timescale: int = 0
    duration: int = 0
    cuts: list[tuple[int, int]] = field(default_factory=list)
    tables: dict[bytes, _Box] = field(default_factory=dict)


def handlers(file: BinaryIO, size: int) -> set[str]:
    """Return what the tracks are: ``soun``, ``vide``, ``text`` and the like; empty if the table cannot be read.

    :raises OSError: if the file cannot be read.
    """
    try:
        moov, _, _ = _outline(file, size)
        return {track.handler.decode("latin-1") for track in _tracks(file, moov)}
    except (Doubtful, struct.error, ValueError, OverflowError):
        return set()


def measure(file: BinaryIO, size: int, *, whole: bool) -> Found:  # noqa: ARG001 - the table says all there is
    """Measure the sound of an MP4.

    :raises Hopeless: if its table of contents claims more pieces than the file has bytes.
    """
    moov, payload, fragments = _outline(file, size)
    tracks = list(_tracks(file, moov))
    for track in tracks:
        # FFmpeg would reserve memory for each piece that is claimed.
        stsz = track.tables.get(b"stsz")
        if stsz and int.from_bytes(read_at(file, stsz.start + 8, 4), "big") > size:
            raise Hopeless("the MP4 claims more pieces than it has bytes")
    sound = next((track for track in tracks if track.handler == b"soun"), None)
    if sound is None:
        raise Doubtful("there is no sound in this MP4")
    if fragments or _first(file, moov, b"mvex"):
        raise Doubtful("the MP4 is made of fragments, which say nothing of the whole")
    header = _first(file, moov, b"mvhd")
    scale = _times(read_at(file, header.start, 32))[0] if header else 0
    return Found(_length(file, size, sound, scale), "the MP4's table of contents", payload=payload)


def _tracks(file: BinaryIO, moov: _Box) -> Iterator[_Track]:
    count = 0
    for box in _boxes(file, moov.start, moov.end):
        if box.kind == b"trak":
            count += 1
            if count > _MAX_TRACKS:
                raise Hopeless("the MP4 claims more tracks than any recording has")
            yield _track(file, box)


def _outline(file: BinaryIO, size: int) -> tuple[_Box, int, bool]:
    """Return the table of contents, how many bytes are sound and pictures, and whether there are fragments."""
    moov, payload, fragments = None, 0, False
    for box in _boxes(file, 0, size):
        if box.kind == b"moov":
            moov = box
        elif box.kind == b"mdat":
            payload += min(box.end, size) - box.start
        fragments = fragments or box.kind in (b"moof", b"sidx", b"styp")
        if moov and (fragments or payload):
            break
    if moov is None or moov.end > size:
        raise Doubtful("the MP4 has no table of contents; it was cut off, or never finished")
    return moov, payload, fragments


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[_Box]:
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        head = read_at(file, start, 16)
        if len(head) < 8:
            return
        length, kind, body = int.from_bytes(head[:4], "big"), head[4:8], start + 8
        if length == 1:
            length, body = int.from_bytes(head[8:16], "big"), start + 16
        elif length == 0:
            length = end - start
        if length < body - start:
            return
        yield _Box(kind, body, start + length)
        start += length


def _first(file: BinaryIO, parent: _Box | None, kind: bytes) -> _Box | None:
    """Return the first box of a kind within another."""
    found = _boxes(file, parent.start, parent.end) if parent else iter(())
    return next((box for box in found if box.kind == kind and parent and box.end <= parent.end), None)


def _track(file: BinaryIO, trak: _Box) -> _Track:
    track = _Track(cuts=_cuts(file, _first(file, trak, b"edts")))
    mdia = _first(file, trak, b"mdia")
    times, handler = _first(file, mdia, b"mdhd"), _first(file, mdia, b"hdlr")
    if times:
        track.timescale, track.duration = _times(read_at(file, times.start, 32))
    if handler:
        track.handler = read_at(file, handler.start + 8, 4)
    stbl = _first(file, _first(file, mdia, b"minf"), b"stbl")
    if stbl:
        track.tables = {box.kind: box for box in _boxes(file, stbl.start, stbl.end) if box.end <= stbl.end}
    return track


def _times(body: bytes) -> tuple[int, int]:
    """Return timescale and duration of ``mvhd`` or ``mdhd``."""
    wide = body[:1] == b"\1"
    scale, length = struct.unpack_from(">IQ" if wide else ">II", body, 20 if wide else 12)
    return scale, length


def _cuts(file: BinaryIO, edts: _Box | None) -> list[tuple[int, int]]:
    """Return what is played: for each piece its length in the movie's units, and where it is taken from."""
    box = _first(file, edts, b"elst")
    if box is None:
        return []
    body = read_at(file, box.start, 8)
    count, wide = int.from_bytes(body[4:8], "big"), body[:1] == b"\1"
    form = ">QqI" if wide else ">IiI"
    rows = read_at(file, box.start + 8, min(count, 64) * struct.calcsize(form))
    return [(length, start) for length, start, _ in struct.iter_unpack(form, rows)]


def _length(file: BinaryIO, size: int, track: _Track, scale: int) -> float:
    """Return the seconds of a track whose lists agree with each other and with the file."""
    if not track.timescale or not {b"stts", b"stsc", b"stsz"} <= track.tables.keys():
        raise Doubtful("the MP4's table of contents is not complete")
    samples, ticks = _ticks(file, track.tables[b"stts"])
    if not samples or abs(ticks - track.duration) > 0.01 * ticks:
        raise Doubtful("the MP4's table of contents says two things of its length")
    if _last_byte(file, track, samples) > size:
        raise Doubtful("the MP4 was cut off before what its table of contents promises")
    seconds = ticks / track.timescale
    if track.cuts and scale:
        played = sum(length for length, _ in track.cuts) / scale
        if played and abs(played - seconds) > max(0.005 * seconds, 0.1):
            raise Doubtful("the MP4 leaves parts of its sound out")
    return seconds


def _ticks(file: BinaryIO, stts: _Box) -> tuple[int, int]:
    """Return how many samples there are, and their length together in the track's units."""
    count = int.from_bytes(read_at(file, stts.start + 4, 4), "big")
    if count > _MAX_RUNS:
        raise Doubtful("the MP4's sound has no steady pace")
    rows = list(struct.iter_unpack(">II", read_at(file, stts.start + 8, min(8 * count, stts.end - stts.start - 8))))
    return sum(number for number, _ in rows), sum(number * length for number, length in rows)


def _last_byte(file: BinaryIO, track: _Track, samples: int) -> int:
    """Return where the last piece of sound ends in the file."""
    tables = track.tables
    chunks = tables.get(b"stco") or tables.get(b"co64")
    if chunks is None:
        raise Doubtful("the MP4's table of contents is not complete")
    width = 4 if chunks.kind == b"stco" else 8
    runs, stsz = tables[b"stsc"], tables[b"stsz"]
    _, same, sizes = struct.unpack(">III", read_at(file, stsz.start, 12))
    # In this order: the bytes before the list of chunks are fetched together with it.
    last_sizes = min(samples, 4096)
    lengths = (
        b"" if same else read_at(file, stsz.start + 12 + 4 * max(0, sizes - last_sizes), 4 * min(last_sizes, sizes))
    )
    number = int.from_bytes(read_at(file, chunks.start + 4, 4), "big")
    last = int.from_bytes(read_at(file, chunks.start + 8 + width * max(0, number - 1), width), "big")
    entries = int.from_bytes(read_at(file, runs.start + 4, 4), "big")
    each = int.from_bytes(read_at(file, runs.start + 8 + 12 * max(0, entries - 1) + 4, 4), "big")
    if not number or not each or sizes != samples:
        raise Doubtful("the MP4's table of contents contradicts itself")
    if same:
        return last + int(same) * each
    return last + sum(int(length) for (length,) in struct.iter_unpack(">I", lengths[-4 * min(each, last_sizes) :]))
