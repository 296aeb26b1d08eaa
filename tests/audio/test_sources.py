"""What a user may name as audio, what is found out about it, and how reading it fails."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio import LocalFile, StoredObject, WebAddress, named
from airflow_provider_nanostt.audio.inspect import formats
from airflow_provider_nanostt.common import object_storage

pytestmark = pytest.mark.airflow

SAMPLES = Path(__file__).parents[2] / "example_dags" / "audio"
NOTE = SAMPLES / "weekly-note.wav"


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"audio": "/calls/a.mp3"}, LocalFile),
        ({"audio": "calls/a.mp3"}, LocalFile),
        ({"audio": Path("/calls/a.mp3")}, LocalFile),
        ({"audio": "file:///calls/a.mp3"}, LocalFile),
        ({"audio": "https://example.com/a.mp3"}, WebAddress),
        ({"audio": "HTTPS://example.com/a.mp3"}, WebAddress),
        ({"audio": "local:///calls/a.mp3"}, StoredObject),
        ({"audio_path": "/calls/a.mp3"}, LocalFile),
        ({"audio_path": "https://example.com/a.mp3"}, LocalFile),
        ({"audio_url": " https://example.com/a.mp3 "}, WebAddress),
    ],
)
def test_one_argument_is_enough(given, kind):
    """A path, a file URI, a web address and a storage URI are told apart; the explicit forms mean what they say."""
    assert isinstance(named(**given), kind)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///calls/a.mp3", "/calls/a.mp3"),
        ("file:///calls/a%20b.mp3", "/calls/a b.mp3"),
        ("file:///calls/50%25?.mp3", "/calls/50%?.mp3"),
        ("file:///calls/a#1.mp3", "/calls/a#1.mp3"),
    ],
)
def test_a_file_uri_is_a_path(uri, path):
    """Escapes are undone; what looks like a query or a fragment belongs to the name."""
    assert named(uri).path == Path(path)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"audio": ""},
        {"audio_path": "a.mp3", "audio_url": "https://example.com/a.mp3"},
        {"audio": "a.mp3", "audio_path": "a.mp3"},
    ],
)
def test_exactly_one_source_is_needed(given):
    """More than one or none is refused, naming the arguments."""
    with pytest.raises(InvalidInput, match="exactly one of audio, audio_path and audio_url"):
        named(**given)


@pytest.mark.parametrize("url", ["ftp://example.com/a.mp3", "//example.com/a", "https://", "a.mp3", "https://[x/a"])
def test_an_audio_url_is_a_web_address(url):
    """Anything else in that argument is refused, naming it."""
    with pytest.raises(InvalidInput, match=r"audio_url=.*is not an http"):
        named(audio_url=url)


def test_a_refused_address_shows_no_secret():
    """Neither query nor password is in the message."""
    with pytest.raises(InvalidInput) as caught:
        named(audio_url="ftp://user:hunter22@example.com/a.mp3?sig=verysecret")
    assert "hunter22" not in str(caught.value)
    assert "verysecret" not in str(caught.value)


def test_a_storage_that_is_not_there_is_named():
    """A scheme nobody has registered is refused with what was given."""
    with pytest.raises(InvalidInput, match=r"nosuch://bucket/a\.mp3"):
        _ = named("nosuch://bucket/a.mp3").size


def test_a_local_file_tells_what_it_is():
    """Size, format and length are those of the bytes; the key is their digest, whatever the file is called."""
    source = named(NOTE)
    assert source.size == NOTE.stat().st_size
    assert source.format == formats.WAV
    assert source.length.seconds == pytest.approx(12.0, abs=0.1)
    assert source.key == hashlib.sha256(NOTE.read_bytes()).hexdigest()


def test_a_stored_object_tells_the_same(tmp_path):
    """Through a storage's range reads as through the disk."""
    copy = tmp_path / "note.wav"
    copy.write_bytes(NOTE.read_bytes())
    source = StoredObject(object_storage.resolve(str(copy)))
    assert (source.size, source.format) == (NOTE.stat().st_size, formats.WAV)
    assert source.length.seconds == pytest.approx(LocalFile(NOTE).length.seconds)
    with source.open() as file:
        assert file.read() == NOTE.read_bytes()


def test_another_version_of_an_object_has_another_key(tmp_path):
    """What the storage says of the object is in its key: the same name with other bytes is another recording."""
    copy = tmp_path / "note.wav"
    copy.write_bytes(NOTE.read_bytes())
    before = StoredObject(object_storage.resolve(str(copy))).key
    assert StoredObject(object_storage.resolve(str(copy))).key == before
    copy.write_bytes(NOTE.read_bytes()[:-2])
    assert StoredObject(object_storage.resolve(str(copy))).key != before


def test_the_disk_signs_nothing(tmp_path):
    """A storage without addresses says so, rather than failing."""
    copy = tmp_path / "note.wav"
    copy.write_bytes(NOTE.read_bytes())
    assert StoredObject(object_storage.resolve(str(copy))).signed(60) is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "missing.mp3", ["missing.mp3", "does not exist", "object storage URI"]),
        (lambda folder: folder, ["is not a file"]),
        (lambda _: NOTE / "a.mp3", ["a.mp3", "Not a directory"]),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path, make, words):
    """The message names the value and what is wrong with it."""
    with pytest.raises(InvalidInput) as caught:
        _ = named(make(tmp_path)).size
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["missing.mp3", ""])
def test_a_storage_that_has_nothing_is_refused(tmp_path, name):
    """An object that is not there, or is a folder, is named."""
    with pytest.raises(InvalidInput, match=r"does not exist|is not a file"):
        _ = StoredObject(object_storage.resolve(str(tmp_path / name))).size


def test_only_so_much_is_fetched(tmp_path):
    """An object above the limit stays where it is."""
    source = StoredObject(object_storage.resolve(str(NOTE)))
    with pytest.raises(InvalidInput, match="at most 1,000 are fetched"):
        source.fetch(tmp_path / "copy", 1_000)
    assert source.fetch(tmp_path / "copy", 1_000_000).key == LocalFile(NOTE).key


def test_an_address_inside_the_network_is_not_asked():
    """Its length is unknown, with the reason and what to set; nothing fails."""
    source = named(audio_url="http://127.0.0.1:9/a.mp3?sig=verysecret")
    assert source.length.seconds is None
    assert "allow_private_addresses" in source.length.source
    assert (source.size, source.format) == (None, None)
    assert source.name == "http://127.0.0.1:9/a.mp3"
