"""What a user may hand to a batch, and what becomes of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import airflow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.workflow.batch import Item, expand, look, settled
from airflow_provider_nanostt.workflow.batch.items import own_names
from tests.real_store import Shelf, requests_of


def audio_of(given: Any) -> list[str]:
    return [item.audio for item in expand(given)]


def test_a_list_of_anything_keeps_its_order(tmp_path: Path):
    """Paths, URIs, addresses and mappings, as text or not, become items in the order they stand in."""
    items = expand(
        [
            "/calls/b.wav",
            Path("/calls/a.wav"),
            " s3://aws@bucket/c.mp3",
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


def test_a_link_that_leads_back_finds_nothing_twice(tmp_path: Path):
    """Each name of a recording would be paid for; a link to a folder elsewhere is followed."""
    calls, other = tmp_path / "calls", tmp_path / "other"
    for folder in (calls / "may", other):
        folder.mkdir(parents=True)
        (folder / "a.wav").touch()
    (calls / "may" / "all").symlink_to(calls)
    (calls / "other").symlink_to(other)
    found = [str(calls / "may" / "a.wav"), str(calls / "other" / "a.wav")]
    assert audio_of(f"{calls}/**/*.wav") == found
    (tmp_path / "link").symlink_to(tmp_path)
    assert audio_of(f"{tmp_path}/link/calls/**/*.wav") == [one.replace("/calls/", "/link/calls/") for one in found]


def test_links_that_lead_to_each_other_find_nothing_twice(tmp_path: Path):
    """Neither of two folders is in the other, and yet each is below itself by way of the other."""
    for one, other in (("may", "june"), ("june", "may")):
        (tmp_path / one).mkdir()
        (tmp_path / one / other).symlink_to(tmp_path / other)
    (tmp_path / "may" / "a.wav").touch()
    names = {str(tmp_path / folder / "a.wav") for folder in ("may", "june/may")}
    assert set(audio_of(f"{tmp_path}/**/*.wav")) == names


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
        ([{"audio": "/a.wav", "name": "x"}, {"audio": "/a.wav", "name": "y"}], "there twice"),
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
        ("e[1] #2?.wav", ["e[1] #2?.wav"]),
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_pattern_finds_files_by_name(folder: Path, pattern, found, scheme):
    """Files only, in the order of their names; a file that is called like a pattern is itself."""
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


def test_a_pattern_in_a_real_store(shelf: Shelf):
    """The connection of the pattern stands in every address that it finds; odd names are kept as they are."""
    names = ["b.mp3", "a.mp3", "ü &1.mp3", "deep/c.mp3", "notes.txt"]
    for name in names:
        shelf.put(f"calls/{name}", b"x")
    assert audio_of(f"{shelf.uri}/calls/*.mp3") == [f"{shelf.uri}/calls/{name}" for name in sorted(names[:3])]
    assert len(audio_of(f"{shelf.uri}/calls/**/*.mp3")) == 4
    assert [item.is_no_match for item in expand(f"{shelf.uri}/nothing/*.mp3")] == [True]


@pytest.mark.parametrize("name", ["Talk [id].mp3", "What now?.mp3", "star*.mp3", "[d] k/a.mp3", "end.mp3 "])
def test_a_name_in_a_real_store_is_no_pattern(shelf: Shelf, name: str):
    """Also beside those that it would match."""
    for key in (name, "What nowX.mp3", "starlight.mp3", "d k/a.mp3", "end.mp3"):
        shelf.put(f"calls/{key}", b"x")
    assert [(item.audio, item.problem) for item in expand([f"{shelf.uri}/calls/{name}"])] == [
        (f"{shelf.uri}/calls/{name}", None)
    ]


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
    (item,) = expand("s3://bucket/calls/*.mp3")
    assert not item.is_no_match
    assert re.search(r"cannot be listed.*AccessDenied", str(item.problem))


NAMES = ["Talk [id].wav", "What now?.wav", "What nowX.wav", "star*.wav", "starlight.wav", "b[1].wav", "b1.wav"]
NAMES += ["[2024] k/one.wav", "[2024] k/two.wav", "end.wav ", "nl.wav\n", "tab\t.wav", "new\nline.wav"]


@pytest.fixture(params=["", "file://", "FILE://", "file://localhost", "local://", "s3://bucket"])
def place(request, tmp_path: Path, bucket) -> str:
    """A folder on the disk, by each of its addresses, or in a bucket."""
    if request.param == "local://" and airflow.__version__.startswith("2."):
        pytest.skip("Airflow 2 has no storage of this name")
    if request.param == "s3://bucket":
        for name in NAMES:
            bucket.pipe_file(f"/bucket/calls/{name}", b"x")
        return "s3://bucket/calls"
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return f"{request.param}{tmp_path}"


def names_of(items: list[Item], place: str) -> list[str]:
    return [item.audio.partition(place[place.index("/", 8 if "://" in place else 0) :] + "/")[2] for item in items]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_exists_is_that_name(place: str, name: str):
    """Byte for byte, and by itself, whatever else it would match as a pattern."""
    for text in ([f"{place}/{name}"], [{"audio": f"{place}/{name}", "name": "x"}]):
        (item,) = expand(text)
        assert item.problem is None
        assert names_of([item], place) == [name]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("What*.wav", ["What now?.wav", "What nowX.wav"]),
        ("[[]2024] k/*.wav", ["[2024] k/one.wav", "[2024] k/two.wav"]),
        ("[2024] k/*.wav", ["[2024] k/one.wav", "[2024] k/two.wav"]),
        ("[2024] k/[o]ne.wav", ["[2024] k/one.wav"]),
        ("b[1-2].wav", ["b1.wav"]),
    ],
)
def test_a_pattern_is_one_below_folders_that_look_like_patterns(place: str, pattern: str, found: list[str]):
    """A folder that exists as it is written is that folder."""
    assert names_of(expand([f"{place}/{pattern}"]), place) == found


@pytest.mark.parametrize("name", ["none*.wav", "gone [x].wav", "gone?.wav", "[d]/*.wav", "no/**/x.wav"])
def test_what_matches_nothing_is_an_item_that_says_so(place: str, name: str):
    """It is told from what could not be looked up."""
    (item,) = expand([f"{place}/{name}"])
    assert item.is_no_match
    assert "matches no recording" in str(item.problem)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("calls/*.wav", "relative pattern"),
        ("[abc].wav", "relative pattern"),
        ("unknown-storage://bucket/*.wav", "cannot be used for files|No filesystem registered"),
        (f"/calls/{'a' * 300}*.wav", "matches no recording"),
    ],
)
def test_what_cannot_be_looked_up_stops_no_other(given: str, words: str):
    """It is an item with a problem, beside the others."""
    good, bad = expand(["/calls/a.wav", given])
    assert (good.audio, good.problem) == ("/calls/a.wav", None)
    assert re.search(words, str(bad.problem))


@given(st.lists(st.text("ab*?[]/.: ", min_size=1).filter(str.strip)))
def test_nothing_that_is_given_is_lost(texts: list[str]):
    """There is at least one item for each."""
    assert len(expand([f"/nowhere/{text}" for text in texts])) >= len(texts)


def test_a_file_is_the_same_by_each_of_its_addresses(tmp_path: Path):
    """So it is paid for once."""
    file = tmp_path / "a b.wav"
    file.touch()
    same = [str(file), f"file://{tmp_path}/a%20b.wav", f"FILE://localhost{file}", f"{tmp_path}/./a b.wav"]
    assert len({item.key for item in expand([*same, f"{tmp_path}/a*"])}) == 1


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


def two_looks(audio: object, happens: Callable[[], object] = lambda: None) -> tuple[list[Item], list[Item]]:
    """Let something happen between two looks; return what is settled and what is not."""
    first = look(expand(audio))
    happens()
    return settled(expand(audio), first)


def test_what_is_still_being_written_waits_for_a_later_run(folder: Path):
    """What grows, is replaced by as many bytes, comes or goes between two looks is no item; all else is."""
    (folder / "b.wav").write_bytes(b"old")
    os.utime(folder / "old" / "c.wav", (1_000_000_000, 1_000_000_000))

    def written() -> None:
        (folder / "a.wav").write_bytes(b"growing")
        (folder / "new").write_bytes(b"new")
        (folder / "new").rename(folder / "b.wav")
        (folder / "f.wav").touch()
        (folder / "old" / "older" / "d.wav").unlink()

    items, growing = two_looks(f"{folder}/**/*.wav", written)
    assert [Path(item.audio).name for item in items] == ["e[1] #2?.wav", "c.wav"]
    assert [Path(item.audio).name for item in growing] == ["a.wav", "b.wav", "f.wav"]


def test_a_named_file_is_looked_at_twice_too(folder: Path):
    """And what cannot be looked at, or is not there, is the item that it is without."""
    named = [
        str(folder / "a.wav"),
        str(folder / "b.wav"),
        "https://example.com/d.mp3",
        "s3://aws@bucket/c.mp3",
        "/no.wav",
    ]
    items, growing = two_looks(named, lambda: (folder / "b.wav").write_bytes(b"growing"))
    assert [item.audio for item in items] == [named[0], *named[2:]]
    assert [item.audio for item in growing] == [named[1]]


def test_an_object_that_was_put_again_waits(shelf: Shelf):
    """A store shows whole objects, but a writer may put one several times; a list costs two listings."""
    for number in range(30):
        shelf.put(f"calls/{number:02d}.mp3", b"x")
    pattern = f"{shelf.uri}/calls/**/*.mp3"
    items, growing = two_looks(pattern, lambda: shelf.put("calls/07.mp3", b"xy"))
    assert (len(items), [item.audio for item in growing]) == (29, [f"{shelf.uri}/calls/07.mp3"])
    shelf.only("s3")
    with requests_of(shelf) as once:
        expand(pattern)
    with requests_of(shelf) as twice:
        two_looks(pattern)
    assert len(twice) == 2 * len(once) < 15


@pytest.mark.parametrize("way", [1, -1])
def test_a_pattern_and_the_name_of_one_of_its_objects(shelf, way):
    """What is there twice, once by a pattern, is as settled as the others, whichever comes first."""
    for name in ("a", "b"):
        shelf.put(f"calls/{name}.mp3", b"x")
    _, growing = two_looks([f"{shelf.uri}/calls/*.mp3", f"{shelf.uri}/calls/a.mp3"][::way])
    assert growing == []
