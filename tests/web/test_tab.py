"""What the tab shows of tasks that have run in a real Airflow, and to whom."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_nanostt import _compat, links
from airflow_provider_nanostt._compat import ObjectStoragePath
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.ledger import TaskIdentity
from airflow_provider_nanostt.polling import describe_wait
from airflow_provider_nanostt.web.pages import waiting_page
from airflow_provider_nanostt.web.views import Waiting
from tests.conftest import TEXT
from tests.web.conftest import DAG_ID, changed

pytestmark = pytest.mark.airflow

ROUTES = ["", "/view", "/failed", "/table", "/page", "/page?sound=1", "/row/0", "/row/0/page", "/row/0/page?sound=1"]


@pytest.mark.parametrize(("task_id", "rest"), [("one", "/view"), ("derived", "/view"), ("batch", "/row/1/page")])
def test_a_recording_is_shown_as_its_page(viewer, ran, task_id, rest):
    """A single one, one of a class derived from ours, and one of a batch: the whole text, and nothing else to load."""
    shown = viewer.get(ran.path(task_id, rest))
    assert shown.status_code == 200
    assert TEXT in shown.text
    assert "note" in shown.text or "call" in shown.text


@pytest.mark.skipif(not _compat.HAS_TABS, reason="this Airflow has no tabs")
def test_of_many_jobs_that_are_waited_for_a_dozen_are_named_and_the_rest_are_counted():
    """XCom has the first of their run ids, and how many jobs there are."""
    from airflow_provider_nanostt.web.show import view_of
    from airflow_provider_nanostt.web.tasks import Task

    jobs = [Job(f"stt_{number}", "Elevenlabs-STT", submitted_at=1.0) for number in range(1_200)]
    identity = TaskIdentity("dag", "batch", "run", -1)
    task = Task(identity, identity, "deferred", is_ours=True, xcom={"waiting": describe_wait(jobs, items=1_200)})
    found = view_of(task)
    assert isinstance(found, Waiting)
    shown = waiting_page(found, "nonce")
    assert "stt_11<" in shown
    assert "stt_12<" not in shown
    assert "and 1,188 more" in shown


def test_each_instance_of_a_mapped_task_has_its_own(viewer, ran):
    """The page is that of the map index in the path."""
    first, second = (viewer.get(ran.path("each", "/view", map_index=number)).text for number in (0, 1))
    assert "<title>note.wav</title>" in first
    assert "<title>call.wav</title>" in second


@contextmanager
def replaced(file: Path, data: bytes) -> Iterator[None]:
    """Another file in its place while the block lasts."""
    before = file.read_bytes()
    file.write_bytes(data)
    try:
        yield
    finally:
        file.write_bytes(before)


def test_files_of_other_formats_are_in_the_page_as_they_were_written(viewer, ran):
    """Downloads are the files themselves, as long as nobody has changed them."""
    (text,) = (ran.out / "one").glob("note*.txt")
    assert 'data-get="note.txt"' in viewer.get(ran.path("one", "/page")).text
    with replaced(text, b"another text"):
        assert 'data-get="note.txt"' not in viewer.get(ran.path("one", "/page")).text


def test_the_page_is_made_of_the_json_file_and_never_read(viewer, ran):
    """What somebody has put into the HTML file is not shown."""
    (html,) = (ran.out / "one").glob("note*.html")
    with replaced(html, b"<script>alert(1)</script>"):
        assert "alert(1)" not in viewer.get(ran.path("one", "/view")).text


@pytest.mark.parametrize(("name", "suffix"), [("srt", ".srt"), ("whisperx", ".whisperx.json")])
def test_a_task_that_asked_for_another_format_only_has_its_page(viewer, ran, name, suffix):
    """The JSON file is there whatever formats were asked for."""
    (file,) = (ran.out / "derived").glob("*.json")
    with changed("derived", return_value={"files": {name: str(ObjectStoragePath(str(file.with_suffix(suffix))))}}):
        assert TEXT in viewer.get(ran.path("derived", "/view")).text


def test_what_is_to_be_looked_at_is_marked_as_the_file_says(viewer, ran):
    """The page in the tab is made anew, with the figure that the task was given; without one nothing is marked."""
    (file,) = (ran.out / "derived").glob("*.json")
    document = json.loads(file.read_bytes())
    for word in document["words"]:
        word["confidence"] = 0.3 if word["text"] == "parcels" else 0.9
    for below, marks in ((None, 0), ("often", 0), (0.6, 1)):
        with replaced(file, json.dumps({**document, "confidence": 0.8, "review_below": below}).encode()):
            page = viewer.get(ran.path("derived", "/page")).text
        assert page.count("<mark") == marks


def test_a_folder_may_be_given_as_a_path_object(viewer, ran):
    """Airflow records such an argument in parts."""
    with changed("derived", rendered={"output_path": {"path": f"{ran.out}/derived", "conn_id": None, "kwargs": {}}}):
        assert TEXT in viewer.get(ran.path("derived", "/view")).text


@pytest.mark.parametrize("task_id", ["batch", "skips"])
def test_a_batch_is_shown_as_a_table_whose_rows_open(viewer, ran, task_id):
    """Each row leads to a frame with the way back, and that to the page."""
    shown = viewer.get(ran.path(task_id, "/view"))
    rows = re.findall(r'href="(row/\d+)', shown.text)
    assert rows
    for row in rows:
        frame = viewer.get(ran.path(task_id, f"/{row}"))
        assert 'href="../table"' in frame.text
        inside = re.search(r'data-address="([^"]+)"', frame.text)
        assert TEXT in viewer.get(ran.path(task_id, f"/row/{inside[1]}")).text


def test_a_failed_batch_has_its_table_beside_what_to_do(viewer, ran):
    """What failed says why, what did not is there."""
    frame = viewer.get(ran.path("half", "/view")).text
    assert re.findall(r'href="(failed|table)"', frame) == ["failed", "table"]
    assert "failed" in viewer.get(ran.path("half", "/failed")).text
    assert TEXT in viewer.get(ran.path("half", "/row/0/page")).text
    assert "missing.wav" in viewer.get(ran.path("half", "/row/1/page")).text


def test_a_failed_task_says_what_to_do(viewer, ran):
    """The next step that the log has, too."""
    assert "clear the task" in viewer.get(ran.path("fails", "/view")).text


@pytest.mark.parametrize("state", ["deferred", "running", "queued", "scheduled", None])
def test_a_task_that_waits_says_for_what_and_follows_it(viewer, ran, state):
    """The run id, the model and where the record is; the page asks again by itself."""
    (file,) = (ran.out / "derived").glob("*.json")
    run_id = json.loads(file.read_text())["run_id"]
    with changed("derived", state=state):
        shown = viewer.get(ran.path("derived", "/view"))
    assert re.search(r'id="refresh" data-seconds="\d+"', shown.text)
    assert "refresh" not in shown.headers  # a person may stop it
    assert run_id in shown.text
    assert "Elevenlabs-STT" in shown.text
    assert str(ran.out / "derived" / ".nanostt") in shown.text


def test_a_task_that_has_not_submitted_says_so_and_follows_it(viewer, ran):
    """A line, until there is more."""
    with changed("fails", state="running"):
        shown = viewer.get(ran.path("fails", "/view"))
    assert shown.headers["refresh"] == "10"
    assert "Nothing has been submitted yet" in shown.text


def test_a_task_without_files_shows_its_text(viewer, ran):
    """From XCom, escaped."""
    assert TEXT in viewer.get(ran.path("text", "/view")).text
    with changed("text", return_value={"transcription": "<script>alert(1)</script>"}):
        assert "<script>alert" not in viewer.get(ran.path("text", "/view")).text


def test_a_task_of_others_has_one_quiet_line(viewer, ran):
    """Whatever it has returned."""
    shown = viewer.get(ran.path("foreign", "/view"))
    assert shown.status_code == 200
    assert "This task makes no transcript." in shown.text
    assert "alert" not in shown.text


def test_a_page_that_is_not_there_says_why(viewer, ran):
    """The API server may be another machine than the worker."""
    (file,) = (ran.out / "derived").glob("*.json")
    away = file.rename(file.with_suffix(".away"))
    try:
        shown = viewer.get(ran.path("derived", "/view"))
    finally:
        away.rename(file)
    assert shown.status_code == 404
    assert "not on this machine" in shown.text


def test_old_runs_whose_arguments_airflow_has_forgotten_say_so(viewer, ran):
    """Airflow keeps them for the last runs only."""
    with changed("derived", rendered=None):
        assert "num_dag_runs_to_retain_rendered_fields" in viewer.get(ran.path("derived", "/view")).text


@pytest.mark.parametrize("theme", ["dark", "light", ""])
@pytest.mark.parametrize(("task_id", "rest"), [("one", "/page"), ("batch", "/table"), ("fails", "/view")])
def test_what_is_shown_has_the_theme_that_the_frame_asks_for(viewer, ran, task_id, rest, theme):
    """The frame knows Airflow's; what is in it cannot look."""
    shown = viewer.get(ran.path(task_id, rest), params={"theme": theme}).text
    assert re.findall(r'<html[^>]*data-theme="(dark|light)"', shown) == ([theme] if theme else [])


def test_the_frame_names_only_addresses_of_its_own(viewer, ran):
    """Relative ones, so that Airflow may be below another path; and no text of anybody."""
    frame = viewer.get(ran.path("one")).text
    assert re.findall(r'(?:href|src|data-address)="([^"]*)"', frame) == ["-1/view"]


def test_the_link_of_a_task_leads_to_the_tab(viewer, ran):
    """Airflow's own API gives it; without a slash in front, so that it works below another path."""
    told = viewer.get(f"/api/v2/dags/{DAG_ID}/dagRuns/{ran.run_id}/taskInstances/one/links")
    address = links.tab_of(DAG_ID, ran.run_id, "one")
    assert told.json()["extra_links"] == {"Transcript": address}
    assert not address.startswith("/")


def test_results_in_any_form_do_not_break_it(viewer, ran):
    """XCom may hold anything."""
    for value in ([], "text", 3, {"files": 3}, {"files": {"json": 3}}, {"manifest": []}, '{"files"', {"files": {}}):
        with changed("derived", return_value=value):
            shown = viewer.get(ran.path("derived", "/view"))
        assert shown.status_code in (200, 404), value
        assert "<html" in shown.text, value


@pytest.mark.parametrize("rest", ROUTES)
def test_nobody_sees_anything_without_logging_in(client, ran, rest):
    """401 for every address, in HTML, whether there is such a task or not."""
    for path in (ran.path("batch", rest), ran.path("none", rest), ran.path("batch", rest, run_id="none")):
        shown = client(None).get(path, follow_redirects=False)
        assert shown.status_code == 401
        assert shown.headers["content-type"].startswith("text/html")
        assert "Log in" in shown.text


@pytest.mark.parametrize("rest", ROUTES)
def test_no_right_and_no_such_task_are_answered_alike(client, ran, rest):
    """The same status and the same words, so that nobody learns which DAGs, runs and tasks there are."""
    refused = client("nobody").get(ran.path("batch", rest))
    dag = ran.path("batch", rest).replace("/tab/tab/", "/tab/none/")
    for path in (ran.path("none", rest), ran.path("batch", rest, run_id="none"), dag):
        absent = client("viewer").get(path)
        assert (absent.status_code, _words(absent)) == (refused.status_code, _words(refused)) == (404, _words(refused))
        assert client("nobody").get(path).status_code == 404


@pytest.mark.parametrize("name", ["viewer", "admin"])
def test_who_may_read_the_dag_sees_it(client, ran, name):
    """Viewer and admin, every part of it."""
    for task_id, rest in (("one", "/view"), ("batch", "/table"), ("batch", "/row/0/page"), ("text", "/view")):
        assert client(name).get(ran.path(task_id, rest)).status_code == 200


def test_a_forged_token_opens_nothing(client, ran):
    """A cookie that Airflow has not signed is no user."""
    browser = client(None)
    browser.cookies.set("_token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsInJvbGUiOiJBRE1JTiJ9.")
    assert browser.get(ran.path("one", "/view"), follow_redirects=False).status_code in (401, 404)


def test_nothing_can_be_sent(client, ran):
    """Every address can be read, and that is all."""
    for rest in ROUTES:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            shown = client("admin").request(method, ran.path("batch", rest))
            assert shown.status_code in (404, 405)


def test_no_answer_is_kept_or_sets_a_cookie(client, ran):
    """Neither a browser nor a proxy keeps it; there is no state in cookies."""
    for task_id, rest in (("one", ""), ("one", "/view"), ("batch", "/table"), ("fails", "/view"), ("none", "/view")):
        shown = client("viewer").get(ran.path(task_id, rest))
        assert shown.headers["cache-control"] == "no-store"
        assert shown.headers["x-content-type-options"] == "nosniff"
        assert shown.headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in shown.headers


def test_a_team_sees_its_own_dags_only(client, ran, monkeypatch):
    """The right is asked for with the DAG's team, where Airflow has teams."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.models.dag import DagModel

    if not hasattr(DagModel, "get_team_name"):
        pytest.skip("this Airflow has no teams")
    asked = []
    manager = type(get_auth_manager())
    original = manager.is_authorized_dag

    def noted(self, *, details=None, **named):
        asked.append(
            (getattr(details, "id", None), getattr(details, "team_name", "none"), named["access_entity"].value)
        )
        return original(self, details=details, **named)

    monkeypatch.setattr(manager, "is_authorized_dag", noted)
    monkeypatch.setattr(DagModel, "get_team_name", staticmethod(lambda dag_id, **_: f"team of {dag_id}"))
    client("viewer").get(ran.path("one", "/view"))
    assert asked == [("tab", "team of tab", "XCOM")]


def _words(answer):
    """Return an answer without what is made anew each time."""
    policy = answer.headers["content-security-policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    return answer.text.replace(nonce, "") if nonce else answer.text
