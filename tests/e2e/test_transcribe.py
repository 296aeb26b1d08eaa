"""The main job in a real Airflow: real speech in, a transcript out, and no slot held in between."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jiwer
import pytest
from airflow_api import wait_for
from local_airflow import LocalAirflow

from airflow_provider_nanostt.emulator import Emulator

pytestmark = pytest.mark.e2e
pytest.importorskip("pocketsphinx")

AUDIO = Path(__file__).parents[2] / "example_dags" / "audio"


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def script(name: str) -> str:
    return words((AUDIO / f"{name}.txt").read_text())


def call_script() -> str:
    return words(" ".join(turn["text"] for turn in json.loads((AUDIO / "delivery-call.json").read_text())["turns"]))


@pytest.fixture(scope="module")
def run(airflow: LocalAirflow, service: Emulator) -> dict:
    """One run of the DAG, looked at while its jobs are in progress and again at its end."""
    api = airflow.api
    api.wait_for_dag("speech")
    run_id = api.trigger_dag("speech")
    waiting = [
        api.wait_for_task("speech", run_id, "call", ["deferred"]),
        api.wait_for_task("speech", run_id, "each", ["deferred"], map_index=0),
    ]
    # A worker process may linger for 5 s after it deferred its task (`[workers] min_heartbeat_interval`).
    wait_for(lambda: not any(map(airflow.task_pids, waiting)), "the deferred tasks' processes being gone", 10)
    states = [api.task_instance("speech", run_id, one.task_id, one.map_index).state for one in waiting]
    still = [job.status for job in service.jobs]
    state = api.wait_for_run("speech", run_id)
    return {"run_id": run_id, "states": states, "still": still, "state": state}


def test_no_process_holds_a_deferred_task(run):
    """While the jobs run at the service, their tasks are deferred and no worker process belongs to them."""
    assert run["states"] == ["deferred", "deferred"]
    assert set(run["still"]) & {"pending", "processing"}


def test_everything_succeeds_and_is_charged_once(run, service: Emulator):
    """Five recordings, five charges."""
    assert run["state"] == "success"
    assert len(service.charges) == 5


@pytest.mark.parametrize(
    ("task_id", "map_index", "said"),
    [
        ("call", -1, call_script()),
        ("each", 0, script("weekly-note")),
        ("each", 1, script("closed-office")),
        ("at_once", -1, script("weekly-note")),
        ("in_the_worker", -1, script("closed-office")),
    ],
)
def test_the_transcript_says_what_was_said(run, airflow: LocalAirflow, task_id, map_index, said):
    """Real recognition of the samples stays within a word error rate of 0.10 against their scripts."""
    value = airflow.api.xcom("speech", run["run_id"], task_id, map_index=map_index)
    heard = " ".join(segment["text"] for segment in value["segments"]) or value["transcription"]
    assert jiwer.wer(said, words(heard)) <= 0.10


def test_the_two_speakers_are_told_apart(run, airflow: LocalAirflow):
    """The stereo call comes back as four turns of two speakers, with times that go on."""
    segments = airflow.api.xcom("speech", run["run_id"], "call")["segments"]
    assert [segment["speaker"] for segment in segments] == ["Speaker 1", "Speaker 2"] * 2
    starts = [segment["start"] for segment in segments]
    assert starts == sorted(starts)


def test_the_log_tells_the_run_and_the_money_but_no_word(run, airflow: LocalAirflow, service: Emulator):
    """What an operator reads at night: run id, model, minutes and cost; neither key nor text."""
    log = airflow.api.task_log("speech", run["run_id"], "call")
    value = airflow.api.xcom("speech", run["run_id"], "call")
    for told in (value["run_id"], "Elevenlabs-STT", "minutes charged", "$0.0"):
        assert told in log
    assert service.api_key not in log
    assert "delivery service" not in log.lower()


def test_a_wrong_key_fails_without_a_retry_and_says_where_to_look(airflow: LocalAirflow, service: Emulator):
    """The task fails on its first try; the log names the connection and the page where keys are made."""
    api = airflow.api
    api.wait_for_dag("wrong_key")
    run_id = api.trigger_dag("wrong_key")
    assert api.wait_for_run("wrong_key", run_id) == "failed"
    assert api.task_instance("wrong_key", run_id, "transcribe").try_number == 1
    log = api.task_log("wrong_key", run_id, "transcribe")
    assert "nanogpt_wrong_key" in log
    assert "https://nano-gpt.com/api" in log
    assert "sk-nano-ffffffff" not in log


def test_airflow_lists_the_provider(airflow: LocalAirflow):
    """``airflow providers list`` shows the package."""
    done = airflow.cli("providers", "list")
    assert done.returncode == 0
    assert "airflow-provider-nanostt" in done.stdout
