"""What is done with a recording follows from its size, format and length, and from what the user allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES
from airflow_provider_nanostt.audio.inspect.probe import probe
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, plan_upload
from airflow_provider_nanostt.audio.sources import StoredObject, WebAddress, locate_source
from airflow_provider_nanostt.common import object_storage
from tests.audio.range_server import RangeServer
from tests.audio.sounds import encoded, note, wav

pytestmark = pytest.mark.airflow

SAMPLES = Path(__file__).parents[3] / "example_dags" / "audio"
DOCS = Path(__file__).parents[3] / "docs"
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


def plan(source, model=WHISPER, *, diarize=False, **preparation):
    recording = locate_source(source) if isinstance(source, Path) else source
    return plan_upload(
        recording, probe(recording), model=model, diarize=diarize, preparation=PreparationRules(**preparation)
    )


def method(*given, **more):
    return plan(*given, **more).method


def test_the_reason_is_in_plain_words(tmp_path):
    """The log shows the size and the limit, as the documentation quotes it."""
    file = tmp_path / "call.wav"
    file.write_bytes(wav(bytes(2 * 16_000 * 1500)))
    found = plan(file)
    assert f"Upload method: {found.method} ({found.reason})\n" in (DOCS / "audio.md").read_text()
    assert f"call.wav: 25.00 minutes ({probe(locate_source(file)).length.source})." in (DOCS / "audio.md").read_text()


def test_a_recording_that_fits_is_uploaded():
    """A small recording in a format the service takes needs nothing."""
    assert method(SAMPLES / "weekly-note.wav") == "upload"
    assert method(SAMPLES / "closed-office.ogg", MINI) == "upload"


def test_the_bytes_count_and_not_the_suffix(tmp_path):
    """An Ogg under the name of a FLAC is an Ogg, and a FLAC under the name of an MP3 is a FLAC."""
    ogg = tmp_path / "talk.flac"
    ogg.write_bytes((SAMPLES / "closed-office.ogg").read_bytes())
    assert method(ogg) == "upload"
    flac = tmp_path / "talk.mp3"
    flac.write_bytes(encoded(note(), "flac", "flac"))
    assert method(flac) == "convert"


@pytest.mark.parametrize(
    ("seconds", "model", "preparation", "expected"),
    [
        (600, WHISPER, {}, "compress"),
        (600, WHISPER, {"staging_path": BUCKET}, "stage"),
        (600, WHISPER, {"staging_path": BUCKET, "oversize": ("compress", "stage")}, "compress"),
        (600, WHISPER, {"codec": "mp3"}, "compress"),
        (1000, WHISPER, {"codec": "mp3"}, "split"),
        (1500, WHISPER, {}, "compress"),
        (1600, WHISPER, {}, "split"),
        (1600, WHISPER, {"staging_path": BUCKET}, "stage"),
        (1500, MINI, {}, "split"),
        (1500, MINI, {"staging_path": BUCKET}, "split"),
        (1300, MINI, {}, "compress"),
    ],
)
def test_the_methods_for_what_is_too_large(tmp_path, seconds, model, preparation, expected):
    """The first method that is allowed and possible is taken; a model's own limit is kept."""
    assert method(hours(tmp_path, seconds), model, **preparation) == expected


def test_a_part_is_no_longer_than_fits_or_the_model_takes(tmp_path):
    """Parts of a split end below both limits."""
    long = hours(tmp_path, 7200)
    assert 1500 < plan(long, WHISPER).longest_seconds < 1560
    assert 1350 < plan(long, MINI).longest_seconds < 1400


def test_speakers_are_not_torn_apart_unless_allowed(tmp_path):
    """With diarize, splitting is refused with the reason, or allowed by name."""
    long = hours(tmp_path, 1600)
    with pytest.raises(InvalidInput, match="labels do not match across parts; split_diarized=True"):
        method(long, SPEAKERS, diarize=True)
    assert method(long, SPEAKERS, diarize=True, split_diarized=True) == "split"


@pytest.mark.parametrize(
    ("seconds", "preparation", "words"),
    [
        (600, {"oversize": ()}, ["4,800,044 bytes", "3,000,000", "oversize allows no method"]),
        (600, {"oversize": ("stage",)}, ["stage: needs staging_path"]),
        (1600, {"oversize": ("stage", "compress")}, ["stage: needs staging_path", "compress: 1,600 s do not fit, 1,5"]),
    ],
)
def test_where_no_method_is_possible_each_says_what_it_needs(tmp_path, seconds, preparation, words):
    """The error names the file, why it is not simply uploaded, and every method with its reason."""
    with pytest.raises(InvalidInput) as caught:
        method(hours(tmp_path, seconds), **preparation)
    for word in ["'long.wav' cannot be submitted", *words]:
        assert word in str(caught.value)


def test_an_object_in_storage_that_cannot_sign_takes_the_next_method(tmp_path):
    """The disk as an object storage signs nothing, so its object is compressed like a local file."""
    stored = StoredObject(object_storage.resolve(str(hours(tmp_path, 600))))
    assert method(stored) == "compress"
    assert method(StoredObject(object_storage.resolve(str(SAMPLES / "weekly-note.wav")))) == "upload"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!doctype html><html><body>404</body></html>", "is an HTML page, not a recording"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n/etc/passwd\n", "is a playlist, not a recording"),
        (b"%PDF-1.7", "is a PDF document, not a recording"),
        (bytes(range(7, 200)), "has an unrecognised format"),
    ],
)
def test_bytes_that_are_not_a_recording_are_refused(tmp_path, content, words):
    """Whatever its name says."""
    file = tmp_path / "call.mp3"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=words):
        method(file)


def test_video_goes_to_models_that_take_it(tmp_path):
    """An audio model gets the sound of it, the video model and one that nobody knows get the pictures, too."""
    film = tmp_path / "film.mkv"
    film.write_bytes(b"\x1aE\xdf\xa3" + b"\x42\x82\x88matroska" + b"\x86\x8fV_MPEG4/ISO/AVC" + bytes(64))
    assert method(film, WHISPER) == "convert"
    assert method(film, VIDEO) == "upload"
    assert method(film, "some-new-model") == "upload"
    with film.open("ab") as file:
        file.truncate(MAX_UPLOAD_BYTES + 1)
    assert method(film, VIDEO, staging_path=BUCKET) == "stage"
    with pytest.raises(InvalidInput, match="would lose the pictures"):
        method(film, VIDEO)


def test_an_address_stays_an_address():
    """What the service fetches itself is passed on, also when nothing could be told about it."""
    assert method(WebAddress("https://example.invalid/a.mp3")) == "url"


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
            method(source, model)


@pytest.mark.parametrize("preparation", [{"oversize": "split"}, {"oversize": ("zip",)}, {"codec": "flac"}])
def test_preparation_is_checked(preparation):
    """A word that is none of ours is refused, naming those that are."""
    with pytest.raises(InvalidInput, match=r"oversize must be|codec must be"):
        PreparationRules(**preparation)
