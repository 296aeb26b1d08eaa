"""What a user may name as audio, how it is identified and probed, and how reading it fails."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.inspect import formats
from airflow_provider_nanostt.audio.inspect.probe import identify_and_probe, probe
from airflow_provider_nanostt.audio.sources import LocalFile, SourceVersion, StoredObject, WebAddress, locate_source
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
    assert isinstance(locate_source(**given), kind)


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
    assert locate_source(uri).path == Path(path)


@pytest.mark.parametrize(
    "name", [b"end.wav ", b" lead.wav", b"nl.wav\n", b"new\nline.wav", b"tab\t.wav", b"caf\xe9.wav"]
)
@pytest.mark.parametrize("form", ["{}", "file://{}", "FILE://localhost{}", "file:{}"])
def test_a_file_is_found_byte_for_byte(tmp_path, name, form):
    """A blank, a line break or a byte that is no text is a part of its name."""
    path = tmp_path / os.fsdecode(name)
    path.touch()
    assert locate_source(form.format(path)).stat().st_size == 0


def test_blanks_that_a_template_leaves_are_no_part_of_a_name(copy, bucket):
    """Where there is nothing of that very name."""
    bucket.pipe_file("/bucket/a.wav", b"x")
    assert locate_source(f" {copy}\n").path == copy
    assert locate_source(" s3://bucket/a.wav\n").size() == 1


KEYS = ["new\nline.wav", "cr\r.wav", "tab\t.wav", "end.wav ", "nl.wav\n", "q?x#1%20.wav", "std::move.wav"]


@pytest.mark.parametrize("folder", ["", "a/"])
@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_used_byte_for_byte(bucket, key, folder):
    """What is read is the object of that key, and not the one of a similar name."""
    bucket.pipe_file(f"/bucket/{folder}" + key.partition("::")[0], b"of a name that was cut")
    bucket.pipe_file(f"/bucket/{folder}" + re.sub(r"\s", "", key), b"other one")
    bucket.pipe_file(f"bucket/{folder}{key}", b"right")  # with a slash before it, "::" is not found in memory
    assert locate_source(f"s3://bucket/{folder}{key}").size() == len(b"right")


@pytest.mark.parametrize("folder", ["", "a/"])
@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_signed_byte_for_byte(monkeypatch, key, folder):
    """The service fetches the object that was named."""
    pytest.importorskip("airflow.providers.amazon")
    region = {"region_name": "eu-north-1"}
    connection = {"conn_type": "aws", "login": "AKIDEXAMPLE", "password": "x" * 40, "extra": region}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_KEYS", json.dumps(connection))
    given = {"ETag": "x", "size": 1, "type": "file"}
    url = locate_source(f"s3://aws_keys@bucket/{folder}{key}", info=given).presign(60)
    assert unquote(urlsplit(url).path).endswith(f"/{folder}{key}")


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
        locate_source(**given)


@pytest.mark.parametrize("url", ["ftp://example.com/a.mp3", "//example.com/a", "https://", "a.mp3", "https://[x/a"])
def test_an_audio_url_is_a_web_address(url):
    """Anything else in that argument is refused, naming it."""
    with pytest.raises(InvalidInput, match=r"audio_url=.*is not an http"):
        locate_source(audio_url=url)


def test_a_refused_address_shows_no_secret():
    """Neither query nor password is in the message."""
    with pytest.raises(InvalidInput) as caught:
        locate_source(audio_url="ftp://user:hunter22@example.com/a.mp3?sig=verysecret")
    assert "hunter22" not in str(caught.value)
    assert "verysecret" not in str(caught.value)


def test_a_storage_that_is_not_there_is_named():
    """A scheme nobody has registered is refused with what was given."""
    with pytest.raises(InvalidInput, match=r"nosuch://bucket/a\.mp3"):
        locate_source("nosuch://bucket/a.mp3").info()


def test_a_local_file_is_probed_and_identified_by_its_bytes():
    """Size, format and length are those of the bytes; the key is their digest, whatever the file is called."""
    source = locate_source(NOTE)
    info = probe(source)
    assert (info.size, info.format) == (NOTE.stat().st_size, formats.WAV)
    assert info.length.seconds == pytest.approx(12.0, abs=0.1)
    assert source.version().key == hashlib.sha256(NOTE.read_bytes()).hexdigest()


def test_a_stored_object_is_probed_like_a_file(copy):
    """Through a storage's range reads as through the disk."""
    source = StoredObject(object_storage.resolve(str(copy)))
    assert probe(source) == probe(LocalFile(NOTE))
    with source.open() as file:
        assert file.read() == NOTE.read_bytes()


def test_another_version_of_an_object_has_another_key(copy):
    """What the storage says of the object is in its key: the same name with other bytes is another recording."""
    source = StoredObject(object_storage.resolve(str(copy)))
    before = source.version()
    assert source.version() == before
    copy.write_bytes(NOTE.read_bytes()[:-2])
    assert source.version().key != before.key


def test_an_object_that_was_listed_is_not_asked_for_again(copy):
    """What a listing said of it is enough for its version."""
    path = object_storage.resolve(str(copy))
    listed = path.fs.info(path.path)
    before = StoredObject(path).version()
    copy.unlink()
    assert StoredObject(path, info=listed).version() == before


@pytest.fixture
def copy(tmp_path):
    file = tmp_path / "note.wav"
    file.write_bytes(NOTE.read_bytes())
    return file


class TestKnownVersions:
    """A local file is only read again if its path, size or time has changed."""

    def test_a_file_that_is_unchanged_is_not_read(self, copy):
        """Other bytes of the same size and time go unnoticed, which shows that nothing was read."""
        source = LocalFile(copy)
        known = SourceVersion.from_json(json.loads(json.dumps(source.version().to_json())))
        times = copy.stat()
        copy.write_bytes(bytes(times.st_size))
        os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert source.has_version(known)
        assert source.version() != known

    @pytest.mark.parametrize(
        "change",
        [
            lambda file: os.utime(file, ns=(0, 1)),
            lambda file: file.write_bytes(b"RIFF"),
            lambda file: file.rename(file.with_name("other.wav")),
        ],
    )
    def test_a_file_that_changed_is_read(self, copy, change):
        known = LocalFile(copy).version()
        change(copy)
        (file,) = copy.parent.iterdir()
        assert not LocalFile(file).has_version(known)
        found = LocalFile(file).version()
        assert found != known
        assert found.key == hashlib.sha256(file.read_bytes()).hexdigest()

    @pytest.mark.parametrize("known", [None, "x", {}, {"key": 5}, {"key": "x", "path": 1, "size": "2", "mtime_ns": []}])
    def test_a_record_that_cannot_be_read_makes_it_read(self, copy, known):
        """Whatever stands in a record, the answer is that of the bytes."""
        version = SourceVersion.from_json(known)
        assert version is None or not LocalFile(copy).has_version(version)

    def test_a_link_is_the_file_it_leads_to(self, copy):
        """A link that leads elsewhere now is another recording, though nothing about it has changed."""
        link, other = copy.with_name("link.wav"), copy.with_name("other.wav")
        link.symlink_to(copy)
        known = LocalFile(link).version()
        assert LocalFile(copy).has_version(known)
        times = copy.stat()
        other.write_bytes(bytes(times.st_size))
        os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
        link.unlink()
        link.symlink_to(other)
        assert not LocalFile(link).has_version(known)
        assert LocalFile(link).version().key != known.key


def test_the_disk_signs_nothing(copy):
    """A storage without addresses says so, rather than failing."""
    assert StoredObject(object_storage.resolve(str(copy))).presign(60) is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "missing.mp3", ["missing.mp3", "does not exist", "object storage URI"]),
        (lambda folder: folder, ["is not a file"]),
        (lambda _: NOTE / "a.mp3", ["a.mp3", "Not a directory"]),
    ],
)
@pytest.mark.parametrize("read", [probe, LocalFile.version, identify_and_probe])
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path, make, words, read):
    """The message names the value and what is wrong with it."""
    with pytest.raises(InvalidInput) as caught:
        read(locate_source(make(tmp_path)))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["missing.mp3", ""])
@pytest.mark.parametrize("read", [probe, StoredObject.version])
def test_an_object_that_is_not_there_is_refused(tmp_path, name, read):
    """An object that does not exist, or is a folder, is named."""
    with pytest.raises(InvalidInput, match=r"does not exist|is not a file"):
        read(StoredObject(object_storage.resolve(str(tmp_path / name))))


def test_only_so_much_is_fetched(tmp_path):
    """An object above the limit stays where it is."""
    source = StoredObject(object_storage.resolve(str(NOTE)))
    with pytest.raises(InvalidInput, match="at most 1,000 are fetched"):
        source.fetch(tmp_path / "copy", 1_000)
    assert source.fetch(tmp_path / "copy", 1_000_000).version().key == LocalFile(NOTE).version().key


def test_an_address_inside_the_network_is_not_read():
    """Its length is unknown, with the reason and what to set; nothing fails."""
    source = locate_source(audio_url="http://127.0.0.1:9/a.mp3?sig=verysecret")
    info = probe(source)
    assert (info.size, info.format, info.length.seconds) == (None, None, None)
    assert "allow_private_addresses" in info.length.source
    assert "verysecret" not in source.name + info.length.source
    assert source.name.startswith("http://127.0.0.1:9/a.mp3")


def test_an_address_is_the_same_recording_however_it_is_signed():
    """Its version has no signature in it, and nothing is asked for it."""
    one, other = (locate_source(f"https://example.invalid/a.mp3?id=7&X-Amz-Signature={sign}") for sign in "ab")
    assert one.version() == other.version()
    assert "Signature" not in one.version().key
