"""What is done with a recording follows from its size, format and length, and from what the user allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES
from airflow_provider_nanostt.audio import AudioPreparation, StoredObject, WebAddress, decide, named
from airflow_provider_nanostt.common import object_storage
from tests.audio.range_server import RangeServer
from tests.audio.sounds import encoded, note, wav

pytestmark = pytest.mark.airflow

SAMPLES = Path(__file__).parents[3] / "example_dags" / "audio"
WHISPER, MINI, SPEAKERS, VIDEO = (
    "Whisper-Large-V3",
    "gpt-4o-mini-transcribe",
    "Elevenlabs-STT",
    "openai-whisper-with-video",
)
BUCKET = "s3://bucket/staging"


def hours(folder: Path, seconds: float, name: str = "long.wav") -> Path:
    """A telephone recording of so many seconds, 8,000 bytes each; a hole on the disk, not data."""
    file = folder / name
    header = wav(b"", rate=8000, width=1)
    size = int(seconds * 8000)
    with file.open("wb") as out:
        out.write(header[:4] + (36 + size).to_bytes(4, "little") + header[8:-4] + size.to_bytes(4, "little"))
        out.truncate(len(header) + size)
    return file


def way(source, model=WHISPER, *, diarize=False, **means):
    recording = named(source) if isinstance(source, Path) else source
    return decide(recording, model=model, diarize=diarize, means=AudioPreparation(**means)).way


def test_what_fits_is_uploaded():
    """A small recording in a format the service takes needs nothing."""
    assert way(SAMPLES / "weekly-note.wav") == "upload"
    assert way(SAMPLES / "closed-office.ogg", MINI) == "upload"


def test_the_bytes_count_and_not_the_suffix(tmp_path):
    """An Ogg under the name of a FLAC is an Ogg, and a FLAC under the name of an MP3 is a FLAC."""
    ogg = tmp_path / "talk.flac"
    ogg.write_bytes((SAMPLES / "closed-office.ogg").read_bytes())
    assert way(ogg) == "upload"
    flac = tmp_path / "talk.mp3"
    flac.write_bytes(encoded(note(), "flac", "flac"))
    assert way(flac) == "convert"


@pytest.mark.parametrize(
    ("seconds", "model", "means", "expected"),
    [
        (600, WHISPER, {}, "compress"),
        (600, WHISPER, {"staging": BUCKET}, "stage"),
        (600, WHISPER, {"staging": BUCKET, "oversize": ("compress", "stage")}, "compress"),
        (600, WHISPER, {"codec": "mp3"}, "compress"),
        (1000, WHISPER, {"codec": "mp3"}, "split"),
        (1500, WHISPER, {}, "compress"),
        (1600, WHISPER, {}, "split"),
        (1600, WHISPER, {"staging": BUCKET}, "stage"),
        (1500, MINI, {}, "split"),
        (1500, MINI, {"staging": BUCKET}, "split"),
        (1300, MINI, {}, "compress"),
    ],
)
def test_the_ways_for_what_is_too_large(tmp_path, seconds, model, means, expected):
    """The first way that is allowed and open is taken; a model's own limit is kept."""
    assert way(hours(tmp_path, seconds), model, **means) == expected


def test_a_part_is_no_longer_than_fits_or_the_model_takes(tmp_path):
    """Parts of a split end below both limits."""
    long = named(hours(tmp_path, 7200))
    whisper, mini = (decide(long, model=model, diarize=False, means=AudioPreparation()) for model in (WHISPER, MINI))
    assert 1500 < whisper.longest < 1560
    assert 1350 < mini.longest < 1400


def test_speakers_are_not_torn_apart_unless_allowed(tmp_path):
    """With diarize, splitting is refused with the reason, or allowed by name."""
    long = hours(tmp_path, 1600)
    with pytest.raises(InvalidInput, match="labels do not match across parts; split_diarized=True"):
        way(long, SPEAKERS, diarize=True)
    assert way(long, SPEAKERS, diarize=True, split_diarized=True) == "split"


@pytest.mark.parametrize(
    ("seconds", "means", "words"),
    [
        (600, {"oversize": ()}, ["4,800,044 bytes", "3,000,000", "oversize allows no way"]),
        (600, {"oversize": ("stage",)}, ["stage: needs staging="]),
        (1600, {"oversize": ("stage", "compress")}, ["stage: needs staging=", "compress: 1,600 s do not fit, 1,5"]),
    ],
)
def test_where_no_way_is_open_each_says_what_it_needs(tmp_path, seconds, means, words):
    """The error names the file, why it is not simply uploaded, and every way with its reason."""
    with pytest.raises(InvalidInput) as caught:
        way(hours(tmp_path, seconds), **means)
    for word in ["'long.wav' cannot be submitted", *words]:
        assert word in str(caught.value)


def test_an_object_in_storage_that_cannot_sign_takes_the_next_way(tmp_path):
    """The disk as an object storage signs nothing, so its object is compressed like a local file."""
    stored = StoredObject(object_storage.resolve(str(hours(tmp_path, 600))))
    assert way(stored) == "compress"
    assert way(StoredObject(object_storage.resolve(str(SAMPLES / "weekly-note.wav")))) == "upload"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!doctype html><html><body>404</body></html>", "is an HTML page, not a recording"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n/etc/passwd\n", "is a playlist, not a recording"),
        (b"%PDF-1.7", "is a PDF document, not a recording"),
        (bytes(range(7, 200)), "of no kind that is known here"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path, content, words):
    """Whatever its name says."""
    file = tmp_path / "call.mp3"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=words):
        way(file)


def test_video_goes_to_models_that_take_it(tmp_path):
    """An audio model gets the sound of it, the video model and one that nobody knows get the pictures, too."""
    film = tmp_path / "film.mkv"
    film.write_bytes(b"\x1aE\xdf\xa3" + b"\x42\x82\x88matroska" + b"\x86\x8fV_MPEG4/ISO/AVC" + bytes(64))
    assert way(film, WHISPER) == "convert"
    assert way(film, VIDEO) == "upload"
    assert way(film, "some-new-model") == "upload"
    with film.open("ab") as file:
        file.truncate(MAX_UPLOAD_BYTES + 1)
    assert way(film, VIDEO, staging=BUCKET) == "stage"
    with pytest.raises(InvalidInput, match="would lose the pictures"):
        way(film, VIDEO)


def test_an_address_stays_an_address():
    """What the service fetches itself is passed on, also when nothing could be told about it."""
    assert way(WebAddress("https://example.invalid/a.mp3")) == "url"


@pytest.mark.parametrize(
    ("content", "model", "words"),
    [
        (lambda: encoded(note(), "flac", "flac"), WHISPER, "does not take FLAC.*is converted"),
        (lambda: b"<html><body>Please log in</body></html>" * 9, WHISPER, "is an HTML page, not a recording"),
        (lambda: wav(bytes(8000 * 1500), rate=8000, width=1), MINI, "lasts 1,500 s.*at most 1,390.*is split"),
    ],
)
def test_what_the_service_could_not_use_is_not_even_fetched(content, model, words):
    """A look at the first bytes behind an address spares the submit, and says what to do instead."""
    with RangeServer({"call.mp3": content()}) as server:
        source = WebAddress(server.url("call.mp3"), allow_private=True)
        with pytest.raises(InvalidInput, match=words):
            way(source, model)


@pytest.mark.parametrize("means", [{"oversize": "split"}, {"oversize": ("zip",)}, {"codec": "flac"}])
def test_means_are_checked(means):
    """A word that is none of ours is refused, naming those that are."""
    with pytest.raises(InvalidInput, match=r"oversize=|codec="):
        AudioPreparation(**means)
