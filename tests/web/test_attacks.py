"""What the tab refuses to open or sign, whatever XCom, a manifest or an address says; and what its pages cannot do.

Playing is here, too: an address is signed at the click, for what the task's own arguments name only.
"""

from __future__ import annotations

import html
import json
import os
import re
import urllib.request
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from airflow_provider_nanostt._compat import ObjectStoragePath
from tests.conftest import TEXT
from tests.web.conftest import changed

pytestmark = pytest.mark.airflow

SECRET = "the salaries of everybody"


@pytest.fixture
def own(ran):
    """The folder of the task ``derived``, and its JSON file."""
    (file,) = (ran.out / "derived").glob("*.json")
    return file


@pytest.fixture
def outside(own, tmp_path):
    """A transcript that nobody may read by way of this task, though it is one of ours."""
    document = json.loads(own.read_text())
    file = tmp_path / own.name
    file.write_text(json.dumps({**document, "text": SECRET, "segments": [], "words": []}))
    return file


def refused(viewer, ran, uri, **rendered):
    """Ask for the page of a task whose XCom names a file, and see that nothing of it is shown."""
    result = {"files": {"json": uri, "html": uri}}
    with changed("derived", return_value=result, **({"rendered": rendered} if rendered else {})):
        for rest in ("/view", "/page"):
            shown = viewer.get(ran.path("derived", rest))
            assert shown.status_code == 404, uri
            assert SECRET not in shown.text
            assert TEXT not in shown.text
            assert "root:" not in shown.text
            assert not uri or str(uri) not in shown.text


@pytest.mark.parametrize(
    "uri",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "/etc/passwd.json",
        "{out}/../../etc/passwd",
        "{own}/../{name}",
        "{own}/./{name}",
        "{own}//{name}",
        "{own}/sub/../{name}",
        "{own}/..%2f..%2fetc%2fpasswd",
        "{own}/%2e%2e/{name}",
        "{own}/..%2f{name}",
        "{own}/..\\{name}",
        "{own}/{name}%00.json",
        "{own}/{name}?versionId=1",
        "{own}/{name}#x",
        "{own}/.json",
        "{own}/",
        "{own}",
        "{name}",
        "../{name}",
        "s3://other@bucket/{name}",
        "s3://bucket/{name}",
        "gs://bucket/{name}",
        "http://169.254.169.254/{name}",
        "https://example.com/{name}",
        "javascript:alert(1)//{name}",
        "data:text/html,{name}",
        "memory://{name}",
        "simplecache::file://{own}/{name}",
        "{own}-evil/{name}",
        "{own}/.nanostt/record.json",
        "",
    ],
)
def test_a_changed_xcom_opens_no_other_file(viewer, ran, own, uri):
    """Only the file directly in the task's own folder, spelled as the task spells it."""
    refused(viewer, ran, uri.format(out=ran.out, own=own.parent, name=own.name))


def test_a_transcript_elsewhere_is_refused(viewer, ran, outside):
    """Though it is one, and of this very task by its own word."""
    refused(viewer, ran, str(ObjectStoragePath(str(outside))))


def test_a_transcript_of_another_task_in_the_same_folder_is_refused(viewer, ran):
    """Two DAGs may share a folder and not share readers."""
    files = {json.loads(file.read_text())["source"]: file for file in (ran.out / "one").glob("*.json")}
    (other,) = (file for source, file in files.items() if "call" in source)
    with changed("one", return_value={"files": {"json": str(ObjectStoragePath(str(other)))}}):
        shown = viewer.get(ran.path("one", "/page"))
    assert shown.status_code == 404
    assert TEXT not in shown.text


@pytest.mark.parametrize(
    "kind", ["link", "link to a folder", "pipe", "folder", "large", "not ours", "deep", "future", "odd"]
)
def test_what_is_no_transcript_file_is_refused(viewer, ran, own, outside, kind, tmp_path):
    """Links, pipes, folders, what is too large, what is not our document: no byte of it, and no hanging."""
    kept = own.rename(own.with_suffix(".kept"))
    try:
        if kind == "link":
            own.symlink_to(outside)
        elif kind == "link to a folder":
            own.symlink_to(tmp_path)
        elif kind == "pipe":
            os.mkfifo(own)
        elif kind == "folder":
            own.mkdir()
        elif kind == "large":
            with own.open("wb") as file:
                file.truncate(200 * 1024 * 1024)
        elif kind == "not ours":
            own.write_text(json.dumps({"root:": SECRET}))
        elif kind == "deep":
            own.write_text("[" * 100_000)
        else:
            odd = {"version": 99} if kind == "future" else {"written_by": [SECRET]}
            own.write_text(json.dumps({**json.loads(kept.read_text()), **odd}))
        shown = viewer.get(ran.path("derived", "/view"))
        assert shown.status_code == 404
        assert SECRET not in shown.text
        assert TEXT not in shown.text
    finally:
        own.rmdir() if kind == "folder" else own.unlink()
        kept.rename(own)


@pytest.mark.parametrize(
    "output_path",
    [
        "http://127.0.0.1:9/x",
        "https://example.com/x",
        "memory://x",
        "simplecache::file:///etc",
        "zip://x::file:///etc/x.zip",
        "relative/folder",
        "javascript:alert(1)",
        "s3://no_such_connection@bucket/x",
        "***",
        "",
        "None",
        "/etc/../etc",
        ["/etc"],
        3,
        {"path": "http://127.0.0.1:9/x", "conn_id": None},
        {"path": "s3://bucket/x", "conn_id": "no_such_connection"},
        {"path": 3},
    ],
)
def test_a_place_that_is_no_storage_of_ours_is_not_asked(viewer, ran, output_path):
    """No address of the web, no chain of file systems, and no cloud without its connection."""
    with changed("derived", rendered={"output_path": output_path}):
        shown = viewer.get(ran.path("derived", "/view"))
    assert shown.status_code == 404
    assert TEXT not in shown.text


@pytest.mark.parametrize(
    "uri",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "{batch}/../skips/list.jsonl",
        "{out}/skips/list.jsonl",
        "{batch}/other.jsonl",
        "{batch}/manifest.json",
        "s3://other@bucket/manifest.jsonl",
        "javascript:alert(1)//manifest.jsonl",
    ],
)
def test_a_changed_xcom_opens_no_other_manifest(viewer, ran, uri):
    """Only the one that the task's own arguments name."""
    (ran.out / "batch" / "other.jsonl").write_bytes((ran.out / "batch" / "manifest.jsonl").read_bytes())
    with changed("batch", return_value={"manifest": {"jsonl": uri.format(batch=ran.out / "batch", out=ran.out)}}):
        for rest in ("/view", "/table", "/row/0", "/row/0/page"):
            shown = viewer.get(ran.path("batch", rest))
            assert shown.status_code == 404
            assert TEXT not in shown.text


def test_a_changed_manifest_opens_no_other_file(viewer, ran, outside):
    """A row's file is one that this batch has written for this row, directly in its folder."""
    manifest = ran.out / "batch" / "manifest.jsonl"
    before = manifest.read_bytes()
    rows = [json.loads(line) for line in before.splitlines()]
    (stranger,) = (ran.out / "derived").glob("*.json")
    copied = ran.out / "batch" / "copied.json"
    copied.write_bytes(stranger.read_bytes())
    places = ["/etc/passwd", "file:///etc/passwd", str(outside), "javascript:alert(1)", f"{ran.out}/batch/../x.json"]
    try:
        for place in [*places, str(stranger), str(ObjectStoragePath(str(copied)))]:
            rows[0]["files"] = {"json": place}
            manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
            shown = viewer.get(ran.path("batch", "/row/0/page"))
            assert shown.status_code == 404, place
            assert SECRET not in shown.text
            assert TEXT not in shown.text
    finally:
        manifest.write_bytes(before)
        copied.unlink()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]\n", b"null\n", b'{"number": 0}\n', b"\xff\xfe", b"[" * 50_000])
def test_a_broken_manifest_is_no_error_of_the_server(viewer, ran, content):
    """A line that says so, or an empty table."""
    manifest = ran.out / "batch" / "manifest.jsonl"
    before = manifest.read_bytes()
    manifest.write_bytes(content)
    try:
        assert viewer.get(ran.path("batch", "/table")).status_code in (200, 404)
        assert viewer.get(ran.path("batch", "/row/0")).status_code == 404
    finally:
        manifest.write_bytes(before)


@pytest.mark.parametrize("number", ["-1", "99", "1e3", "x", "0x1", "..", "%2e%2e", "1/../../0", "9" * 40, "¹"])
def test_a_row_is_a_number_of_the_manifest(viewer, ran, number):
    """Nothing else is a row."""
    assert viewer.get(ran.path("batch", f"/row/{number}/page")).status_code == 404


@pytest.mark.parametrize(
    "part", ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "a%00b", "'; DROP TABLE dag; --", "<script>"]
)
def test_odd_addresses_are_answered_like_any_that_is_not_there(viewer, ran, part):
    """As the DAG, the run, the task or the map index."""
    known = ["tab", ran.run_id, "one", "-1"]
    for place in range(3):
        parts = [*known[:place], part, *known[place + 1 :]]
        path = "/nanostt/tab/" + "/".join(one if "%" in one else quote(one, safe=":+.") for one in parts) + "/view"
        shown = viewer.get(path)
        assert shown.status_code == 404
        assert "<script>" not in shown.text


@pytest.mark.parametrize("theme", ['"><script>alert(1)</script>', "dark' onload='x", "a" * 10_000])
@pytest.mark.parametrize(
    ("task_id", "rest"), [("one", "/page"), ("batch", "/table"), ("none", "/view"), ("text", "/view")]
)
def test_a_query_cannot_write_into_the_page(viewer, ran, task_id, rest, theme):
    """Neither as the theme nor as what a table is searched for."""
    for name in ("theme", "status", "text", "sort", "page", "descending"):
        shown = viewer.get(ran.path(task_id, rest), params={name: theme})
        assert "<script>alert" not in shown.text
        assert "onload='x" not in shown.text


def test_transcripts_have_no_origin_and_load_nothing(viewer, ran):
    """An escape that was forgotten would run without Airflow's cookie, and could send nothing away."""
    for task_id, rest in (("one", "/page"), ("batch", "/row/0/page"), ("text", "/view")):
        policy = _policy(viewer.get(ran.path(task_id, rest)))
        assert policy["sandbox"] == "allow-scripts allow-downloads"
        assert policy["default-src"] == "'none'"
        assert policy["form-action"] in ("'none'", "'self'")
        assert policy["base-uri"] == "'none'"
        assert "connect-src" not in policy
        assert "img-src" not in policy


def test_pages_with_airflows_origin_run_only_their_own_script(viewer, ran):
    """By a number that is used once, and changes with every answer."""
    seen = set()
    for task_id, rest in (
        ("one", ""),
        ("batch", "/table"),
        ("batch", "/row/0"),
        ("fails", "/view"),
        ("foreign", "/view"),
    ):
        for _ in range(2):
            shown = viewer.get(ran.path(task_id, rest))
            policy = _policy(shown)
            assert policy["default-src"] == "'none'"
            assert policy["frame-ancestors"] == "'self'"
            assert "unsafe" not in shown.headers["content-security-policy"]
            nonce = re.fullmatch(r"'nonce-([\w-]{20,})'", policy["script-src"])
            seen.add(nonce[1])
            assert all(f'nonce="{nonce[1]}"' in tag for tag in re.findall(r"<script[^>]*>|<style[^>]*>", shown.text))
    assert len(seen) == 10


def _policy(answer):
    parts = (part.strip().partition(" ") for part in answer.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in parts}


AUDIO = "s3://sound@calls/2026/note.wav"


@pytest.fixture
def connection(monkeypatch):
    """A storage that signs addresses; nothing answers there."""
    pytest.importorskip("s3fs")
    pytest.importorskip("airflow.providers.amazon")
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


def test_a_click_gets_an_address_that_is_good_for_minutes(viewer, ran, connection):
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
        ("['s3://sound@calls/a.wav']", "s3://sound@calls/a.wav", True),
        ("['s3://sound@calls/a.wav', ...", "s3://sound@calls/a.wav", False),
        ([{"path": "s3://calls/a.wav", "conn_id": "sound", "kwargs": {}}], "s3://sound@calls/a.wav", True),
        ([{"path": "s3://sound@calls/a.wav", "conn_id": "sound"}], "s3://sound@calls/a.wav", True),
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
def test_a_row_has_sound_if_the_tasks_arguments_name_its_recording(
    viewer, ran, connection, argument, recording, is_named
):
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


def test_a_connection_that_is_missing_is_not_asked_for(viewer, ran, connection):
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
