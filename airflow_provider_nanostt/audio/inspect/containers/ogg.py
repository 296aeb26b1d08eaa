"""Ogg with Opus, Vorbis, Speex or FLAC: the positions that its pages carry, counted link by link.

An Ogg may be several recordings one after the other, each with positions of its own, and a recording may begin at any
position. Near files are walked from page to page; of far ones the beginning, the middle and the end must fit together.
"""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from airflow_provider_nanostt.audio.inspect.clock import SHORTEST
from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found, read_at

_LONGEST_PAGE = 27 + 255 + 255 * 255
MAX_PAGES = 2_000_000
_MAX_LOST = 200
_PROBE = 64 * 1024
_NO_POSITION = 0xFFFFFFFFFFFFFFFF
_FIRST = 2
_MAX_STEPS = 100_000


@dataclass(slots=True)
class _Page:
    flags: int
    position: int
    serial: int
    number: int
    packets: int
    body: int
    end: int


@dataclass(slots=True)
class _Stream:
    """One logical stream: positions per second, the most that a packet can be, and what has been seen of it.

    ``usual`` is how much a packet advances the position, if that is known beforehand; ``steps`` counts by how much and
    with how many packets pages do.
    """

    rate: int = 0
    longest: int = 0
    skip: int = 0
    usual: int = 0
    steps: Counter[tuple[int, int]] = field(default_factory=Counter)
    early: list[_Page] = field(default_factory=list)
    last: int = 0
    packets: int = 0

    def add(self, page: _Page) -> None:
        self.packets += page.packets
        if page.position in (0, _NO_POSITION) or page.flags & _FIRST:
            return
        if len(self.early) < 2:
            self.early.append(page)
        if self.last and page.packets and len(self.steps) < _MAX_STEPS:
            self.steps[page.position - self.last, page.packets] += 1
        self.last = max(self.last, page.position)

    @property
    def start(self) -> float:
        """The position of the first sound; a recording cut out of a longer one starts where it was cut."""
        if not self.early or self.early[0].position <= (self.early[0].packets + 1) * (self._pace or self.longest):
            return self.skip
        first, second = self.early[0], self.early[-1]
        if first is second or not second.packets:
            raise Doubtful("the Ogg begins in the middle of a longer recording")
        return first.position - (second.position - first.position) / second.packets * first.packets

    @property
    def _pace(self) -> int:
        """By how much most packets advance the position; 0 if that is not known yet."""
        paces = Counter[int]()
        for (step, packets), count in self.steps.items():
            paces[step // packets] += packets * count
        return self.usual or max(paces, key=paces.__getitem__, default=0)

    @property
    def seconds(self) -> float:
        """From the first position to the last."""
        return max(0, self.last - self.start) / self.rate if self.rate else 0.0

    @property
    def has_gaps(self) -> bool:
        """Whether positions advance more than the packets of their pages last."""
        pace = self._pace
        return any(step - packets * pace > SHORTEST * self.rate for step, packets in self.steps)


def measure(file: BinaryIO, size: int, *, whole: bool) -> Found:
    """Measure an Ogg, by all of its page headers if ``whole``."""
    if not whole:
        return _probed(file, size)
    links = _links(file, _walk(file, size))
    if not links:
        raise Doubtful("there is no sound that can be measured in this Ogg")
    streams = list(itertools.chain.from_iterable(links))
    if any(stream.seconds * stream.rate > stream.packets * stream.longest for stream in streams):
        raise Doubtful("the Ogg claims more than its packets can hold")
    if any(stream.has_gaps for stream in streams):
        raise Doubtful("the Ogg's positions have gaps")
    seconds = sum(max(stream.seconds for stream in link) for link in links)
    how = f"its {len(links)} links" if len(links) > 1 else "its positions"
    return Found(seconds, f"all pages of the Ogg, {how}", counted=True, tracks=max(map(len, links)))


def _links(file: BinaryIO, pages: Iterable[_Page]) -> list[list[_Stream]]:
    """Return the streams of sound, those that play at the same time together."""
    links: list[dict[int, _Stream]] = [{}]
    was_first = False
    for page in pages:
        is_first = bool(page.flags & _FIRST)
        if is_first and not was_first:
            links.append({})
        if is_first:
            links[-1][page.serial] = _stream(read_at(file, page.body, 64))
        if page.serial in links[-1]:
            links[-1][page.serial].add(page)
        was_first = is_first
    sound = ([stream for stream in link.values() if stream.rate] for link in links)
    return [link for link in sound if link]


def _stream(packet: bytes) -> _Stream:
    """Read the first packet of a stream; one that is not sound, or is cut off, has no rate."""
    packet = packet.ljust(64, b"\0")
    if packet.startswith(b"OpusHead"):
        return _Stream(rate=48_000, longest=5760, skip=struct.unpack_from("<H", packet, 10)[0])
    if packet.startswith(b"\x01vorbis"):
        return _Stream(
            rate=struct.unpack_from("<I", packet, 12)[0],
            longest=1 << (packet[28] >> 4),
            usual=1 << (packet[28] >> 4) >> 1,
        )
    if packet.startswith(b"Speex   "):
        return _Stream(rate=struct.unpack_from("<I", packet, 36)[0], longest=64 * 640)
    if packet.startswith(b"\x7fFLAC"):
        return _Stream(rate=int.from_bytes(packet[27:30], "big") >> 4, longest=65535)
    return _Stream()


def _parsed(head: bytes, at: int) -> _Page | None:
    if len(head) < 27 or head[:5] != b"OggS\0":
        return None
    flags, position, serial, number, _, count = struct.unpack_from("<BQIIIB", head, 5)
    lacing = head[27 : 27 + count]
    if len(lacing) < count:
        return None
    body = at + 27 + count
    return _Page(flags, position, serial, number, count - lacing.count(255), body, body + sum(lacing))


def _walk(file: BinaryIO, size: int) -> Iterator[_Page]:
    at, lost = 0, 0
    for _ in range(MAX_PAGES):
        page = _parsed(read_at(file, at, 282), at)
        if at + 27 > size or (page and page.end > size):
            return
        if page:
            yield page
            at = page.end
            continue
        following = read_at(file, at + 1, _LONGEST_PAGE).find(b"OggS")
        at, lost = at + 1 + following, lost + 1
        if following < 0 or lost > _MAX_LOST:
            raise Doubtful("the Ogg is damaged")
    raise Doubtful("the Ogg has too many pages")


def _probed(file: BinaryIO, size: int) -> Found:
    head = _pages(read_at(file, 0, min(size, _PROBE)), 0)
    tail = _pages(read_at(file, max(0, size - _PROBE), _PROBE), max(0, size - _PROBE))
    starts = [page for page in head if page.flags & _FIRST]
    if len(starts) != 1 or not tail or tail[-1].serial != starts[0].serial or any(page.flags & _FIRST for page in tail):
        raise Doubtful("the Ogg is not one single recording")
    stream = _stream(read_at(file, starts[0].body, 64))
    tail = [page for page in tail if page.end <= size]
    for page in (*head, *tail):
        stream.add(page)
    middle = _pages(read_at(file, size // 2, _PROBE), size // 2)
    last = tail[-1] if tail else starts[0]
    # The same recording twice has the same serial; only its counting starts again.
    parts = [page.number / last.number for page in middle if page.serial == last.serial and last.number]
    is_whole = parts and 0.25 < parts[0] < 0.75 and parts == sorted(parts) and stream.seconds
    at_middle = next((page.position for page in middle if page.position != _NO_POSITION), 0) - stream.start
    if not is_whole or not 0.2 < at_middle / (stream.last - stream.start) < 0.8:
        raise Doubtful("the Ogg's beginning, middle and end do not fit together")
    return Found(stream.seconds, "the Ogg's first and last page")


def first_packets(head: bytes) -> list[bytes]:
    """Return how the streams begin that the beginning of an Ogg announces."""
    return [head[page.body : page.body + 64] for page in _pages(head, 0) if page.flags & _FIRST]


def _pages(data: bytes, offset: int) -> list[_Page]:
    """Return the pages that begin in some bytes; each but the last must end where the next begins."""
    pages: list[_Page] = []
    at = data.find(b"OggS")
    while at >= 0 and (page := _parsed(data[at : at + 282], offset + at)):
        pages.append(page)
        at = page.end - offset
    return pages
