"""MP4, M4A and QuickTime: the table of contents, wherever it is, held against the bytes that are there.

Of the table only a few fields are read, never the lists that make up most of it: an hour of sound has some 600 KB of
them. A file cut off before its last piece, one made of fragments, and one whose cuts leave parts out are doubtful.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from airflow_provider_nanostt.audio.inspect.clock import is_believable
from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found, Hopeless, read_at

_MAX_BOXES = 2000
_MAX_TRACKS = 64
_MAX_CUTS = 64
_MAX_ENTRIES = 16
_TABLES = (b"mdia", b"minf", b"stbl")
_MAX_RUNS = 4096
"""Entries of a list of lengths; sound has one or two, pictures may have thousands."""

_MAX_ENTRY_BYTES = 1024
_AAC = re.compile(rb"\x04(?:\x80\x80\x80)?.[\x40\x66-\x68].{12}\x05(?:\x80\x80\x80)?.(.)", re.DOTALL)
"""What ``esds`` says of AAC, up to the first byte of its configuration, whose upper bits are the kind of AAC."""
_AAC_SAMPLES = {5: (1024, 2048, 960, 1920), 29: (1024, 2048, 960, 1920), 31: (), 23: (512, 480), 39: (512, 480)}


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    start: int
    end: int


def tracks(file: BinaryIO, size: int) -> list[tuple[bytes, list[bytes]]]:
    """Return what the tracks are: ``soun``, ``vide``, ``text`` and the like, each with its codecs' four bytes.

    A track may have several, of which each is for a part of it.

    :return: empty if the table cannot be read; without a codec if the track does not say.
    :raises OSError: if the file cannot be read.
    """
    try:
        moov, _, _ = _outline(file, size)
        found = [(_handler(file, track), _entries(file, track)) for track in _tracks(file, moov)]
    except (Doubtful, struct.error):
        return []
    return [(handler, entries) for handler, entries in found if handler]


def measure(file: BinaryIO, size: int, *, whole: bool) -> Found:  # noqa: ARG001 - the table says all there is
    """Measure the sound of an MP4.

    :raises Hopeless: if its table of contents claims more pieces than the file has bytes.
    """
    moov, payload, fragments = _outline(file, size)
    sound = []
    for track in _tracks(file, moov):
        sizes = _find(file, track, *_TABLES, b"stsz")
        pieces = _number(file, sizes.start + 8) if sizes else None
        if pieces and pieces > size:  # FFmpeg would reserve memory for each piece that is claimed.
            raise Hopeless("the MP4 claims more pieces than it has bytes")
        if _handler(file, track) == b"soun":
            sound.append((track, pieces))
    if not sound:
        raise Doubtful("there is no sound in this MP4")
    if fragments or _find(file, moov, b"mvex"):
        raise Doubtful("the MP4 is made of fragments, which say nothing of the whole")
    lengths = [(0.0, 0.0)]
    for track, pieces in sound:
        if pieces == 0:
            continue
        lasts, seconds = _length(file, size, track)
        played, late = _played(file, moov, track)
        if played and abs(played - lasts) > max(0.005 * lasts, 0.1):
            raise Doubtful("the MP4 leaves parts of its sound out")
        silence = late + lasts - seconds
        lengths.append((seconds, silence if is_believable(silence, seconds) else 0.0))
    seconds, silence = max(lengths, key=sum)
    return Found(seconds, "the MP4's table of contents", payload=payload, tracks=len(sound), silence=silence)


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
        head = read_at(file, start, 16) if start + 8 <= end else b""
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


def _find(file: BinaryIO, parent: _Box, *path: bytes) -> _Box | None:
    """Return the first box at a path within another."""
    for kind in path:
        inner = (box for box in _boxes(file, parent.start, parent.end) if box.kind == kind and box.end <= parent.end)
        found = next(inner, None)
        if found is None:
            return None
        parent = found
    return parent


def _tracks(file: BinaryIO, moov: _Box) -> list[_Box]:
    tracks = [box for box in _boxes(file, moov.start, moov.end) if box.kind == b"trak"]
    if len(tracks) > _MAX_TRACKS:
        raise Hopeless("the MP4 claims more tracks than any recording has")
    return tracks


def _handler(file: BinaryIO, track: _Box) -> bytes:
    box = _find(file, track, b"mdia", b"hdlr")
    return read_at(file, box.start + 8, 4) if box else b""


def _entries(file: BinaryIO, track: _Box) -> list[bytes]:
    box = _find(file, track, *_TABLES, b"stsd")
    return [entry.kind for entry in islice(_boxes(file, box.start + 8, box.end), _MAX_ENTRIES)] if box else []


def _number(file: BinaryIO, position: int, width: int = 4) -> int:
    return int.from_bytes(read_at(file, position, width), "big")


def _times(file: BinaryIO, header: _Box) -> tuple[int, int]:
    """Return timescale and duration of ``mvhd`` or ``mdhd``."""
    body = read_at(file, header.start, 32)
    wide = body[:1] == b"\1"
    scale, length = struct.unpack_from(">IQ" if wide else ">II", body, 20 if wide else 12)
    return scale, length


def _played(file: BinaryIO, moov: _Box, track: _Box) -> tuple[float, float]:
    """Return the seconds that the cuts of a track play, and those in which they play nothing; 0 if it has none."""
    header, cuts = _find(file, moov, b"mvhd"), _find(file, track, b"edts", b"elst")
    if header is None or cuts is None:
        return 0.0, 0.0
    form = ">Qq4x" if _number(file, cuts.start, 1) == 1 else ">Ii4x"
    count = min(_number(file, cuts.start + 4), _MAX_CUTS)
    rows = struct.iter_unpack(form, read_at(file, cuts.start + 8, count * struct.calcsize(form)))
    scale, ticks = _times(file, header)[0] or 1, {False: 0, True: 0}
    for length, begin in rows:
        ticks[begin == -1] += length
    return ticks[False] / scale, ticks[True] / scale


def _length(file: BinaryIO, size: int, track: _Box) -> tuple[float, float]:
    """Return the seconds of a track whose lists agree with each other and with the file, and those that sound."""
    header, stbl = _find(file, track, b"mdia", b"mdhd"), _find(file, track, *_TABLES)
    scale, duration = _times(file, header) if header else (0, 0)
    boxes = _boxes(file, stbl.start, stbl.end) if stbl else ()
    tables = {box.kind: box for box in boxes if stbl and box.end <= stbl.end}
    if not scale or not {b"stts", b"stsc", b"stsz"} <= tables.keys():
        raise Doubtful("the MP4's table of contents is not complete")
    rows = _runs(file, tables[b"stts"])
    samples, ticks = sum(number for number, _ in rows), sum(number * length for number, length in rows)
    if not samples or abs(ticks - duration) > 0.01 * ticks:
        raise Doubtful("the MP4's table of contents says two things of its length")
    if _last_byte(file, tables, samples) > size:
        raise Doubtful("the MP4 was cut off before what its table of contents promises")
    usual = max(rows)[1]
    paces = _paces(file, tables.get(b"stsd"))
    if paces and not any(abs(usual / scale - pace) <= max(0.005 * pace, 1 / scale) for pace in paces):
        raise Doubtful("the MP4's times do not fit its codec")
    # A piece that seems to last much longer is followed by silence, which no decoder makes.
    longest = 2 * usual if paces else max(2 * usual, scale)
    sounding = sum(number * (usual if length > longest else length) for number, length in rows)
    return ticks / scale, sounding / scale


def _paces(file: BinaryIO, stsd: _Box | None) -> list[float]:
    """Return the seconds that a piece of AAC can have; none of another codec, or if the track does not say."""
    data = read_at(file, stsd.start, min(stsd.end - stsd.start, _MAX_ENTRY_BYTES)) if stsd else b""
    rate = int.from_bytes(data[40:42], "big")
    config = _AAC.search(data)
    if data[12:16] != b"mp4a" or not rate or config is None:
        return []
    return [samples / rate for samples in _AAC_SAMPLES.get(config[1][0] >> 3, (1024, 960))]


def _runs(file: BinaryIO, stts: _Box) -> list[tuple[int, int]]:
    """Return how many samples follow each other with the same length, in the track's units, and that length."""
    count = _number(file, stts.start + 4)
    if count > _MAX_RUNS:
        raise Doubtful("the MP4's sound has no steady pace")
    return list(struct.iter_unpack(">II", read_at(file, stts.start + 8, min(8 * count, stts.end - stts.start - 8))))


def _last_byte(file: BinaryIO, tables: dict[bytes, _Box], samples: int) -> int:
    """Return where the last piece of sound ends in the file."""
    chunks = tables.get(b"stco") or tables.get(b"co64")
    if chunks is None:
        raise Doubtful("the MP4's table of contents is not complete")
    width = 4 if chunks.kind == b"stco" else 8
    runs, stsz = tables[b"stsc"], tables[b"stsz"]
    same, sizes = struct.unpack(">4xII", read_at(file, stsz.start, 12))
    # In this order: the bytes before the list of chunks are fetched together with it.
    last_sizes = min(samples, sizes, _MAX_RUNS)
    lengths = b"" if same else read_at(file, stsz.start + 12 + 4 * (sizes - last_sizes), 4 * last_sizes)
    number = _number(file, chunks.start + 4)
    last = _number(file, chunks.start + 8 + width * max(0, number - 1), width)
    entries = _number(file, runs.start + 4)
    each = _number(file, runs.start + 8 + 12 * max(0, entries - 1) + 4)
    if not number or not each or sizes != samples:
        raise Doubtful("the MP4's table of contents contradicts itself")
    if same:
        return last + int(same) * each
    return last + sum(int(length) for (length,) in struct.iter_unpack(">I", lengths[-4 * min(each, last_sizes) :]))
