"""What a user may hand to a batch, and what becomes of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.workflow.batch import Item, expand
from airflow_provider_nanostt.workflow.batch.items import own_names
from tests.real_store import Shelf


def audio_of(given: Any) -> list[str]:
    return [item.audio for item in expand(given)]


def test_a_list_of_anything_keeps_its_order(tmp_path: Path):
    """Paths, URIs, addresses and mappings, as text or not, become items in the order they stand in."""
    items = expand(
        [
            "/calls/b.wav",
            Path("/calls/a.wav"),
            " s3://aws@bucket/c.mp3 ",
            {"audio": "https://example.com/d.mp3?v=*", "language": "es", "name": "d", "diarize": None},
        ]
    )
    assert [item.audio for item in items] == [
        "/calls/b.wav",
        "/calls/a.wav",
        "s3://aws@bucket/c.mp3",
        "https://example.com/d.mp3?v=*",
    ]
    assert (items[3].name, items[3].options) == ("d", {"language": "es"})
    assert expand({"audio": one} for one in "ab") == [Item("a"), Item("b")]


def test_one_recording_needs_no_list():
    """A single path, mapping, or anything with a path is a batch of one."""
    assert expand("/calls/a.wav") == expand(Path("/calls/a.wav")) == expand({"audio": "/calls/a.wav"})


def test_a_list_that_a_template_made_text_is_read():
    """What ``tojson`` makes of a list is that list, and what Jinja makes of it without."""
    given = ["/calls/a.wav", {"audio": "/calls/b.wav", "language": "es"}]
    assert expand(json.dumps(given)) == expand(given)
    assert expand(str(given)) == expand(given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (17, "of type int"),
        ([None], "names no recording"),
        ([{"language": "es"}], "names no recording"),
        ([""], "names no recording"),
        ([{"audio": "/a.wav", "lang": "es"}], "has lang; an item may have audio, name, model"),
        ([{"audio": "/a.wav", 3: "es"}], "has 3"),
        (["calls/*.wav"], "relative pattern"),
        ([{"audio": "/a.wav", "name": "x"}, {"audio": "/a.wav", "name": "y"}], "there twice"),
        ("unknown-storage://bucket/*.wav", "cannot be used for files|No filesystem registered"),
    ],
)
def test_other_values_are_refused_by_name(given, words):
    """Each mistake is named, before anything else happens."""
    with pytest.raises(InvalidInput, match=words):
        expand(given)


def test_a_refused_item_keeps_its_secrets():
    """The message shows an address without what signs it."""
    with pytest.raises(InvalidInput) as caught:
        expand([{"audio": "https://user:pass@example.com/a.mp3?X-Amz-Signature=0123456789abcdef", "lang": "es"}])
    assert "https://example.com/a.mp3" in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)
    assert "pass" not in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two levels of files, one of them with brackets and signs in its name."""
    for name in ("b.wav", "a.wav", "a.mp3", "old/c.wav", "old/older/d.wav", "e[1] #2?.wav"):
        file = tmp_path / "calls" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "calls" / "folder.wav").mkdir()
    return tmp_path / "calls"


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.wav", ["a.wav", "b.wav", "e[1] #2?.wav"]),
        ("?.wav", ["a.wav", "b.wav"]),
        ("[ab].*", ["a.mp3", "a.wav", "b.wav"]),
        ("**/*.wav", ["a.wav", "b.wav", "e[1] #2?.wav", "old/c.wav", "old/older/d.wav"]),
        ("old/*", ["old/c.wav"]),
        ("*.ogg", []),
        ("e[1] #2?.wav", ["e[1] #2?.wav"]),
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_pattern_finds_files_by_name(folder: Path, pattern, found, scheme):
    """Files only, in the order of their names; a file that is called like a pattern is itself."""
    if scheme and pattern.startswith("e["):
        pytest.skip("as an address it is a pattern")
    assert audio_of(f"{scheme}{folder}/{pattern}") == [str(folder / name) for name in found]


def test_a_pattern_in_a_bucket(bucket):
    """What is found is named with the bucket, so that it is read through the same connection."""
    for key in ("calls/2/b.mp3", "calls/2/a.mp3", "calls/2/a.txt", "calls/3/c.mp3"):
        bucket.pipe_file(f"/bucket/{key}", b"x")
    assert audio_of("s3://bucket/calls/2/*.mp3") == ["s3://bucket/calls/2/a.mp3", "s3://bucket/calls/2/b.mp3"]
    assert audio_of("s3://bucket/calls/**/*.mp3") == [
        "s3://bucket/calls/2/a.mp3",
        "s3://bucket/calls/2/b.mp3",
        "s3://bucket/calls/3/c.mp3",
    ]
    assert audio_of("s3://bucket/none/*.mp3") == []


def test_a_pattern_in_a_real_store(shelf: Shelf):
    """The connection of the pattern stands in every address that it finds; odd names are kept as they are."""
    names = ["b.mp3", "a.mp3", "ü &1.mp3", "deep/c.mp3", "notes.txt"]
    for name in names:
        shelf.put(f"calls/{name}", b"x")
    assert audio_of(f"{shelf.uri}/calls/*.mp3") == [f"{shelf.uri}/calls/{name}" for name in sorted(names[:3])]
    assert len(audio_of(f"{shelf.uri}/calls/**/*.mp3")) == 4
    assert audio_of(f"{shelf.uri}/nothing/*.mp3") == []


def test_a_pattern_s_items_share_its_options(folder: Path):
    """What is said of a pattern is said of all that it finds, but they cannot share one name."""
    items = expand({"audio": f"{folder}/[ab].wav", "language": "es"})
    assert [item.options for item in items] == [{"language": "es"}] * 2
    with pytest.raises(InvalidInput, match="cannot all be named"):
        expand({"audio": f"{folder}/[ab].wav", "name": "x"})


def test_a_storage_that_cannot_be_listed_is_no_empty_folder(bucket, monkeypatch):
    """A broken night is an error, an empty one is not."""

    def broken(*_: Any, **__: Any) -> None:
        raise PermissionError("AccessDenied")

    monkeypatch.setattr(bucket, "glob", broken)
    with pytest.raises(InvalidInput, match=r"cannot be listed.*AccessDenied"):
        expand("s3://bucket/calls/*.mp3")


def test_names_that_are_no_text_stay_apart():
    """Two that differ in such a byte are shown as two, as text that can be stored."""
    shown = [Item(os.fsdecode(b"/calls/mod%c.wav" % byte)).shown.encode().decode() for byte in b"\x85\x86"]
    assert shown == [r"/calls/mod\udc85.wav", r"/calls/mod\udc86.wav"]


def test_what_the_ledger_knows_an_item_by():
    """Signatures, names and renamed speakers do not make another job; another language of its own does."""
    url = "https://bucket.example/a.mp3?versionId=3"
    key = Item(url).key
    assert Item(f"{url}&X-Amz-Signature=abcdefgh").key == key
    assert Item(url, "other", {"speaker_names": {"Speaker 1": "Agent"}, "actual_duration": 3}).key == key
    assert Item("https://bucket.example/a.mp3?versionId=4").key != key
    assert len({Item(url, None, {"language": language}).key for language in ("es", "en", "auto")}) == 3


def test_equal_names_become_different_ones_whatever_their_order():
    """Recordings of the same name get a few characters that belong to them; others keep their names."""
    items = expand(["/a/call.wav", "/b/CALL.mp3", "/a/note.wav", {"audio": "/c/x.wav", "name": "{odd}"}])
    named = [own.get("filename") for own in own_names(items, "{name}")]
    assert named[2:] == [None, "{{odd}}"]
    assert named[0] != named[1]
    backwards = [own.get("filename") for own in own_names(items[::-1], "{name}")]
    assert backwards[::-1] == named
    assert own_names([*items, items[0]], "{name}")[:4] == own_names(items, "{name}")
