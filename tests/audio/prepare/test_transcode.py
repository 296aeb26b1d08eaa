"""Recordings made smaller, or brought into a format the service takes."""

from __future__ import annotations

import io
import random
from array import array
from functools import cache

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare import transcode
from airflow_provider_nanostt.audio.prepare.decoding import Bounds, channel_count
from airflow_provider_nanostt.audio.prepare.encoder import bit_rate_for, longest_seconds
from airflow_provider_nanostt.audio.prepare.transcode import compress, convert, measured_seconds
from airflow_provider_nanostt.emulator import sound as service
from tests.audio.sounds import RATE, encoded, hiss, lag, note, samples, seconds, talk, wav


def source(recording=None):
    return io.BytesIO(wav(note()) if recording is None else recording)


@cache
def noise(length):
    loud = random.Random(2)
    return array("h", [loud.randint(-20_000, 20_000) for _ in range(length * RATE)])


@pytest.mark.parametrize(
    ("codec", "suffix", "content_type"), [("opus", ".ogg", "audio/ogg"), ("mp3", ".mp3", "audio/mpeg")]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_compressed_is_what_the_service_takes(codec, suffix, content_type, channels, tmp_path):
    """Name, content type and bytes agree, the speech is where it was, and the result says so truly."""
    recording = encoded(note(), "flac", "flac", layout="stereo") if channels == 2 else wav(note())
    made = compress(
        source(recording), tmp_path / f"note{suffix}", limit_bytes=3_000_000, codec=codec, channels=channels
    )
    assert made is not None
    data = made.path.read_bytes()
    assert service.disagreement(made.path.name, made.content_type, data, video=False) is None
    assert (made.content_type, made.bytes, made.broken) == (content_type, len(data), 0)
    assert made.seconds == pytest.approx(len(note()) / RATE, abs=0.07)
    assert seconds(data) == pytest.approx(made.seconds, abs=0.1)
    assert abs(lag(note(), samples(data), at=5.0)) < 0.03
    assert made.bit_rate == (24_000 if codec == "opus" else 32_000) * channels
    assert [path.name for path in tmp_path.iterdir()] == [f"note{suffix}"]


def test_two_channels_stay_apart_if_asked_to():
    """A call with a speaker on each channel can still be told apart after compressing."""
    voice, silent = note(), array("h", bytes(2 * len(note())))
    both = array("h", bytes(4 * len(voice)))
    both[0::2], both[1::2] = voice, silent
    target = io.BytesIO()
    compress(source(wav(both, channels=2)), target, limit_bytes=3_000_000, channels=2)
    heard = samples(target.getvalue(), layout="stereo")
    left, right = heard[0::2], heard[1::2]
    assert max(map(abs, left)) > 5000
    assert max(map(abs, right)) < max(map(abs, left)) / 10


def test_one_channel_stays_one():
    """No bits are spent on telling the same sound twice, in whole recordings or in parts."""
    assert compress(source(), io.BytesIO(), limit_bytes=3_000_000, channels=2).bit_rate == 24_000
    assert channel_count(source()) == channel_count(source(wav(note(), channels=2)), 1) == 1
    assert channel_count(source(wav(note(), channels=2))) == 2


@pytest.mark.parametrize("kind", ["speech", "noise", "hiss"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_result_is_under_the_limit_at_the_first_try(kind, share, monkeypatch):
    """From the highest to the lowest bit rate, whatever is in the recording; and hardly below what was allowed."""
    sound = {"speech": talk(2)[0], "noise": noise(20), "hiss": hiss(20)}[kind]
    length = len(sound) / RATE
    limit = int(5000 + length * (15_700 + share * 9000) / 8)
    tries = []
    encode = transcode._encode
    monkeypatch.setattr(transcode, "_encode", lambda *args: tries.append(args) or encode(*args))
    target = io.BytesIO()
    made = compress(source(wav(sound)), target, limit_bytes=limit, seconds=length)
    assert made is not None
    assert len(target.getvalue()) == made.bytes <= limit
    assert len(tries) == 1
    if kind == "speech":
        assert made.bytes > limit * 0.85


def test_what_does_not_fit_even_at_the_lowest_is_not_written(tmp_path):
    """The caller is told, and splits."""
    limit = int(len(note()) / RATE * 15_000 / 8)
    assert compress(source(), tmp_path / "note.ogg", limit_bytes=limit) is None
    assert compress(source(), tmp_path / "note.mp3", limit_bytes=2 * limit, codec="mp3") is None
    assert compress(source(), tmp_path / "note.ogg", limit_bytes=0) is None
    assert list(tmp_path.iterdir()) == []


def test_a_length_that_was_wrong_is_found_out(tmp_path):
    """A header that says a second of a minute costs one more try, and the result still fits."""
    spoken, _ = talk(2)
    limit = int(4200 + len(spoken) / RATE * 20_000 / 8)
    made = compress(source(wav(spoken)), tmp_path / "talk.ogg", limit_bytes=limit, seconds=1.0)
    assert made is not None
    assert 15_000 <= made.bit_rate < 24_000
    assert made.bytes == (tmp_path / "talk.ogg").stat().st_size <= limit
    assert made.seconds == pytest.approx(len(spoken) / RATE, abs=0.1)
    assert compress(source(wav(spoken)), tmp_path / "no.ogg", limit_bytes=limit // 2, seconds=1.0) is None
    assert [path.name for path in tmp_path.iterdir()] == ["talk.ogg"]


def test_an_encoder_that_exceeds_what_it_was_asked_for_is_asked_for_less(monkeypatch):
    """If it never fits, that is said; it does not go on for ever."""
    monkeypatch.setattr(transcode, "bit_rate_for", lambda known, *_, **__: asked.append(known) or 24_000)
    asked = []
    assert compress(source(), io.BytesIO(), limit_bytes=20_000) is None
    assert len(asked) == 3
    assert asked == sorted(set(asked))


def test_an_error_on_the_way_leaves_nothing(tmp_path):
    """Neither a new file nor a change to an old one, nor half of one in a file object."""
    old = tmp_path / "note.ogg"
    old.write_bytes(b"what was there")
    with pytest.raises(InvalidInput, match="longer than"):
        compress(source(), old, limit_bytes=3_000_000, bounds=Bounds(max_seconds=5), seconds=12.0)
    assert old.read_bytes() == b"what was there"
    assert [path.name for path in tmp_path.iterdir()] == ["note.ogg"]
    target = io.BytesIO(b"before")
    target.seek(6)
    with pytest.raises(InvalidInput, match="longer than"):
        compress(source(), target, limit_bytes=3_000_000, bounds=Bounds(max_seconds=5), seconds=12.0)
    assert target.getvalue() == b"before"


def test_a_disk_that_is_full_says_so_itself(tmp_path):
    """That is no fault of the recording, and may be over at the next attempt."""

    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        compress(source(), Full(), limit_bytes=3_000_000)


def test_damage_is_counted_in_the_result():
    """Whoever reads the log sees that something was left out."""
    recording = bytearray(encoded(note(), "libmp3lame", "mp3"))
    for at in range(6_000, 30_000, 4_000):
        recording[at : at + 400] = random.Random(at).randbytes(400)
    made = compress(source(bytes(recording)), io.BytesIO(), limit_bytes=3_000_000)
    assert made is not None
    assert made.broken > 0


def test_the_sound_of_a_video_is_compressed_and_progress_is_told():
    """A meeting's video becomes what an audio model takes."""
    told = []
    video = encoded(talk(3)[0], "aac", "mov", rate=44_100, video=True)
    made = compress(source(video), io.BytesIO(), limit_bytes=3_000_000, progress=told.append)
    assert made is not None
    assert made.path is None
    assert made.seconds == pytest.approx(len(talk(3)[0]) / RATE, abs=0.2)
    assert [round(moment) for moment in told] == [10, 20, 30]


@pytest.mark.parametrize(
    ("codec", "container", "rate", "suffix", "content_type"),
    [
        ("libopus", "webm", 48_000, ".ogg", "audio/ogg"),
        ("libopus", "ogg", 48_000, ".ogg", "audio/ogg"),
        ("libmp3lame", "matroska", 44_100, ".mp3", "audio/mpeg"),
        ("aac", "mpegts", 44_100, ".m4a", "audio/mp4"),
        ("aac", "mov", 44_100, ".m4a", "audio/mp4"),
        ("pcm_s16le", "avi", 16_000, ".wav", "audio/wav"),
        ("flac", "flac", 16_000, ".ogg", "audio/ogg"),
        ("pcm_s16be", "aiff", 44_100, ".ogg", "audio/ogg"),
        ("ac3", "mpegts", 48_000, ".ogg", "audio/ogg"),
    ],
)
def test_formats_the_service_refuses_become_ones_it_takes(codec, container, rate, suffix, content_type, tmp_path):
    """Copied where only the container is the matter, encoded otherwise; the speech is where it was."""
    recording = encoded(note(), codec, container, rate=rate)
    made = convert(source(recording), tmp_path / "note.weird")
    assert made.path == tmp_path / f"note{suffix}"
    data = made.path.read_bytes()
    assert service.disagreement(made.path.name, made.content_type, data, video=False) is None
    assert (made.content_type, made.bytes) == (content_type, len(data))
    assert made.seconds == pytest.approx(len(note()) / RATE, abs=0.15)
    assert seconds(data) == pytest.approx(made.seconds, abs=0.15)
    assert abs(lag(note(), samples(data), at=5.0)) < 0.1
    assert [path.name for path in tmp_path.iterdir()] == [made.path.name]


def test_what_is_copied_is_not_encoded_again(tmp_path):
    """The sound of a WAV out of an AVI is the same to the last sample."""
    made = convert(source(encoded(note(), "pcm_s16le", "avi")), tmp_path / "note.avi")
    assert samples(made.path.read_bytes()) == note()


def test_conversion_keeps_two_channels_and_can_write_mp3(tmp_path):
    """Services that know no Opus get MP3; more than two channels become two."""
    recording = encoded(note(), "flac", "flac", layout="5.1")
    made = convert(source(recording), tmp_path / "note.flac", codec="mp3")
    assert (made.path.suffix, made.bit_rate) == (".mp3", 96_000)
    assert convert(source(recording), tmp_path / "mono", channels=1).bit_rate == 32_000


@pytest.mark.parametrize("codec", ["flac", "libmp3lame"])
def test_a_conversion_that_gets_too_large_is_refused_and_leaves_nothing(codec, tmp_path):
    """Encoded or copied, there is a limit to what may be written."""
    recording = encoded(note(), codec, "matroska")
    with pytest.raises(InvalidInput, match="more than 10,000 bytes; compress it"):
        convert(source(recording), tmp_path / "note.x", limit_bytes=10_000)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_track_is_refused(tmp_path):
    """A recorder that was stopped at once."""
    with pytest.raises(InvalidInput, match="nothing in it"):
        convert(source(wav(array("h"))), tmp_path / "note.avi")
    with pytest.raises(InvalidInput, match="nothing can be decoded"):
        compress(source(wav(array("h"))), io.BytesIO(), limit_bytes=3_000_000)
    assert list(tmp_path.iterdir()) == []


def test_a_length_is_measured_by_packets():
    """Headers are not believed, and nothing is decoded."""
    assert measured_seconds(source()) == pytest.approx(len(note()) / RATE)
    with pytest.raises(InvalidInput, match="longer than"):
        measured_seconds(source(), bounds=Bounds(max_seconds=10))


def test_other_codecs_are_refused():
    """The ones that are written are named."""
    with pytest.raises(InvalidInput, match="codec='flac' is not written here; 'opus' or 'mp3' is"):
        compress(source(), io.BytesIO(), limit_bytes=3_000_000, codec="flac")


@pytest.mark.parametrize("codec", ["opus", "mp3"])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_fits_and_how_long_it_may_be_agree(codec, channels):
    """The longest recording fits, at the lowest bit rate; one a little longer does not."""
    longest = longest_seconds(3_000_000, codec=codec, channels=channels)
    lowest = bit_rate_for(longest * 0.9999, 3_000_000, codec=codec, channels=channels)
    assert lowest == pytest.approx({"opus": 15_000, "mp3": 32_000}[codec] * channels, rel=0.01)
    assert bit_rate_for(longest * 1.001, 3_000_000, codec=codec, channels=channels) is None
    assert (
        bit_rate_for(1.0, 3_000_000, codec=codec, channels=channels)
        == {"opus": 24_000, "mp3": 32_000}[codec] * channels
    )
    assert longest_seconds(100) == 0


def test_25_minutes_fit_into_the_services_three_megabytes():
    """As the documentation promises."""
    assert longest_seconds(3_000_000) > 25 * 60
