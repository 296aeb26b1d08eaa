"""What a header claims is held against the bytes and against its other claims; what does not fit is unknown."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import pytest

from airflow_provider_nanostt.audio.inspect.duration import measure
from airflow_provider_nanostt.audio.inspect.formats import identify
from airflow_provider_nanostt.audio.prepare.transcode import Output, compress
from tests.audio import odd_files
from tests.audio.sounds import av, note, seconds, wav

NOTE_SECONDS = len(note()) / 16_000


def told(file, size: int, *, whole: bool) -> float | None:
    return measure(file, size, identify(file, size), whole=whole).seconds


def patched_wav(size: int, data: bytes | None = None) -> bytes:
    """The note as a WAV whose header says another size."""
    made = bytearray(data or wav(note()))
    struct.pack_into("<I", made, made.index(b"data") + 4, size)
    return bytes(made)


def short_aiff() -> bytes:
    """An AIFF whose header was written when half of it was there."""
    made = bytearray(odd_files.encode("aiff", "pcm_s16be"))
    common, sound = made.index(b"COMM"), made.index(b"SSND")
    (frames,) = struct.unpack_from(">I", made, common + 10)
    struct.pack_into(">I", made, common + 10, frames // 2)
    struct.pack_into(">I", made, sound + 4, frames // 2 * 2 + 8)
    return bytes(made)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda: patched_wav(5 * 32_000),
        lambda: patched_wav(2),
        lambda: wav(note()) + bytes(160_000),
        lambda: wav(note()) + b"data" + struct.pack("<I", 160_000) + bytes(160_000),
        short_aiff,
    ],
    ids=["a size written early", "a tiny size", "an undeclared rest", "two pieces of sound", "an AIFF written early"],
)
def test_a_size_that_leaves_bytes_unexplained_is_not_believed(make, whole):
    """The length is unknown: less than there is would be too low a price, and a limit that is passed."""
    data = make()
    assert told(io.BytesIO(data), len(data), whole=whole) is None


@pytest.mark.parametrize(
    "behind",
    [
        b"",
        b"\0",
        b"LIST" + struct.pack("<I", 4000) + bytes(4000),
        b"id3 " + struct.pack("<I", 10) + bytes(10) + b"LIST" + struct.pack("<I", 4) + b"INFO",
        b"TAG" + bytes(125),
    ],
)
def test_what_other_chunks_explain_is_believed(behind):
    """Titles and the like behind the sound."""
    data = wav(note()) + behind
    assert told(io.BytesIO(data), len(data), whole=True) == pytest.approx(NOTE_SECONDS, rel=0.001)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("there", "claimed"),
    [
        (5_000_000_000, 5_000_000_000 % 2**32),
        (2**32 + 5_000_000, 5_000_000),
        (9_000_000_000, 9_000_000_000 % 2**32),
        (5_000_000_000, 0xFFFFFFFF),
        (5_000_000_000, 0x7FFFFFFF),
        (3_000_000_000, 3_000_000_000),
    ],
)
def test_a_wav_of_more_than_four_gigabytes_is_as_long_as_its_bytes(there, claimed, whole, tmp_path):
    """Its size has 32 bits, which wrap over or stop at their end."""
    header = wav(b"", rate=48_000, channels=2)[:-4] + struct.pack("<I", claimed)
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + there)
    with path.open("rb") as file:
        assert told(file, len(header) + there, whole=whole) == pytest.approx(there / 192_000, rel=0.001)


def test_what_the_header_leaves_out_is_heard_all_the_same(tmp_path):
    """FFmpeg would stop where the header says, and three quarters would be lost without a word."""
    made = compress(io.BytesIO(patched_wav(3 * 32_000)), Output(tmp_path, 3_000_000, None), seconds=NOTE_SECONDS)
    assert made is not None
    assert made.seconds == pytest.approx(NOTE_SECONDS, abs=0.2)
    assert seconds(made.path.read_bytes()) == pytest.approx(NOTE_SECONDS, abs=0.2)


@pytest.fixture(scope="module")
def plain() -> bytes:
    """Twenty seconds of AAC at 16 kHz in an M4A."""
    return odd_files.encode("ipod", "aac", rate=16_000, seconds=20)


def with_pace(data: bytes, ticks: int, scale: int = 16_000) -> bytes:
    """An M4A whose every claim of time says that a piece lasts so many ticks, of so many in a second."""
    made = bytearray(data)
    at = made.index(b"stts")
    for row in range(struct.unpack_from(">I", made, at + 8)[0]):
        (old,) = struct.unpack_from(">I", made, at + 16 + 8 * row)
        struct.pack_into(">I", made, at + 16 + 8 * row, old * ticks // 1024)
    for mark, place in ((b"mdhd", 20), (b"mvhd", 20), (b"elst", 12)):
        if (at := made.find(mark)) >= 0:
            (old,) = struct.unpack_from(">I", made, at + place)
            factor = ticks / 1024 * (1 if mark == b"mdhd" else 16_000 / scale)
            struct.pack_into(">I", made, at + place, int(old * factor))
    struct.pack_into(">I", made, made.index(b"mdhd") + 16, scale)
    return bytes(made)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("ticks", "scale"), [(2048, 16_000), (512, 16_000), (1024, 8000), (1024, 32_000), (3000, 16_000)]
)
def test_an_m4a_whose_times_do_not_fit_its_codec_is_unknown(plain, ticks, scale, whole):
    """All of its claims agree, and a piece of AAC holds 1024 samples all the same."""
    data = with_pace(plain, ticks, scale)
    assert told(io.BytesIO(data), len(data), whole=whole) is None


def test_an_m4a_whose_times_fit_is_believed(plain):
    """Also if they are told in other units."""
    for data in (plain, with_pace(plain, 2048, 32_000)):
        assert told(io.BytesIO(data), len(data), whole=False) == pytest.approx(20, abs=0.2)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("container", "gap"), [("ipod", 30), ("mp4", 30), ("ipod", 3)])
def test_a_gap_in_the_times_of_an_m4a_is_no_sound(container, gap, whole):
    """What decodes to 20 seconds is not 50."""
    data = gapped(container, gap)
    length = told(io.BytesIO(data), len(data), whole=whole)
    assert length is None or length == pytest.approx(20, abs=0.3)
    assert length is not None


def gapped(container: str, gap: int) -> bytes:
    """Twenty seconds of AAC whose times step forward after eight."""
    file, source = io.BytesIO(), io.BytesIO(odd_files.encode("adts", "aac", rate=16_000, seconds=20))
    with av.open(source) as reader, av.open(file, "w", format=container) as out:
        stream = out.add_stream_from_template(reader.streams.audio[0])
        for number, packet in enumerate(reader.demux(reader.streams.audio[0])):
            if packet.size:
                at = 1024 * number
                packet.stream, packet.time_base = stream, Fraction(1, 16_000)
                packet.pts = packet.dts = at + (16_000 * gap if at > 8 * 16_000 else 0)
                packet.duration = 1024
                out.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("factor", [3, 1 / 3, 1])
def test_a_number_of_frames_is_held_against_frames(factor, whole):
    """A Xing header whose bytes are right may lie about the frames; all are counted, or the length is unknown."""
    made = bytearray(odd_files.mp3("vbr+"))
    at = max(made.find(b"Xing"), made.find(b"Info")) + 8
    struct.pack_into(">I", made, at, int(struct.unpack_from(">I", made, at)[0] * factor))
    length = told(io.BytesIO(bytes(made)), len(made), whole=whole)
    assert length == (None if factor != 1 and not whole else pytest.approx(odd_files.SECONDS, abs=0.2))
