"""The example DAGs: each is read without an error on every Airflow 3, and runs through the emulator to its end."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import airflow
import pytest

from airflow_provider_nanostt._compat import can_ask_people
from airflow_provider_nanostt.emulator import Emulator

pytest.importorskip("airflow.sdk", reason="the examples are written for Airflow 3")
pytestmark = pytest.mark.airflow

EXAMPLES = Path(__file__).parents[1] / "example_dags"
FILES = sorted(EXAMPLES.glob("example_*.py"))
VIDEO = "https://www.youtube.com/watch?v=the-parcels"
HAS_WATCHERS = not airflow.__version__.startswith("3.0.")
HAS_DUCKDB = importlib.util.find_spec("duckdb") is not None
TEXT = "Good morning, the parcels have arrived."
NEEDS_A_PERSON = "example_approve"  # which nobody answers here; the end-to-end tests do

# Every DAG of the folder in one process: starting Airflow takes longer than all of them.
RUN = """
import json, sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before 3.2
    from airflow.models.dagbag import DagBag
from airflow_provider_nanostt import triggers
from airflow_provider_nanostt.polling import Schedule
triggers.EARLIEST_EVENT = 0.0  # only real Airflow needs the pause
add = Schedule.add  # nor is the usual interval waited for
Schedule.add = lambda *given, **how: add(*given, **{**how, "poll_interval": 0.05})
order = json.load(sys.stdin)
bag = DagBag(order["folder"])
report = {"errors": {str(path): str(error) for path, error in bag.import_errors.items()}, "dags": {}}
for dag_id, conf in order["runs"].items():
    dag = bag.dags[dag_id]
    run = dag.test(run_conf=conf)
    tasks = {}
    for ti in run.get_task_instances():
        value = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
        tasks.setdefault(ti.task_id, []).append([str(ti.state), value])
    report["dags"][dag_id] = {"state": str(run.state), "tasks": tasks}
report["all"] = sorted(bag.dags)
with open(order["report"], "w") as file:
    json.dump(report, file)
"""


@dataclass
class Ran:
    """The example DAGs after they ran."""

    report: dict[str, Any]
    emulator: Emulator
    output: Path

    def results(self, dag_id: str, task_id: str) -> list[Any]:
        """Return the XCom values of a task, one for each of its instances, after a look at all states."""
        dag = self.report["dags"][dag_id]
        assert {state for instances in dag["tasks"].values() for state, _ in instances} == {"success"}
        assert dag["state"] == "success"
        return [value for _, value in dag["tasks"][task_id]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Airflow home with a migrated database of its own, copied from the one `make unit` has prepared."""
    pristine = Path(os.environ.get("AIRFLOW_HOME", "/nowhere")) / "pristine.db"
    if not pristine.exists():
        pytest.skip("needs a migrated database: run it by `make unit` or `make matrix`")
    home = tmp_path_factory.mktemp("airflow")
    shutil.copy(pristine, home / "airflow.db")
    return home


@pytest.fixture(scope="module")
def ran(home: Path) -> Any:
    """Run every example once, and leave the emulator up for questions."""
    output = home / "transcripts"
    with Emulator(processing_seconds=0.2, speed=100.0) as emulator:
        emulator.script("*.*", text=TEXT, duration=12.0)
        emulator.script(VIDEO, text=TEXT, title="Parcels")
        job = submit_elsewhere(emulator)
        runs = {
            "example_transcribe": {},
            "example_submit_and_wait": {},
            "example_wait_for_job": {"job": job},
            "example_output": {"output": str(output)},
            "example_hook": {},
            "example_meeting": {"output": str(output)},
            "example_call_centre": {"output": str(output)},
            "example_youtube": {"output": str(output), "urls": [VIDEO, "https://nowhere.example/watch?v=no"]},
            "example_taskflow": {"output": str(output)},
            "example_mapped": {"output": str(output)},
            "example_nightly_bucket": {"output": str(output)},
            "example_multilingual": {"output": str(output)},
            "example_search": {"output": str(output)},
            **({"example_tables": {"output": str(output / "talks")}} if HAS_DUCKDB else {}),
            **({"example_watched_bucket": {"output": str(output)}} if HAS_WATCHERS else {}),
            **({"example_approve_above": {"output": str(output)}} if can_ask_people() else {}),
        }
        report = reported(home, runs, AIRFLOW_CONN_NANOGPT_DEFAULT=emulator.connection_json)
        yield Ran(report, emulator, output)


def reported(home: Path, runs: dict[str, dict[str, Any]], **variables: str) -> dict[str, Any]:
    """Parse all files and run some DAGs, in a process of its own."""
    order = {"folder": str(EXAMPLES), "runs": runs, "report": str(home / "report.json")}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(order),
        env=environment(home, **variables),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report: dict[str, Any] = json.loads((home / "report.json").read_text())
    return report


def environment(home: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        **more,
    }


def assert_only_what_needs_more_is_refused(errors: dict[str, str]) -> None:
    """Before Airflow 3.1 two examples cannot be read; that of watching says why."""
    watching = set() if HAS_WATCHERS else {"example_watched_bucket.py"}
    asking = set() if can_ask_people() else {"example_approve.py"}
    found = {Path(path).name: error for path, error in errors.items()}
    assert set(found) == watching | asking
    assert all("recordings() needs Airflow 3.1 or newer" in found[name] for name in watching)


def submit_elsewhere(emulator: Emulator) -> dict[str, Any]:
    """Submit a job as a script outside of Airflow would, and return it."""
    from airflow_provider_nanostt.api import endpoints
    from airflow_provider_nanostt.api.config import Config
    from airflow_provider_nanostt.api.models import Job, Submission
    from airflow_provider_nanostt.api.transport import Client

    with Client(Config(emulator.api_key, emulator.url)) as client:
        job = client.send(endpoints.submit(Submission("https://example.com/talk.mp3", "Elevenlabs-STT")))
    assert isinstance(job, Job)
    return dict(job.to_json())


def test_every_file_parses(home: Path):
    """On each Airflow, and alone: what is marked ``both_ends`` is not run on each."""
    report = reported(home, {})
    assert_only_what_needs_more_is_refused(report["errors"])
    assert len(report["all"]) >= len(FILES) - len(report["errors"])


def test_every_dag_of_every_file_runs(ran: Ran):
    """No file of the folder fails to parse, and no DAG in it is left out here."""
    assert_only_what_needs_more_is_refused(ran.report["errors"])
    not_run = [*([NEEDS_A_PERSON] if can_ask_people() else []), *([] if HAS_DUCKDB else ["example_tables"])]
    assert ran.report["all"] == sorted([*ran.report["dags"], *not_run])
    assert len(FILES) == 15


def test_a_note_a_call_and_a_list(ran: Ran):
    """Recordings are transcribed at once, in the triggerer, and one task for each."""
    (note,) = ran.results("example_transcribe", "note")
    (call,) = ran.results("example_transcribe", "call")
    each = ran.results("example_transcribe", "each")
    assert note["transcription"] == TEXT
    assert TEXT in call["transcription"]
    assert call["segments"]
    assert [TEXT in one["transcription"] for one in each] == [True, True]


def test_submitting_and_waiting_are_two_tasks(ran: Ran):
    """The sensor gets the transcript of the other task's job, and nothing is paid twice."""
    (submitted,) = ran.results("example_submit_and_wait", "submit")
    (transcript,) = ran.results("example_submit_and_wait", "transcript")
    assert submitted["job"]["run_id"] == submitted["run_id"] == transcript["run_id"]
    assert TEXT in transcript["transcription"]
    assert [charge.run_id for charge in ran.emulator.charges].count(submitted["run_id"]) == 1


def test_a_job_from_elsewhere_is_waited_for(ran: Ran):
    """A job that no DAG has submitted is waited for, too."""
    (transcript,) = ran.results("example_wait_for_job", "transcript")
    assert TEXT in transcript["transcription"]


def test_transcripts_become_files(ran: Ran):
    """XCom has URIs and figures; text and ledger are in the folder that the run named."""
    each = ran.results("example_output", "each")
    (summary,) = ran.results("example_output", "summary")
    assert "transcription" not in each[0]
    assert all(Path(one["files"]["json"].removeprefix("file://")).parent == ran.output for one in each)
    assert set(summary["beginnings"]) == {"weekly-note.wav", "closed-office.ogg"}
    assert summary["cost_usd"] == pytest.approx(sum(one["cost_usd"] for one in each))
    assert len(list((ran.output / ".nanostt").iterdir())) == 2


def test_a_meeting_becomes_a_page_and_captions(ran: Ran):
    """Five files, with the speakers' own names in them."""
    (meeting,) = ran.results("example_meeting", "meeting")
    assert set(meeting["files"]) == {"json", "txt", "srt", "vtt", "html"}
    assert meeting["speakers"][0] == "Service"
    page = Path(meeting["files"]["html"].removeprefix("file://")).read_text()
    assert "Service" in page
    assert "Speaker 1" not in page


def test_two_channels_become_a_dialogue(ran: Ran):
    """Each side is transcribed for itself, and both are put together by time."""
    (batch,) = ran.results("example_call_centre", "both_sides")
    (turns,) = ran.results("example_call_centre", "dialogue")
    assert batch["written"] == 2
    assert {turn["speaker"] for turn in turns} == {"Agent", "Customer"}
    assert [turn["start"] for turn in turns] == sorted(turn["start"] for turn in turns)


def test_an_address_without_a_video_does_not_stop_the_others(ran: Ran):
    """The other video is written and paid for."""
    (videos,) = ran.results("example_youtube", "videos")
    assert (videos["written"], videos["failed"]) == (1, 1)
    assert (ran.output / "videos" / "Parcels-the-parcels.txt").read_text().strip() == TEXT


def test_functions_return_recordings(ran: Ran):
    """One recording in XCom, a list as files, and tasks after them that use both."""
    (sentence,) = ran.results("example_taskflow", "first_sentence")
    (texts,) = ran.results("example_taskflow", "texts")
    assert sentence == TEXT.rstrip(".")
    assert {name: text.strip() for name, text in texts.items()} == {"announcement-closed-office": TEXT}


def test_a_task_for_each(ran: Ran):
    """Every recording of the folder has its own task and files."""
    each = ran.results("example_mapped", "each")
    (longest,) = ran.results("example_mapped", "longest")
    assert len({one["files"]["txt"] for one in each}) == 3
    assert TEXT in longest


def test_a_night_in_one_task(ran: Ran):
    """All that the pattern finds is written in four formats; the next task reads the texts from the manifest."""
    (night,) = ran.results("example_nightly_bucket", "night")
    (texts,) = ran.results("example_nightly_bucket", "new_texts")
    assert (night["total"], night["written"], night["failed"]) == (2, 2, 0)
    assert {Path(audio).name for audio in texts} == {"weekly-note.wav", "delivery-call.wav"}
    assert all(TEXT in text for text in texts.values())
    names = {file.name for file in (ran.output / "calls").glob("weekly-note.*")}
    assert names == {f"weekly-note.{form}" for form in ("json", "txt", "srt", "html")}


@pytest.mark.skipif(not HAS_DUCKDB, reason="DuckDB is in the development environment only")
def test_sql_says_who_speaks_how_much(ran: Ran):
    """The answer is that of the segments in the JSON files, day by day."""
    (night,) = ran.results("example_tables", "night")
    (answer,) = ran.results("example_tables", "speaking_time")
    files = [json.loads(file.read_text()) for file in (ran.output / "talks").glob("*.json")]
    seconds = sum(segment["end"] - segment["start"] for file in files for segment in file["segments"])
    (row,) = answer
    assert row["minutes"] == pytest.approx(seconds / 60, abs=0.01) != 0
    assert (row["speaker"], row["turns"], row["recordings"]) == ("Speaker 1", 2, 2)
    assert f"/segments/day={row['day']}/" in night["tables"]["segments"]


@pytest.mark.skipif(not HAS_WATCHERS, reason="Airflow 3.0 has no watchers that are fit for it")
def test_a_watched_folder_is_transcribed(ran: Ran):
    """The run lists the folder itself, whatever the event has said."""
    (new,) = ran.results("example_watched_bucket", "new")
    assert (new["total"], new["written"]) == (2, 2)


def test_items_of_a_list_have_options_of_their_own(ran: Ran):
    """Each has its own language, model and name; a missing one does not stop the others."""
    (batch,) = ran.results("example_multilingual", "batch")
    (words,) = ran.results("example_multilingual", "words_by_language")
    assert (batch["written"], batch["failed"]) == (3, 1)
    assert {file.stem for file in (ran.output / "languages").glob("*.json")} == {"note", "call", "announcement"}
    assert sum(words.values()) == batch["words"]
    asked = [request.fields for request in ran.emulator.requests if request.endpoint == "/transcribe"]
    assert {("en", "Whisper-Large-V3"), ("en", "Elevenlabs-STT"), ("auto", "Whisper-Large-V3")} <= {
        (fields["language"], fields["model"]) for fields in asked
    }


def test_a_question_is_answered_from_recordings(ran: Ran):
    """With the passage, and where it was said; the index has each chunk of both recordings once."""
    (place,) = ran.results("example_search", "index")
    (found,) = ran.results("example_search", "answer")
    assert "parcels have arrived" in found[0]["text"]
    assert found[0]["source"] in ("weekly-note.wav", "delivery-call.wav")
    assert {"id", "start", "speaker"} <= found[0].keys()
    chunks = [json.loads(line) for file in (ran.output / "search").glob("*.chunks.jsonl") for line in file.open()]
    with closing(sqlite3.connect(place.removeprefix("file://"))) as database:
        assert database.execute("SELECT count(*) FROM chunks").fetchone() == (len(chunks),)


@pytest.mark.skipif(not can_ask_people(), reason="this Airflow asks nobody")
def test_what_costs_little_asks_nobody(ran: Ran):
    """Both recordings cost less than what a person would be asked for."""
    (batch,) = ran.results("example_approve_above", "transcribe")
    assert batch["written"] == 2
    assert 0 < batch["cost_usd"] < 20


def test_the_hook_in_a_task(ran: Ran):
    """A task of one's own asks for the balance and transcribes."""
    (before,) = ran.results("example_hook", "balance")
    (transcript,) = ran.results("example_hook", "transcribe")
    assert before > 0
    assert TEXT in transcript["text"]


def test_every_job_is_paid_for_once(ran: Ran):
    """All the examples together are charged as often as they have recordings (and videos that have a transcript)."""
    extra = 2 * (HAS_WATCHERS + can_ask_people() + HAS_DUCKDB)
    assert len(ran.emulator.charges) == 4 + 1 + 1 + 2 + 1 + 1 + 2 + 1 + 2 + 3 + 2 + 3 + 2 + extra
