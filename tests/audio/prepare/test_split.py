"""Recordings split into parts, copied or compressed."""

from __future__ import annotations

import io
import resource
from array import array
from functools import partial
from itertools import pairwise

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.muxer import CONTENT_TYPES
from airflow_provider_nanostt.audio.prepare.silence import measure_loudness
from airflow_provider_nanostt.audio.prepare.split_points import plan_split_points
from airflow_provider_nanostt.audio.prepare.transcode import Output, split_compress, split_copy
from airflow_provider_nanostt.emulator import sound as service
from tests.audio.sounds import RATE, encoded, lag, note, raw_wav, samples, talk, wav

FORMATS = {
    "mp3": ("libmp3lame", "mp3", 16_000, ".mp3"),
    "mp3, 44.1 kHz": ("libmp3lame", "mp3", 44_100, ".mp3"),
    "m4a": ("aac", "ipod", 44_100, ".m4a"),
    "adts": ("aac", "adts", 44_100, ".m4a"),
    "mkv": ("aac", "matroska", 44_100, ".m4a"),
    "ogg": ("libopus", "ogg", 48_000, ".ogg"),
    "webm": ("libopus", "webm", 48_000, ".ogg"),
    "wav": ("pcm_s16le", "wav", 16_000, ".wav"),
}


def heard(part):
    data = part.path.read_bytes()
    assert service.disagreement(part.path.name, CONTENT_TYPES[part.path.suffix], data, video=False) is None
    return samples(data)


def planned(recording, longest):
    loudness = measure_loudness(io.BytesIO(recording))
    found = loudness.silences()
    cuts = plan_split_points(loudness.seconds, found, longest, quietest=loudness.quietest)
    assert all(any(start <= cut <= end for start, end in found) for cut in cuts)
    return cuts


@pytest.mark.parametrize("kind", FORMATS)
def test_copied_parts_are_the_recording(kind, tmp_path):
    """Every part is taken by the service, says where it begins, and sounds as the recording does there."""
    codec, container, rate, suffix = FORMATS[kind]
    spoken, _ = talk(3)
    recording = encoded(spoken, codec, container, rate=rate)
    cuts = planned(recording, 20.0)
    parts = split_copy(io.BytesIO(recording), Output(tmp_path), cuts)
    assert [part.path.name for part in parts] == [f"part-{at:03}{suffix}" for at in range(1, len(cuts) + 2)]
    assert parts[0].start == 0
    for before, after in pairwise(parts):
        assert after.start == pytest.approx(before.start + before.seconds)
    assert [part.start for part in parts[1:]] == pytest.approx(cuts, abs=0.06)
    assert parts[-1].start + parts[-1].seconds == pytest.approx(len(spoken) / RATE, abs=0.2)
    whole = samples(recording)
    for part in parts:
        sound = heard(part)
        assert len(sound) / RATE == pytest.approx(part.seconds, abs=0.15)
        at = int(part.start * RATE)
        assert abs(lag(whole[at : at + len(sound)], sound, at=5.0)) < 0.1


@pytest.mark.parametrize(
    ("tag", "rate", "channels", "width"), [(1, 16_000, 1, 2), (7, 8_000, 1, 1), (1, 44_100, 2, 3), (3, 8_000, 2, 4)]
)
def test_pcm_is_cut_at_the_sample_and_loses_none(tag, rate, channels, width, tmp_path):
    """Laid end to end, the parts are the recording, to the byte."""
    data = bytes(at * 7 % 251 for at in range(3 * rate * channels * width))
    recording = raw_wav(data, tag=tag, rate=rate, channels=channels, width=width)
    parts = split_copy(io.BytesIO(recording), Output(tmp_path), [0.50005, 0.5001, 2.25])
    starts = [round(cut * rate) for cut in (0, 0.50005, 0.5001, 2.25)]
    assert [part.start for part in parts] == [start / rate for start in dict.fromkeys(starts)]
    pieces = []
    for part in parts:
        content = part.path.read_bytes()
        at = content.index(b"data") + 8
        pieces.append(content[at : at + round(part.seconds * rate) * channels * width])
    assert b"".join(pieces) == data


def test_a_codec_the_service_does_not_take_is_not_copied(tmp_path):
    """The caller compresses the parts instead."""
    assert split_copy(io.BytesIO(encoded(note(), "flac", "flac")), Output(tmp_path), [5.0]) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cuts", [[], [-1.0, 0.0], [500.0, 600.0]])
def test_cuts_outside_the_recording_make_no_parts(cuts, tmp_path):
    """There are no parts without sound."""
    (part,) = split_copy(io.BytesIO(wav(note())), Output(tmp_path), cuts)
    assert heard(part) == note()
    (part,) = split_compress(io.BytesIO(wav(note())), Output(tmp_path, 3_000_000), cuts, seconds=len(note()) / RATE)
    assert part.seconds == pytest.approx(len(note()) / RATE)


def test_cuts_nearer_than_a_packet_are_one(tmp_path):
    """A part has at least a packet."""
    parts = split_copy(io.BytesIO(encoded(note(), "libmp3lame", "mp3")), Output(tmp_path), [5.0, 5.001, 5.002])
    assert [part.start for part in parts] == [0, pytest.approx(5.0, abs=0.04)]


@pytest.mark.parametrize(("codec", "suffix"), [("opus", ".ogg"), ("mp3", ".mp3")])
def test_compressed_parts_fit_and_are_the_recording(codec, suffix, tmp_path):
    """Each part under the limit, at the bit rate its length allows, and continuous with the next."""
    spoken, _ = talk(5)
    recording, reported = wav(spoken), []
    length = len(spoken) / RATE
    cuts = planned(recording, 30.0)
    limit = 4500 + int(30 * 32_000 / 8 if codec == "mp3" else 30 * 16_500 / 8)
    output = Output(tmp_path, limit, reported.append)
    parts = split_compress(io.BytesIO(recording), output, cuts, seconds=length, codec=codec)
    assert [part.path.name for part in parts] == [f"part-{at:03}{suffix}" for at in range(1, len(cuts) + 2)]
    assert [part.start for part in parts[1:]] == pytest.approx(cuts, abs=0.031)
    assert sum(part.seconds for part in parts) == pytest.approx(length)
    assert all(part.path.stat().st_size <= limit for part in parts)
    assert [round(moment) for moment in reported] == [10, 20, 30, 40, 50, 60]
    for part in parts:
        sound = heard(part)
        at = int(part.start * RATE)
        assert abs(lag(spoken[at : at + len(sound)], sound, at=5.0)) < 0.04


def test_parts_that_would_not_fit_are_not_written(tmp_path):
    """The caller plans shorter ones."""
    length = len(note()) / RATE
    assert split_compress(io.BytesIO(wav(note())), Output(tmp_path, 10_000), [4.0], seconds=length) is None
    # A recording longer than it was said to be: found out on the way.
    assert split_compress(io.BytesIO(wav(note())), Output(tmp_path, 16_000), [4.0], seconds=6.0) is None
    assert split_copy(io.BytesIO(wav(note())), Output(tmp_path, 150_000), [4.0]) is None
    assert list(tmp_path.iterdir()) == []


def test_an_error_at_the_very_end_leaves_no_part(tmp_path):
    """What an encoder holds back is written last, and may be what no longer fits on the disk."""

    def compressed():
        return split_compress(io.BytesIO(wav(note())), Output(tmp_path, 100_000), seconds=12.1)

    (whole,) = compressed()
    size = whole.path.stat().st_size
    whole.path.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 10, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            compressed()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


class Ending(io.BytesIO):
    """A file whose second half cannot be read."""

    def read(self, size=-1):
        if self.tell() > len(self.getbuffer()) / 2:
            raise OSError(5, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize("split", [split_copy, partial(split_compress, seconds=25.0)])
def test_an_error_on_the_way_leaves_no_part(tmp_path, split):
    """Neither copied nor compressed parts outlive an error."""
    with pytest.raises(OSError, match="Input/output error"):
        split(Ending(wav(talk(2)[0])), Output(tmp_path, 3_000_000), [1.0, 2.0])
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_cannot_be_begun_leaves_none(tmp_path):
    """If the second file cannot be made, the first is removed, and a file that was there before is left alone."""
    (tmp_path / "part-002.wav").write_bytes(b"before")
    with pytest.raises(FileExistsError):
        split_copy(io.BytesIO(wav(note())), Output(tmp_path), [4.0])
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def test_a_track_with_nothing_in_it_is_refused(tmp_path):
    """There is no part to transcribe."""
    with pytest.raises(InvalidInput, match="nothing in it"):
        split_copy(io.BytesIO(wav(array("h"))), Output(tmp_path), [1.0])
