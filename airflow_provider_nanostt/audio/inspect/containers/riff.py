"""WAV, RF64, Wave64 and AIFF: the bytes of sound that are really there, divided by how many make a second.

The size that the header claims is believed if other chunks account for the rest of the file. A recorder that wrote into
a pipe claims 37 hours, a file that was cut off claims what it no longer has, and 32 bits wrap over after 4 GB.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found, Hopeless, read_at

_MAX_CHUNKS = 200
_WRAPS = 2**32
_MAX_CHUNKS_BEHIND = 1024 * 1024
_UNKNOWN_SIZES = (range(0x7FFFFF00, 0x80000001), range(0xFFFFFF00, _WRAPS))
"""What recorders write as a size that they do not know, or that has no room."""
_HEAD_BYTES = 40
_LINEAR = (1, 3, 6, 7)
"""Format tags whose every sample has the same bytes: PCM, float, A-law, mu-law."""
_SAMPLE_BYTES = {
    b"in24": 3, b"in32": 4, b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8,
    b"alaw": 1, b"ALAW": 1, b"ulaw": 1, b"ULAW": 1,
}  # fmt: skip
"""Bytes of a sample by its compression type; PCM (:data:`_PCM`) says how many bits it has."""
_PCM = (b"NONE", b"none", b"twos", b"sowt", b"raw ")


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Where the content of a chunk is, how many bytes it claims to have, and the first of them."""

    start: int = 0
    length: int = 0
    head: bytes = b""


_NONE = _Chunk()


def format_tag(file: BinaryIO, size: int) -> int | None:
    """Return the number of a WAV's codec; None if it does not say."""
    order = ">" if read_at(file, 0, 4) == b"RIFX" else "<"
    form = _chunks(file, size, 12, order).get(b"fmt ", _NONE).head
    return _tag(form, order) if len(form) >= 2 else None


def _tag(form: bytes, order: str) -> int:
    at = 24 if form[:2] in (b"\xfe\xff", b"\xff\xfe") and len(form) >= 26 else 0
    return int(struct.unpack_from(order + "H", form, at)[0])


def measure(file: BinaryIO, size: int, *, whole: bool) -> Found:  # noqa: ARG001 - headers say all there is
    """Measure a WAV, RF64 or Wave64 file; one that is compressed only if its claims agree."""
    mark = read_at(file, 0, 4)
    wide, order = mark == b"riff", ">" if mark == b"RIFX" else "<"
    chunks = _chunks(file, size, 40 if wide else 12, order, wide=wide)
    if b"fmt " not in chunks:
        raise Doubtful("the WAV header is not complete")
    form, data = chunks[b"fmt "].head, chunks.get(b"data")
    _, channels, rate, per_second, block, bits = struct.unpack_from(order + "HHIIHH", form)
    if data is None or not rate or not block:
        raise Doubtful("the WAV header is not complete")
    claimed, more = _claim(file, size, chunks, order, wide=wide)
    if more:
        raise Hopeless(f"the WAV has {more:,} bytes more than its header says")
    real = max(0, min(claimed, size - data.start))
    if _tag(form, order) in _LINEAR and bits % 8 == 0:
        if block != channels * bits // 8 or not 1000 <= rate <= 1_000_000:
            raise Doubtful("the WAV header contradicts itself")
        return Found(real / (rate * block), "the WAV's bytes of sound", counted=True, payload=real)
    fact = chunks.get(b"fact", _NONE).head
    if len(fact) < 4 or not per_second or real < claimed:
        raise Doubtful("a compressed WAV that does not say how long it is")
    seconds = struct.unpack_from(order + "I", fact)[0] / rate
    if abs(seconds - real / per_second) > 0.01 * seconds:
        raise Doubtful("a compressed WAV that says two things of its length")
    return Found(seconds, "the WAV's header, in two places", payload=real)


def is_longer_than_claimed(file: BinaryIO, size: int) -> bool:
    """Whether a WAV's header says less of its sound than there is; False for any other file."""
    mark = read_at(file, 0, 12)
    if mark[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or mark[8:] != b"WAVE":
        return False
    order = ">" if mark.startswith(b"RIFX") else "<"
    chunks = _chunks(file, size, 12, order)
    if b"data" not in chunks:
        return False
    claimed, more = _claim(file, size, chunks, order, wide=False)
    return more > 0 or (b"ds64" not in chunks and chunks[b"data"].length < claimed)


def _claim(file: BinaryIO, size: int, chunks: dict[bytes, _Chunk], order: str, *, wide: bool) -> tuple[int, int]:
    """Return the bytes of sound that a WAV says it has, and how many there are beyond that which nothing explains."""
    data = chunks[b"data"]
    there, claimed = size - data.start, data.length
    if claimed in (0, 0xFFFFFFFF):
        large = chunks.get(b"ds64", _NONE).head
        claimed = int.from_bytes(large[8:16], "little") or there
    more = 0 if wide else _unexplained(file, size, data.start + claimed, order)
    is_unknown = any(claimed in sizes for sizes in _UNKNOWN_SIZES)
    if more and (is_unknown or (there > _WRAPS and (there - claimed) % _WRAPS < _MAX_CHUNKS_BEHIND)):
        return there, 0
    return claimed, more


def _unexplained(file: BinaryIO, size: int, at: int, order: str) -> int:
    """Return how many bytes follow the sound that are no chunks; more sound is none."""
    end = at
    for _ in range(_MAX_CHUNKS):
        head = read_at(file, at, 8) if at < size else b""
        if len(head) < 8 or (head.startswith(b"TAG") and size - at == 128):
            return 0
        if at % 2 and not head[0]:
            at, head = at + 1, read_at(file, at + 1, 8)
        length = struct.unpack_from(order + "I", head, 4)[0] if len(head) == 8 else size
        if not all(32 <= byte < 127 for byte in head[:4]) or head[:4] in (b"data", b"SSND") or at + 8 + length > size:
            break
        at += 8 + length
    return size - end


def measure_aiff(file: BinaryIO, size: int, *, whole: bool) -> Found:  # noqa: ARG001  the headers are enough
    """Measure an AIFF file, if its sound is not compressed."""
    chunks = _chunks(file, size, 12, ">")
    common, sound = chunks.get(b"COMM", _NONE).head, chunks.get(b"SSND", _NONE)
    offset = 8 + int.from_bytes(sound.head[:4], "big")
    claimed = sound.length - offset
    if len(common) < 18 or claimed <= 0:
        raise Doubtful("the AIFF header is not complete")
    channels, frames, bits, exponent, mantissa = struct.unpack_from(">HIHHQ", common)
    rate = mantissa * 2.0 ** (min(exponent & 0x7FFF, 16_500) - 16_383 - 63)
    kind = common[18:22] or b"NONE"
    block = channels * (_SAMPLE_BYTES.get(kind, 0) if kind not in _PCM else (bits + 7) // 8)
    if not block:
        raise Doubtful("a compressed AIFF does not say how long it is")
    if not 1000 <= rate <= 1_000_000 or abs(frames * block - claimed) > 0.01 * claimed + block:
        raise Doubtful("the AIFF header contradicts itself")
    if more := _unexplained(file, size, sound.start + sound.length, ">"):
        raise Hopeless(f"the AIFF has {more:,} bytes more than its header says")
    real = max(0, min(claimed, size - sound.start - offset))
    return Found(real / (rate * block), "the AIFF's bytes of sound", counted=True, payload=real)


def _chunks(file: BinaryIO, size: int, at: int, order: str, *, wide: bool = False) -> dict[bytes, _Chunk]:
    """Return the chunks from a position on, by their marks; those behind the sound of a WAV do not matter.

    :param order: of the bytes of numbers, as ``struct`` has it.
    :param wide: whether they are Wave64's.
    """
    found: dict[bytes, _Chunk] = {}
    form, step = ("<16xQ", 8) if wide else (order + "4xI", 2)
    head_bytes = struct.calcsize(form)
    for _ in range(_MAX_CHUNKS):
        read = read_at(file, at, head_bytes + _HEAD_BYTES)
        if len(read) < head_bytes or at >= size:
            break
        (length,) = struct.unpack_from(form, read)
        length, at = max(0, length - 24) if wide else length, at + head_bytes
        found[read[:4]] = _Chunk(at, length, read[head_bytes:][:length])
        if b"data" in found:
            break
        at += length + -length % step
    return found
