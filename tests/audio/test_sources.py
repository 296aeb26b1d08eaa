"""What a user may name as audio, and what is refused before anything is sent."""

from __future__ import annotations

import pytest

from airflow_provider_nanostt import audio
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import MAX_UPLOAD_BYTES, Upload

WHISPER = "Whisper-Large-V3"
VIDEO = "openai-whisper-with-video"


def test_a_small_file_becomes_an_upload(tmp_path):
    """A file is read whole, with the content type of its suffix whatever its case."""
    file = tmp_path / "Call.MP3"
    file.write_bytes(b"ID3 audio")
    assert audio.resolve(file, None, model=WHISPER) == Upload("Call.MP3", "audio/mpeg", b"ID3 audio")


def test_a_url_stays_a_url():
    """A URL is passed on for the service to fetch."""
    assert audio.resolve(None, " https://example.com/a.mp3 ", model=WHISPER) == "https://example.com/a.mp3"


@pytest.mark.parametrize(("path", "url"), [("a.mp3", "https://example.com/a.mp3"), (None, None), ("", "")])
def test_exactly_one_source_is_needed(path, url):
    """Both or neither is refused, naming the arguments."""
    with pytest.raises(InvalidInput, match="exactly one of audio_path and audio_url"):
        audio.resolve(path, url, model=WHISPER)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.mp3", None, ["missing.mp3", "does not exist", "audio_url"]),
        ("empty.mp3", b"", ["empty.mp3", "empty"]),
        ("big.wav", b"\0" * (MAX_UPLOAD_BYTES + 1), ["big.wav", "3,000,001", "3,000,000", "audio_url"]),
        ("talk.webm", b"x", ["talk.webm", ".webm", ".mp3", "Convert"]),
        ("nothing", b"x", ["nothing", "suffix"]),
        ("film.mp4", b"x", ["film.mp4", "video", VIDEO]),
    ],
)
def test_what_the_service_would_refuse_is_refused_here(tmp_path, name, content, words):
    """Each refusal names the value and the way out, and comes before any request."""
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        audio.resolve(file, None, model=WHISPER)
    for word in words:
        assert word in str(caught.value)


def test_a_folder_is_not_audio(tmp_path):
    """A folder with an audio suffix is refused as what it is."""
    folder = tmp_path / "calls.mp3"
    folder.mkdir()
    with pytest.raises(InvalidInput, match="not a file"):
        audio.resolve(folder, None, model=WHISPER)


def test_what_cannot_be_opened_is_refused_with_the_reason(tmp_path):
    """An error of the file system is told in its own words."""
    not_a_folder = tmp_path / "file"
    not_a_folder.write_bytes(b"x")
    with pytest.raises(InvalidInput, match="Not a directory"):
        audio.resolve(not_a_folder / "a.mp3", None, model=WHISPER)


@pytest.mark.parametrize("model", [VIDEO, "some-new-model"])
def test_video_is_welcome_where_it_may_work(tmp_path, model):
    """The video model takes video, and a model nobody knows gets the benefit of the doubt."""
    file = tmp_path / "film.mp4"
    file.write_bytes(b"x")
    assert audio.resolve(file, None, model=model) == Upload("film.mp4", "video/mp4", b"x")


def test_the_limit_itself_is_allowed(tmp_path):
    """A file of exactly the limit may be uploaded."""
    file = tmp_path / "full.wav"
    file.write_bytes(b"\0" * MAX_UPLOAD_BYTES)
    assert isinstance(audio.resolve(file, None, model=WHISPER), Upload)
