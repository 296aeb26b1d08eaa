"""What a header claims is held against the bytes and against its other claims; what does not fit is unknown."""

from __future__ import annotations

import io
import struct

import pytest

from airflow_provider_nanostt.audio.inspect.duration import measure
from airflow_provider_nanostt.audio.inspect.formats import identify
from airflow_provider_nanostt.audio.prepare.transcode import Output, compress
from tests.audio import odd_files
from tests.audio.sounds import note, seconds, wav

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
    made = compress(io.BytesIO(patched_wav(3 * 32_000)), Output(tmp_path, 3_000_000, None))
    assert made is not None
    assert made.seconds == pytest.approx(NOTE_SECONDS, abs=0.2)
    assert seconds(made.path.read_bytes()) == pytest.approx(NOTE_SECONDS, abs=0.2)
