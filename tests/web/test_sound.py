"""Playing a recording in the tab: an address signed at the click, for what the task's own arguments name only."""

from __future__ import annotations

import html
import json
import re
import urllib.request
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.conftest import TEXT
from tests.web.conftest import changed

pytest.importorskip("s3fs")
pytest.importorskip("airflow.providers.amazon")
pytestmark = pytest.mark.airflow

AUDIO = "s3://sound@calls/2026/note.wav"


@pytest.fixture(autouse=True)
def connection(monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_SOUND",
        json.dumps(
            {
                "conn_type": "aws",
                "login": "AKIAEXAMPLE",
                "password": "a-secret-of-the-storage",
                "extra": {"endpoint_url": "http://127.0.0.1:9", "region_name": "eu-west-1"},
            }
        ),
    )


def sound(answer) -> str | None:
    found = re.search(r'<audio[^>]* src="([^"]+)"', answer.text)
    return found and html.unescape(found[1])


def test_a_click_gets_an_address_that_is_good_for_minutes(viewer, ran):
    """The frame offers it, the page has none until it is asked for, and each click has a new one."""
    with changed("derived", rendered={"audio": AUDIO}):
        frame = viewer.get(ran.path("derived", "/view")).text
        assert 'href="page?sound=1"' in frame
        assert "X-Amz" not in frame
        assert sound(viewer.get(ran.path("derived", "/page"))) is None
        shown = viewer.get(ran.path("derived", "/page"), params={"sound": "1"})
    url = urlsplit(sound(shown))
    assert url.path == "/calls/2026/note.wav"
    assert parse_qs(url.query)["X-Amz-Expires"] == ["1800"]
    assert "a-secret-of-the-storage" not in shown.text
    assert shown.headers["cache-control"] == "no-store"
    assert "data-w=" in shown.text  # a click on a word plays from there


def test_a_recording_on_a_disk_or_in_the_web_has_no_sound(viewer, ran):
    """There is no address to be signed; what is in the web may not be there for this reader."""
    for audio in ("/data/note.wav", "file:///data/note.wav", "https://example.com/note.wav", "", None, 3):
        with changed("derived", rendered={"audio": audio}):
            assert "sound=1" not in viewer.get(ran.path("derived", "/view")).text
            assert sound(viewer.get(ran.path("derived", "/page"), params={"sound": "1"})) is None


@pytest.mark.parametrize(
    ("argument", "recording", "is_named"),
    [
        (["s3://sound@calls/a.wav"], "s3://sound@calls/a.wav", True),
        ("s3://sound@calls/in/**/*.wav", "s3://sound@calls/in/2026/a.wav", True),
        ([{"audio": "s3://sound@calls/a.wav", "name": "A"}], "s3://sound@calls/a.wav", True),
        ('["s3://sound@calls/a.wav"]', "s3://sound@calls/a.wav", True),
        (["s3://sound@calls/a.wav"], "s3://sound@calls/b.wav", False),
        ("s3://sound@calls/in/*.wav", "s3://sound@calls/in-secret/a.wav", False),
        ("s3://sound@calls/in/*.wav", "s3://sound@calls/in/../secret/a.wav", False),
        ("s3://sound@calls/in/*.wav", "s3://sound@secret/in/a.wav", False),
        ("s3://sound@calls/in/*.wav", "s3://other@calls/in/a.wav", False),
        ("s3://*/a.wav", "s3://sound@secret/a.wav", False),
        ("s3://sound@calls/in/*.wav", "javascript:alert(1)", False),
        ("/data/*.wav", "/data/a.wav", False),
    ],
)
def test_a_row_has_sound_if_the_tasks_arguments_name_its_recording(viewer, ran, argument, recording, is_named):
    """A manifest may be changed by whoever writes into the folder; what only it names is not signed."""
    manifest = ran.out / "batch" / "manifest.jsonl"
    before = manifest.read_bytes()
    rows = [json.loads(line) for line in before.splitlines()]
    rows[0]["audio"] = recording
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    try:
        with changed("batch", rendered={"audio": argument}):
            assert ("sound=1" in viewer.get(ran.path("batch", "/row/0")).text) is is_named
            shown = viewer.get(ran.path("batch", "/row/0/page"), params={"sound": "1"})
    finally:
        manifest.write_bytes(before)
    assert (sound(shown) is not None) is is_named
    assert TEXT in shown.text
    assert ("X-Amz" in shown.text) is is_named


def test_a_connection_that_is_missing_is_not_asked_for(viewer, ran):
    """Without a connection the real cloud would be asked."""
    with changed("derived", rendered={"audio": "s3://nowhere@calls/note.wav"}):
        shown = viewer.get(ran.path("derived", "/page"), params={"sound": "1"})
    assert shown.status_code == 404
    assert "same connection" in shown.text


def test_the_address_plays_from_a_real_store(viewer, ran, shelf):
    """Whoever has it gets the bytes, and pieces of them, as a player asks."""
    shelf.only("s3")
    recording = shelf.put("note.wav", b"RIFF" + bytes(1000))
    with changed("derived", rendered={"audio": recording}):
        url = sound(viewer.get(ran.path("derived", "/page"), params={"sound": "1"}))
    request = urllib.request.Request(url, headers={"Range": "bytes=0-3"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert (answer.status, answer.read()) == (206, b"RIFF")


def test_files_in_a_real_store_are_read_through_its_connection(viewer, ran, shelf):
    """The page of a task whose results are in object storage."""
    shelf.only("s3")
    (file,) = (ran.out / "derived").glob("*.json")
    uri = shelf.put(file.name, file.read_bytes())
    folder = uri.rpartition("/")[0]
    with changed("derived", rendered={"output_path": folder}, return_value={"files": {"json": uri}}):
        assert TEXT in viewer.get(ran.path("derived", "/view")).text
    for other in (uri.replace("@", "x@"), uri.replace(folder, f"{folder}/.."), uri.replace("s3://", "s3a://")):
        with changed("derived", rendered={"output_path": folder}, return_value={"files": {"json": other}}):
            assert viewer.get(ran.path("derived", "/view")).status_code == 404
