"""A batch in one task: what lands, what it costs, what the manifest tells, and how one item's trouble stays its own."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.exceptions import AirflowException

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.operators.batch import TranscribeBatchOperator
from tests.conftest import fire
from tests.real_store import Shelf
from tests.workflow.batch.conftest import ASYNC, PRICE, SYNC, Batch, once, read_manifest, text_in, text_of

WAYS = pytest.mark.parametrize(
    ("model", "deferrable"), [(SYNC, True), (ASYNC, True), (ASYNC, False)], ids=["sync", "deferred", "in the worker"]
)


@WAYS
@pytest.mark.parametrize("max_parallel", [1, 8])
def test_each_recording_lands_once_and_has_its_row(batch: Batch, model, deferrable, max_parallel):
    """Whichever way is waited: a file, a row and a charge for each, rows in the order of the inputs, sums in XCom."""
    audio = batch.recordings(12)[::-1]
    result = batch.run(audio, model=model, deferrable=deferrable, max_parallel=max_parallel, formats=("json", "txt"))
    assert batch.statuses == ["written"] * 12
    assert [row["audio"] for row in batch.rows] == audio
    assert batch.texts == [text_of(Path(one).name) for one in audio]
    assert batch.charged == once(audio)
    assert {row["model"] for row in batch.rows} == {model}
    assert all(Path(row["files"]["txt"].removeprefix("file://")).exists() for row in batch.rows)
    assert [row["cost_usd"] for row in batch.rows] == [pytest.approx(PRICE[model])] * 12
    assert result["manifest"]["jsonl"].removeprefix("file://") == f"{batch.memory.folder}/manifest.jsonl"
    assert (result["total"], result["written"], result["failed"], result["failed_audio"]) == (12, 12, 0, [])
    assert result["cost_usd"] == pytest.approx(sum(charge.cost for charge in batch.emulator.charges))
    assert result["charged_minutes"] == pytest.approx(6.0)
    assert result["words"] == sum(row["words"] for row in batch.rows) > 12 * 5
    runs = [row["run_id"] for row in batch.rows]
    assert len(set(runs)) == (12 if model == ASYNC else 1)


def test_what_is_named_is_what_is_paid_for(batch: Batch):
    """A name that looks like a pattern is that recording and no other."""
    audio = [batch.recording(name) for name in ("Talk [id].wav", "What now?.wav", "b[1].wav", "plain.wav")]
    for other in ("What nowX.wav", "b1.wav"):
        batch.recording(other)
    batch.run([audio[0], f"file://{audio[1]}", {"audio": audio[2], "name": "b"}, audio[3], f"file://{audio[0]}"])
    assert batch.statuses == [*["written"] * 4, "duplicate"]
    assert batch.charged == once(name.replace("?", "_") for name in audio)  # as an upload is called


@pytest.mark.parametrize("on_no_match", ["warn", "fail"])
def test_nothing_that_is_given_is_without_a_row(batch: Batch, tmp_path, on_no_match):
    """What matches no recording is a row: a warning, or with ``on_no_match="fail"`` a failure, beside the others."""
    (good,) = batch.recordings(1)
    audio = [f"{tmp_path}/none*.wav", good, f"{tmp_path}/gone [1].wav", "relative*.wav", "s3://[x/*.wav", "nosuch://[x"]
    result = batch.run(audio, on_no_match=on_no_match, on_item_error="continue")
    status = {"warn": "no_match", "fail": "failed"}[on_no_match]
    assert batch.statuses == [status, "written", status, *["failed"] * 3]
    assert [row["audio"] for row in batch.rows] == audio
    assert "matches no recording" in batch.rows[0]["error"]
    assert result[status] >= 2
    assert batch.charged == once([good])


def test_a_pattern_that_matches_nothing_fails_the_task_that_wants_it_so(batch: Batch, tmp_path):
    """And is a success otherwise."""
    assert batch.run(f"{tmp_path}/none*.wav")["no_match"] == 1
    with pytest.raises(AirflowFailException, match="matches no recording"):
        batch.run(f"{tmp_path}/none*.wav", on_no_match="fail")


def test_short_jobs_are_waited_for_in_the_worker(batch: Batch):
    """Where all jobs are expected within ``defer_after``, there is no deferral, which would take longer."""
    made = batch.make(batch.recordings(3), max_worker_wait=60)
    result = made.execute(batch.memory.context())
    assert (result["written"], batch.statuses) == (3, ["written"] * 3)


def test_one_that_takes_longer_than_expected_is_deferred_with_the_rest_landed(batch: Batch):
    """What is done in the worker is landed there; only what is left goes to the triggerer."""
    audio = [*batch.recordings(2), batch.recording("slow.wav", processing_seconds=3.0)]
    result = batch.run(audio, max_worker_wait=0.5, actual_duration=0.001)
    assert (result["written"], batch.charged) == (3, once(audio))


BAD: dict[str, tuple[Any, str]] = {
    "missing": ({"audio": "/nowhere/a.wav"}, "does not exist"),
    "no audio": ({"audio": "BATCH/text.wav"}, "text.wav"),
    "cannot tell speakers": ({"audio": "BATCH/good.wav", "model": SYNC, "diarize": True}, "does not work with"),
    "not a number": ({"audio": "BATCH/good.wav", "actual_duration": "long"}, "must be a positive number of minutes"),
    "wrong model": ({"audio": "BATCH/good.wav", "model": "qwen-voice-clone"}, "clones voices"),
    "names": ({"audio": "BATCH/good.wav", "speaker_names": "Agent"}, "speaker_names"),
    "unknown storage": ({"audio": "odd://bucket/a.wav"}, "odd://bucket/a.wav"),
    "private address": ({"audio": "ftp://example.com/a.wav"}, "a.wav"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("on_item_error", ["fail", "continue"])
def test_one_bad_item_fails_alone(batch: Batch, name, on_item_error):
    """The others land; the task fails and names it, or succeeds and leaves it to the manifest."""
    bad, words = BAD[name]
    first, last = batch.recording("first.wav"), batch.recording("last.wav")
    batch.recording("good.wav")
    (batch.folder / "text.wav").write_text("This is no sound at all.")
    bad = {**bad, "audio": bad["audio"].replace("BATCH", str(batch.folder))}
    if on_item_error == "fail":
        with pytest.raises(AirflowFailException, match="1 of 3 recordings have no transcript") as caught:
            batch.run([first, bad, last])
        assert bad["audio"] in str(caught.value)
        assert "The others are written" in str(caught.value)
    else:
        result = batch.run([first, bad, last], on_item_error="continue")
        assert (result["written"], result["failed"], result["failed_audio"]) == (2, 1, [bad["audio"]])
    assert batch.statuses == ["written", "failed", "written"]
    assert words in batch.rows[1]["error"]
    assert batch.charged == once([first, last])


@pytest.mark.parametrize(
    ("audio", "arguments", "words"),
    [
        ([{"audio": "/calls/a.wav", "lang": "es"}], {}, "has lang"),
        (["BATCH/good.wav", 17], {}, "names no recording"),
        (["BATCH/good.wav"], {"on_item_error": "ignore"}, "on_item_error"),
        (["BATCH/good.wav"], {"max_parallel": 0}, "from 1 to 64"),
        (["BATCH/good.wav"], {"max_parallel": 65}, "from 1 to 64"),
        (["BATCH/good.wav"], {"manifest": "a/b"}, 'must be a file name without "/"'),
        (["BATCH/good.wav"], {"manifest_formats": ("xlsx",)}, "must be any of jsonl"),
        (["BATCH/good.wav"], {"formats": ("pdf",)}, "unknown format"),
        (["BATCH/good.wav"], {"output_path": ""}, "output_path is needed"),
        (["BATCH/good.wav"], {"output_path": "relative"}, "relative path"),
        (["BATCH/good.wav"], {"skip_existing": True, "force": True}, "contradict"),
        (["BATCH/good.wav"], {"max_cost_usd": -1}, "must be a non-negative number"),
        (["BATCH/good.wav"], {"recovery_policy": {"on_lost_job": "cry"}}, "on_lost_job"),
        (["BATCH/good.wav"], {"timeout": 0}, "timeout"),
    ],
)
def test_mistakes_in_the_task_itself_fail_before_anything_is_sent(batch: Batch, audio, arguments, words):
    """A malformed list or argument costs nothing and needs no retry."""
    batch.recording("good.wav")
    given = [one.replace("BATCH", str(batch.folder)) if isinstance(one, str) else one for one in audio]
    with pytest.raises(AirflowFailException, match=words):
        batch.run(given, **arguments)
    assert batch.submits == 0


@pytest.mark.parametrize("name", ["audio_path", "audio_url", "wait", "xcom_limit"])
def test_arguments_that_a_batch_has_no_use_for_are_refused(name):
    """They fail where the DAG is written."""
    with pytest.raises((TypeError, AirflowException), match=name):  # the latter in Airflow 2.11
        TranscribeBatchOperator(task_id="x", audio=[], output_path="/t", **{name: "x"})


def test_captions_without_times_are_refused_before_they_are_paid(batch: Batch):
    """A model that gives no times cannot make captions; only the items with that model fail."""
    audio = [batch.recording("a.wav"), {"audio": batch.recording("b.wav"), "model": "Whisper-Large-V3"}]
    with pytest.raises(AirflowFailException, match="gives no times"):
        batch.run(audio, formats=("json", "srt"))
    assert batch.charged == once([audio[0]])


def test_items_say_for_themselves(batch: Batch):
    """Model, language, name, speakers' names and length of an item go before those of the operator."""
    audio = [
        batch.recording("a.wav"),
        {"audio": batch.recording("b.wav"), "language": "es", "name": "madrid {1}", "actual_duration": 1.5},
        {"audio": batch.recording("c.wav"), "model": SYNC, "language": "de"},
        {"audio": batch.recording("d.wav"), "diarize": True, "speaker_names": {"Speaker 1": "Agent"}},
    ]
    batch.run(audio, language="en", filename="{name}-{model}")
    sent = [request.fields for request in batch.emulator.requests if request.endpoint == "/transcribe"]
    by_language = sorted((fields["language"], fields["model"], float(fields["actualDuration"])) for fields in sent)
    assert by_language == [
        ("de", SYNC, 0.5), ("en", ASYNC, 0.5), ("en", ASYNC, 0.5), ("es", ASYNC, 1.5),
    ]  # fmt: skip
    names = [Path(row["files"]["json"]).name for row in batch.rows]
    assert names == [f"a-{ASYNC}.json", f"madrid_1_-{ASYNC}.json", f"c-{SYNC}.json", f"d-{ASYNC}.json"]
    assert [row["name"] for row in batch.rows] == ["", "madrid {1}", "", ""]
    assert batch.rows[3]["speakers"] == ["Agent"]


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_same_recording_twice_is_one_job(batch: Batch, deferrable):
    """A repeated input has the files of the first and costs nothing."""
    a, b = batch.recordings(2)
    result = batch.run([a, b, a, {"audio": a}], deferrable=deferrable)
    assert batch.statuses == ["written", "written", "duplicate", "duplicate"]
    assert batch.charged == once([a, b])
    assert batch.rows[2]["files"] == batch.rows[0]["files"]
    assert (result["duplicate"], result["cost_usd"]) == (2, pytest.approx(2 * PRICE[ASYNC]))


def test_a_repeated_bad_one_is_bad_twice(batch: Batch):
    """Each input has a row that tells the truth about it."""
    good = batch.recording("good.wav")
    batch.run(["/nowhere.wav", good, "/nowhere.wav"], on_item_error="continue")
    assert batch.statuses == ["failed", "written", "failed"]
    assert "does not exist" in batch.rows[2]["error"]


@pytest.mark.parametrize("skip_existing", [False, True])
def test_same_names_in_two_folders(batch: Batch, skip_existing):
    """Each keeps a transcript of its own, also in the next attempt."""
    audio = [batch.recording(f"{folder}/call.wav") for folder in ("a", "b", "c")]
    for _ in range(2):
        batch.run(audio, skip_existing=skip_existing)
        files = [row["files"]["json"] for row in batch.rows]
        assert len(set(files)) == 3
        assert [json.loads(Path(file.removeprefix("file://")).read_text())["source"] for file in files] == [
            "call.wav"
        ] * 3
    assert batch.charged == {"call.wav": 3}
    assert len(list(batch.memory.folder.glob("call*.json"))) == 3


def test_a_pattern_and_an_empty_one(batch: Batch, logged):
    """What a folder holds is transcribed; a pattern that finds nothing is a success with a row, told in the log."""
    audio = batch.recordings(3)
    assert batch.run(f"{batch.folder}/*.wav")["written"] == 3
    assert [row["audio"] for row in batch.rows] == audio
    result = batch.run(f"{batch.folder}/*.mp3", {"run_id": "another"})
    assert (result["total"], result["written"], batch.statuses) == (1, 0, ["no_match"])
    assert any("matches no recording" in line for line in logged())
    assert batch.charged == once(audio)


def test_from_bucket_to_bucket(batch: Batch, bucket):
    """Recordings, results, ledger and manifest may all lie in object storage."""
    for name in ("a.wav", "b.wav"):
        bucket.pipe_file(f"/bucket/calls/{name}", Path(batch.recording(name)).read_bytes())
    result = batch.run("s3://bucket/calls/*.wav", output_path="s3://bucket/results")
    assert result["manifest"] == {"jsonl": "s3://bucket/results/manifest.jsonl"}
    rows = [json.loads(line) for line in bucket.cat_file("/bucket/results/manifest.jsonl").splitlines()]
    assert [row["audio"] for row in rows] == ["s3://bucket/calls/a.wav", "s3://bucket/calls/b.wav"]
    assert [row["files"]["json"] for row in rows] == ["s3://bucket/results/a.json", "s3://bucket/results/b.json"]
    assert batch.charged == {"a.wav": 1, "b.wav": 1}


def test_in_a_real_store(batch: Batch, shelf: Shelf):
    """A night in a bucket with a connection, twice: the second pays only for what is new."""
    for name in ("a.wav", "b.wav"):
        shelf.put(f"calls/{name}", Path(batch.recording(name)).read_bytes())
    given = {"output_path": f"{shelf.uri}/results", "skip_existing": True, "formats": ("txt", "whisperx")}
    assert batch.run(f"{shelf.uri}/calls/*.wav", {"run_id": "monday"}, **given)["written"] == 2
    shelf.put("calls/c.wav", Path(batch.recording("c.wav")).read_bytes())
    result = batch.run(f"{shelf.uri}/calls/*.wav", {"run_id": "tuesday"}, **given)
    assert (result["written"], result["skipped"]) == (1, 2)
    rows = [json.loads(line) for line in shelf.read("results/manifest.jsonl").splitlines()]
    assert [row["status"] for row in rows] == ["skipped", "skipped", "written"]
    there = {f"{shelf.uri}/{key}" for key in shelf.keys("results")}
    assert all(row["files"]["txt"] in there and row["files"]["whisperx"] in there for row in rows)
    assert sum(batch.charged.values()) == 3


def test_a_mapped_batch(batch: Batch):
    """Two instances of one task keep each other's records, manifests and files apart."""
    audio = batch.recordings(4)
    for index in (0, 1):
        half = audio[2 * index : 2 * index + 2]
        batch.run(half, {"map_index": index}, manifest=f"manifest-{index}")
    for index in (0, 1):
        rows = read_manifest(batch.memory.folder, f"manifest-{index}")
        assert [row["audio"] for row in rows] == audio[2 * index : 2 * index + 2]
        assert [text_in(row["files"]["json"]) for row in rows] == [text_of(Path(row["audio"]).name) for row in rows]
    assert batch.charged == once(audio)


def test_all_forms_of_the_manifest_at_once(batch: Batch):
    """Each form is there, has all rows, and is named in XCom."""
    parquet = pytest.importorskip("pyarrow.parquet")
    forms = ("jsonl", "csv", "parquet")
    result = batch.run(batch.recordings(3), manifest_formats=forms, manifest="night")
    paths = {form: Path(uri.removeprefix("file://")) for form, uri in result["manifest"].items()}
    assert [path.name for path in paths.values()] == ["night.jsonl", "night.csv", "night.parquet"]
    with paths["csv"].open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["written"] * 3
    assert parquet.read_table(paths["parquet"]).column("status").to_pylist() == ["written"] * 3
    assert len(paths["jsonl"].read_text().splitlines()) == 3


def test_templates_are_rendered(batch: Batch):
    """Pattern, folder, name of the manifest and flags come from the run."""
    batch.recordings(2)
    made = batch.make(
        "{{ params.folder }}/*.wav",
        output_path="{{ params.out }}",
        manifest="{{ ds }}",
        skip_existing="{{ params.skip }}",
    )
    params = {"folder": str(batch.folder), "out": str(batch.memory.folder / "x"), "skip": True}
    made.render_template_fields({"params": params, "ds": "2026-11-25"})
    assert made.audio == f"{batch.folder}/*.wav"
    assert made.output_path == str(batch.memory.folder / "x")
    assert (made.manifest, made.skip_existing) == ("2026-11-25", "True")
    listed = batch.make([{"audio": "{{ params.folder }}/a.wav", "language": "{{ params.skip }}"}])
    listed.render_template_fields({"params": params, "ds": "2026-11-25"})
    assert listed.audio == [{"audio": f"{batch.folder}/a.wav", "language": "True"}]


SIGNATURE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SIGNED = f"https://bucket.example/call.mp3?versionId=3&X-Amz-Signature={SIGNATURE}"


@pytest.mark.parametrize("end", ["completed", "failed"])
def test_what_signs_an_address_is_written_nowhere(batch: Batch, logged, end):
    """Not in manifest, ledger, state, transcript, event, log or message, whatever the service says."""
    broken = {"status": "failed", "error": f"cannot fetch {SIGNED}: gone"} if end == "failed" else {}
    batch.script(SIGNED, text="These are the words.", **broken)
    made = batch.make([SIGNED, SIGNED.replace("call", "other")])
    batch.script(SIGNED.replace("call", "other"), text="These are the words.")
    with pytest.raises(BaseException) as deferred:  # noqa: PT011  Airflow's way to defer has moved
        made.execute(batch.memory.context())
    kwargs = json.dumps(deferred.value.trigger.serialize()[1])
    event = fire(deferred.value.trigger)
    message = ""
    again = batch.make([SIGNED, SIGNED.replace("call", "other")])
    try:
        again.execute_complete(batch.memory.context(), event=event)
    except errors.BatchIncomplete as error:
        message = str(error)
    assert (end == "failed") == ("cannot fetch https://bucket.example/call.mp3" in message)
    written = batch.everything_written()
    assert "https://bucket.example/call.mp3" in written
    assert "versionId" not in written
    for text in (kwargs, json.dumps(event), message, written, "\n".join(logged())):
        assert SIGNATURE not in text


def test_the_event_holds_no_ticket_and_no_text(batch: Batch):
    """It is stored and logged: a count, and the run ids of jobs that are not done."""
    audio = [*batch.urls(3), batch.script("https://192.0.2.7/bad.mp3", status="failed", error="noise")]
    with pytest.raises(BaseException) as deferred:  # noqa: PT011
        batch.make(audio).execute(batch.memory.context())
    event = fire(deferred.value.trigger)
    failed = next(charge.run_id for charge in batch.emulator.charges if charge.source == audio[3])
    assert (event["batch"]["jobs"], event["batch"]["not_completed"]) == (4, {failed: "failed"})
    assert "https://" not in json.dumps(event)


def test_an_event_that_cannot_be_read_loses_nothing(batch: Batch):
    """The resume fails, and the retry finds all that is paid for."""
    audio = batch.urls(2)
    with pytest.raises(BaseException):  # noqa: B017, PT011
        batch.make(audio).execute(batch.memory.context())
    for event in ({}, {"batch": 3}, None):
        with pytest.raises(errors.LedgerError, match="event cannot be read"):
            batch.make(audio).execute_complete(batch.memory.context(), event=event)
    assert batch.run(audio)["written"] == 2
    assert batch.charged == once(audio)
