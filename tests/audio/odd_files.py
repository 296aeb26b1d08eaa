"""Recordings as they are met in the wild, made on the spot: what they hold, and how long they really are.

Also imported by the benchmarks, so this module knows only the standard library and PyAV.
"""

from __future__ import annotations

import array
import functools
import io
import math
import random
import struct
import wave
from dataclasses import dataclass
from fractions import Fraction

import av

SECONDS = 40
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class OddFile:
    """A file, and its true length in seconds; None where nothing in it can be played."""

    name: str
    data: bytes
    seconds: float | None


@functools.cache
def sound(rate: int = 44_100, seconds: int = SECONDS) -> bytes:
    """Sound that is quiet, tonal and noisy in turn, so that variable bit rates vary: 16-bit mono."""
    chance, samples = random.Random(5), array.array("h")
    for second in range(seconds):
        if second % 4 == 0:
            samples.extend([0] * rate)
        elif second % 4 == 1 or second > seconds * 0.8:
            samples.frombytes(chance.randbytes(2 * rate))
        else:
            samples.extend(int(9000 * math.sin(i * 0.03 * (1 + second % 5))) for i in range(rate))
    return samples.tobytes()


class _Pipe(io.RawIOBase):
    """Where one can write but not go back."""

    def __init__(self):
        super().__init__()
        self.data = bytearray()

    def write(self, piece):
        self.data += piece
        return len(piece)

    def writable(self):
        return True


def encode(container, codec, *, rate=44_100, seconds=SECONDS, options=None, quality=None, bit_rate=None, pipe=False):
    """Encode :func:`sound`; ``pipe`` keeps the writer from going back to finish its headers."""
    target = _Pipe() if pipe else io.BytesIO()
    with av.open(target, "w", format=container, options=options or {}) as out:
        how = {} if quality is None else {"global_quality": str(quality * 118), "flags": "+qscale"}
        stream = out.add_stream(codec, rate=rate, layout="mono", options=how)
        if bit_rate:
            stream.bit_rate = bit_rate
        pcm = sound(rate, seconds)
        size = stream.codec_context.frame_size if stream.codec_context.is_open else 0
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=size or 1152)
        for at in range(0, len(pcm), 65_536):
            piece = pcm[at : at + 65_536]
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(piece) // 2)
            frame.sample_rate, frame.pts, frame.time_base = rate, at // 2, Fraction(1, rate)
            frame.planes[0].update(piece)
            for resampled in resampler.resample(frame):
                out.mux(stream.encode(resampled))
        for resampled in resampler.resample(None):
            out.mux(stream.encode(resampled))
        out.mux(stream.encode(None))
    return bytes(target.data) if pipe else target.getvalue()


def wav(rate=16_000, seconds=SECONDS, *, claimed=None):
    """A plain WAV; ``claimed`` is what its header says of its size."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(sound(rate, seconds))
    data = bytearray(file.getvalue())
    if claimed is not None:
        struct.pack_into("<I", data, 4, min(claimed + 36, 0xFFFFFFFF))
        struct.pack_into("<I", data, 40, claimed)
    return bytes(data)


def played(data, container):
    """Decode all there is and return its seconds."""
    seconds = 0.0
    with av.open(io.BytesIO(data), "r", format=container) as spoken:
        packets = spoken.demux(audio=0)
        while True:
            try:
                packet = next(packets)
                seconds += sum(frame.samples / frame.sample_rate for frame in packet.decode())
            except StopIteration:
                return seconds
            except av.FFmpegError:  # what is damaged is passed over
                continue


def id3(payload: int) -> bytes:
    """An ID3v2 tag with a cover of so many bytes, which hold what looks like frames."""
    picture = b"\0image/jpeg\0\3\0" + (b"\xff\xd8\xff\xfb\x90\x64" * (payload // 6 + 1))[:payload]
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    size = len(frame)
    return b"ID3\3\0\0" + bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127)) + frame


def relabelled(ogg: bytes, *, serial: int | None = None, shift: int = 0, skip: int = 0) -> bytes:
    """Rewrite an Ogg's pages: another serial, positions moved by ``shift``, the first ``skip`` pages of sound gone."""
    out, at, seen = bytearray(), 0, 0
    while at < len(ogg):
        count = ogg[at + 26]
        end = at + 27 + count + sum(ogg[at + 27 : at + 27 + count])
        page = bytearray(ogg[at:end])
        (position,) = struct.unpack_from("<q", page, 6)
        if position > 0:
            struct.pack_into("<q", page, 6, position + shift)
            seen += 1
        if serial is not None:
            struct.pack_into("<I", page, 14, serial)
        struct.pack_into("<I", page, 22, 0)
        struct.pack_into("<I", page, 22, _ogg_sum(page))
        if position <= 0 or seen > skip:
            out += page
        at = end
    return bytes(out)


@functools.cache
def _ogg_table():
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        table.append(value)
    return table


def _ogg_sum(page):
    value, table = 0, _ogg_table()
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ table[value >> 24 ^ byte]
    return value


def boxed(kind: bytes, *parts: bytes) -> bytes:
    """A box of an MP4."""
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def patched(data: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    """The data with other bytes at a distance behind a mark."""
    at = data.index(mark) + len(mark) + offset
    return data[:at] + value + data[at + len(value) :]


@functools.cache
def mp3(kind: str) -> bytes:
    """An MP3: ``cbr`` or ``vbr``, and ``+`` if its headers say how long it is."""
    bare = {} if kind.endswith("+") else {"write_xing": "0", "id3v2_version": "0"}
    how = {"quality": 4} if kind.startswith("vbr") else {"bit_rate": 64_000}
    return encode("mp3", "libmp3lame", options=bare, **how)


@functools.cache
def m4a(*, flags: str = "", seconds: int = SECONDS) -> bytes:
    """An M4A; ``flags`` as FFmpeg's writer takes them."""
    return encode("ipod", "aac", seconds=seconds, options={"movflags": flags} if flags else None, bit_rate=64_000)


def moov_first(data: bytes) -> bytes:
    """Move an M4A's table of contents to its beginning, with the places in it moved along."""
    parts, at = {}, 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        parts[data[at + 4 : at + 8]] = data[at : at + size]
        at += size
    moov = bytearray(parts[b"moov"])
    start = moov.index(b"stco") + 8
    for entry in range(int.from_bytes(moov[start : start + 4], "big")):
        place = start + 4 + 4 * entry
        moved = int.from_bytes(moov[place : place + 4], "big") + len(moov)
        moov[place : place + 4] = moved.to_bytes(4, "big")
    rest = b"".join(part for kind, part in parts.items() if kind not in (b"ftyp", b"moov"))
    return parts[b"ftyp"] + bytes(moov) + rest


@functools.cache
def opus(seconds: int = SECONDS) -> bytes:
    """An Ogg with Opus inside."""
    return encode("ogg", "libopus", rate=48_000, seconds=seconds, bit_rate=24_000)


def _mp3_files():
    vbr, cbr, headed = mp3("vbr"), mp3("cbr"), mp3("vbr+")
    true = played(vbr, "mp3")
    yield OddFile("cbr-with-header.mp3", mp3("cbr+"), SECONDS)
    yield OddFile("cbr-without-header.mp3", cbr, played(cbr, "mp3"))
    yield OddFile("vbr-with-header.mp3", headed, SECONDS)
    yield OddFile("vbr-without-header.mp3", vbr, true)
    yield OddFile("cover-art.mp3", id3(700_000) + mp3("cbr+")[mp3("cbr+").index(b"\xff\xfb") :], SECONDS)
    yield OddFile("cover-art-larger-than-the-sound.mp3", id3(2_000_000) + id3(5000) + vbr, true)
    yield OddFile("truncated.mp3", headed[: len(headed) * 2 // 3], played(headed[: len(headed) * 2 // 3], "mp3"))
    yield OddFile("two-joined.mp3", headed + headed, 2 * SECONDS)
    yield OddFile("junk-and-tags.mp3", b"\0" * 1500 + vbr + b"TAG" + b"\0" * 125, true)


def _m4a_files():
    first = moov_first(m4a())
    cut = first[: len(first) * 2 // 3]
    yield OddFile("adts.aac", encode("adts", "aac"), SECONDS)
    yield OddFile("adts-truncated.aac", (data := encode("adts", "aac")[:150_000]), played(data, "aac"))
    yield OddFile("moov-last.m4a", m4a(), SECONDS)
    yield OddFile("moov-first.m4a", first, SECONDS)
    yield OddFile("fragmented.m4a", m4a(flags="frag_keyframe+empty_moov"), SECONDS)
    yield OddFile("truncated.m4a", cut, played(cut, "mov"))
    yield OddFile("never-finished.m4a", m4a()[: len(m4a()) * 2 // 3], None)
    yield OddFile("cover-art.m4a", m4a() + boxed(b"free", b"\xff\xd8" * 2_000_000), SECONDS)


def _ogg_files():
    single, other = opus(), relabelled(opus(10), serial=7)
    yield OddFile("opus.ogg", single, SECONDS)
    yield OddFile("chained.ogg", single + other, SECONDS + 10)
    yield OddFile("the-same-twice.ogg", single + single, 2 * SECONDS)
    yield OddFile("truncated.ogg", (cut := single[: len(single) * 2 // 3]), played(cut, "ogg"))
    yield OddFile("cut-out-of-a-stream.ogg", relabelled(single, shift=48_000 * 7200, skip=3), SECONDS - 3)


def _plain_files():
    data = wav()
    flac, piped = encode("flac", "flac"), encode("flac", "flac", pipe=True)
    yield OddFile("plain.wav", data, SECONDS)
    yield OddFile("piped.wav", wav(claimed=0xFFFFFFFF), SECONDS)
    yield OddFile("piped-by-sox.wav", wav(claimed=0x7FFFFFD0), SECONDS)
    yield OddFile("truncated.wav", data[: len(data) // 3], SECONDS / 3)
    yield OddFile("mulaw.wav", encode("wav", "pcm_mulaw", rate=8000), SECONDS)
    yield OddFile("adpcm.wav", encode("wav", "adpcm_ms"), SECONDS)
    yield OddFile("whole.flac", flac, SECONDS)
    yield OddFile("piped.flac", piped, SECONDS)
    yield OddFile("truncated.flac", (cut := flac[: len(flac) * 2 // 3]), played(cut, "flac"))
    yield OddFile("whole.aiff", (aiff := encode("aiff", "pcm_s16be")), SECONDS)
    yield OddFile("truncated.aiff", (cut := aiff[: len(aiff) // 2]), played(cut, "aiff"))
    yield OddFile("live.webm", encode("webm", "libopus", rate=48_000, pipe=True), SECONDS)
    yield OddFile("voice.amr", encode("amr", "amr_nb", rate=8000), SECONDS)


def _impostors():
    page = b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head><body>No.</body></html>"
    yield OddFile("renamed-wav.mp3", wav(), SECONDS)
    yield OddFile("renamed-ogg.m4a", opus(), SECONDS)
    yield OddFile("error-page.mp3", page * 30, None)
    yield OddFile("error.xml.mp3", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", None)
    yield OddFile("error.json.wav", b'{"error": {"message": "expired"}}', None)
    yield OddFile("playlist.mp3", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\nhttp://10.0.0.1/a.ts\n", None)
    yield OddFile("noise.mp3", random.Random(3).randbytes(60_000), None)
    yield OddFile("empty.mp3", b"", None)
    yield OddFile("ten-thousand-hours.ogg", relabelled(opus(2), shift=int(48_000 * 10_000 * HOUR)), 2)
    bomb = patched(m4a(seconds=3), b"stts", 12, struct.pack(">I", 44_100 * 3600))
    yield OddFile("ten-thousand-hours.m4a", patched(bomb, b"mdhd", 16, b"\xff\xff\xff\xf0"), None)


@functools.cache
def everything() -> tuple[OddFile, ...]:
    """All of them."""
    return (*_mp3_files(), *_m4a_files(), *_ogg_files(), *_plain_files(), *_impostors())
