"""Recordings made smaller, or brought into a format the service takes."""

from __future__ import annotations

import io
import random
import resource
from array import array
from functools import cache, partial

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare import transcode
from airflow_provider_nanostt.audio.prepare.muxer import CONTENT_TYPES, bit_rate_for, longest_seconds
from airflow_provider_nanostt.audio.prepare.transcode import Output, convert, measured_seconds
from airflow_provider_nanostt.emulator import sound as service
from tests.audio.sounds import RATE, av, encoded, hiss, lag, note, samples, seconds, talk, wav

compress = partial(transcode.compress, seconds=len(note()) / RATE)


def source(recording=None):
    return io.BytesIO(wav(note()) if recording is None else recording)


class Counted(io.BytesIO):
    """A file that knows how many bytes of it were read."""

    seen = 0

    def read(self, size=-1):
        data = super().read(size)
        self.seen += len(data)
        return data


@pytest.fixture
def output(tmp_path):
    """Room for one upload."""
    return Output(tmp_path, 3_000_000)


@cache
def noise(length):
    return hiss(length, peak=20_000)


@pytest.mark.parametrize(
    ("codec", "suffix", "content_type"), [("opus", ".ogg", "audio/ogg"), ("mp3", ".mp3", "audio/mpeg")]
)
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_what_is_compressed_is_what_the_service_takes(codec, suffix, content_type, layout, output):
    """Name, content type and bytes agree, the speech is where it was, and the result says so truly."""
    recording = encoded(note(), "flac", "flac", layout=layout)
    made = compress(source(recording), output, codec=codec)
    assert made is not None
    data = made.path.read_bytes()
    assert service.disagreement(made.path.name, CONTENT_TYPES[made.path.suffix], data, video=False) is None
    assert (CONTENT_TYPES[made.path.suffix], made.path.suffix, made.start) == (content_type, suffix, 0)
    assert made.seconds == pytest.approx(len(note()) / RATE, abs=0.07)
    assert seconds(data) == pytest.approx(made.seconds, abs=0.1)
    assert abs(lag(note(), samples(data), at=5.0)) < 0.03
    assert list(output.folder.iterdir()) == [made.path]


@pytest.mark.parametrize("kind", ["speech", "noise", "hiss"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_result_is_under_the_limit_at_the_first_try(kind, share, tmp_path):
    """From the highest to the lowest bit rate, for every kind of sound; hardly below the limit, and read only once."""
    sound = {"speech": talk(2)[0], "noise": noise(20), "hiss": hiss(20)}[kind]
    length = len(sound) / RATE
    limit = int(5000 + length * (15_700 + share * 9000) / 8)
    recording = Counted(wav(sound))
    made = compress(recording, Output(tmp_path, limit), seconds=length)
    assert made is not None
    assert made.path.stat().st_size <= limit
    assert recording.seen < 1.5 * len(recording.getbuffer())
    if kind == "speech":
        assert made.path.stat().st_size > limit * 0.85


def test_what_does_not_fit_even_at_the_lowest_is_not_written(tmp_path):
    """The caller splits."""
    limit = int(len(note()) / RATE * 15_000 / 8)
    assert compress(source(), Output(tmp_path, limit)) is None
    assert compress(source(), Output(tmp_path, 2 * limit), codec="mp3") is None
    assert compress(source(), Output(tmp_path, 0)) is None
    assert list(tmp_path.iterdir()) == []


def test_a_length_that_was_wrong_is_found_out(tmp_path):
    """A header that says a second of a minute costs one more try, and the result still fits."""
    spoken, _ = talk(2)
    limit = int(4200 + len(spoken) / RATE * 20_000 / 8)
    made = compress(source(wav(spoken)), Output(tmp_path, limit), seconds=1.0)
    assert made is not None
    assert made.path.stat().st_size <= limit
    assert 15_000 <= made.path.stat().st_size * 8 / made.seconds < 24_000
    assert made.seconds == pytest.approx(len(spoken) / RATE, abs=0.1)
    assert list(tmp_path.iterdir()) == [made.path]
    made.path.unlink()
    assert compress(source(wav(spoken)), Output(tmp_path, limit // 2), seconds=1.0) is None
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_exceeds_what_it_was_asked_for_is_asked_for_less(monkeypatch, tmp_path):
    """If it never fits, that is said; it does not go on for ever."""
    monkeypatch.setattr(transcode, "bit_rate_for", lambda known, *_, **__: asked.append(known) or 24_000)
    asked = []
    assert compress(source(), Output(tmp_path, 20_000)) is None
    assert len(asked) == 3
    assert asked == sorted(set(asked))


def test_a_disk_that_is_full_says_so_itself(output):
    """That is no fault of the recording, and may be over at the next attempt; nothing is left."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            compress(source(), output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(output.folder.iterdir()) == []


def test_damage_is_in_the_log(output, caplog):
    """A reader of the log sees that something was left out."""
    recording = bytearray(encoded(note(), "libmp3lame", "mp3"))
    for at in range(6_000, 30_000, 4_000):
        recording[at : at + 400] = random.Random(at).randbytes(400)
    assert compress(source(bytes(recording)), output)
    assert "damaged packets were left out" in caplog.text


def test_the_sound_of_a_video_is_compressed_and_progress_is_reported(tmp_path):
    """A meeting's video becomes what an audio model takes."""
    reported = []
    video = encoded(talk(3)[0], "aac", "mov", rate=44_100, video=True)
    made = compress(source(video), Output(tmp_path, 3_000_000, reported.append))
    assert made is not None
    assert made.seconds == pytest.approx(len(talk(3)[0]) / RATE, abs=0.2)
    assert [round(moment) for moment in reported] == [10, 20, 30]


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
def test_formats_the_service_refuses_become_ones_it_takes(codec, container, rate, suffix, content_type, output):
    """Copied where only the container is the matter, encoded otherwise; the speech is where it was."""
    recording = encoded(note(), codec, container, rate=rate)
    made = convert(source(recording), output)
    assert made.path.suffix == suffix
    data = made.path.read_bytes()
    assert service.disagreement(made.path.name, CONTENT_TYPES[made.path.suffix], data, video=False) is None
    assert CONTENT_TYPES[made.path.suffix] == content_type
    assert made.seconds == pytest.approx(len(note()) / RATE, abs=0.15)
    assert seconds(data) == pytest.approx(made.seconds, abs=0.15)
    assert abs(lag(note(), samples(data), at=5.0)) < 0.1
    assert list(output.folder.iterdir()) == [made.path]


def test_what_is_copied_is_not_encoded_again(output):
    """The sound of a WAV out of an AVI is the same to the last sample."""
    made = convert(source(encoded(note(), "pcm_s16le", "avi")), output)
    assert samples(made.path.read_bytes()) == note()


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 2)])
def test_conversion_keeps_two_channels_and_can_write_mp3(layout, channels, output):
    """Services that know no Opus get MP3; more than two channels become two."""
    made = convert(source(encoded(note(), "flac", "flac", layout=layout)), output, codec="mp3")
    assert made.path.suffix == ".mp3"
    assert made.path.stat().st_size * 8 / made.seconds == pytest.approx(48_000 * channels, rel=0.05)


def test_two_speakers_on_two_channels_stay_apart_in_a_conversion(output):
    """A call with a speaker on each channel can still be told apart."""
    both = array("h", bytes(4 * len(note())))
    both[0::2] = note()
    flac = io.BytesIO()
    with av.open(flac, "w", format="flac") as out, av.open(io.BytesIO(wav(both, channels=2))) as recording:
        stream = out.add_stream("flac", rate=RATE, layout="stereo")
        for frame in recording.decode(audio=0):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    heard = samples(convert(source(flac.getvalue()), output).path.read_bytes(), layout="stereo")
    assert max(map(abs, heard[0::2])) > 5000
    assert max(map(abs, heard[1::2])) < max(map(abs, heard[0::2])) / 10


@pytest.mark.parametrize("codec", ["flac", "libmp3lame"])
def test_a_conversion_that_gets_too_large_leaves_nothing(codec, tmp_path):
    """Encoded or copied, there is a limit to what may be written."""
    assert convert(source(encoded(note(), codec, "matroska")), Output(tmp_path, 10_000)) is None
    assert list(tmp_path.iterdir()) == []


def test_an_empty_track_is_refused(output):
    """A recorder that was stopped at once."""
    with pytest.raises(InvalidInput, match="nothing in it"):
        convert(source(wav(array("h"))), output)
    with pytest.raises(InvalidInput, match="nothing can be decoded"):
        compress(source(wav(array("h"))), output)
    assert list(output.folder.iterdir()) == []


@pytest.mark.long
def test_a_length_is_measured_by_packets():
    """Headers are not believed, and nothing is decoded; days are refused."""
    assert measured_seconds(source()) == pytest.approx(len(note()) / RATE)
    with pytest.raises(InvalidInput, match="longer than 24 hours"):
        measured_seconds(source(wav(bytes(100 * 3600 * 25), rate=100, width=1)))


def test_other_codecs_are_refused(output):
    """The ones that are written are named."""
    with pytest.raises(InvalidInput, match="codec must be 'opus' or 'mp3', got 'flac'"):
        compress(source(), output, codec="flac")


@pytest.mark.parametrize(("codec", "lowest", "highest"), [("opus", 15_000, 24_000), ("mp3", 32_000, 32_000)])
def test_what_fits_and_how_long_it_may_be_agree(codec, lowest, highest):
    """The longest recording fits, at the lowest bit rate; one a little longer does not."""
    longest = longest_seconds(3_000_000, codec=codec)
    assert bit_rate_for(longest * 0.9999, 3_000_000, codec=codec) == pytest.approx(lowest, rel=0.01)
    assert bit_rate_for(longest * 1.001, 3_000_000, codec=codec) is None
    assert bit_rate_for(1.0, 3_000_000, codec=codec) == highest
    assert longest_seconds(100) == 0


def test_25_minutes_fit_into_the_services_three_megabytes():
    """As the documentation promises."""
    assert longest_seconds(3_000_000) > 25 * 60
