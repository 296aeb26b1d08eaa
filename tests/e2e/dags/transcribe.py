"""Real speech: a call, a note and a list of recordings, deferred and not."""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset, AssetAlias, Param, task

from airflow_provider_nanostt.operators import TranscribeOperator

AUDIO = Path(__file__).resolve().parents[3] / "example_dags" / "audio"

with DAG(
    dag_id="speech",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={"model": Param("Elevenlabs-STT", type="string")},
):
    TranscribeOperator(
        task_id="call",
        audio_path=f"{AUDIO}/delivery-call.wav",
        model="{{ params.model }}",
        language="en",
        diarize=True,
        deferrable=True,
        max_worker_wait=0,
        poll_interval=1,
    )
    TranscribeOperator.partial(
        task_id="each", model="Elevenlabs-STT", deferrable=True, max_worker_wait=0, poll_interval=1
    ).expand(audio_path=[f"{AUDIO}/weekly-note.wav", f"{AUDIO}/closed-office.ogg"])
    TranscribeOperator(task_id="at_once", audio_path=f"{AUDIO}/weekly-note.wav", deferrable=True)
    TranscribeOperator(
        task_id="in_the_worker", audio_path=f"{AUDIO}/closed-office.ogg", model="Elevenlabs-STT", deferrable=False
    )

with DAG(dag_id="wrong_key", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
    TranscribeOperator(
        task_id="transcribe", audio_path=f"{AUDIO}/weekly-note.wav", nanogpt_conn_id="nanogpt_wrong_key", retries=3
    )

FILES = "{{ dag_run.conf['output'] }}"

with DAG(dag_id="faces", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
    TranscribeOperator(
        task_id="to_a_page",
        audio=f"{AUDIO}/delivery-call.wav",
        model="Elevenlabs-STT",
        diarize=True,
        output_options={"speaker_names": {"Speaker 1": "Service"}},
        output_path=f"{FILES}/page",
        formats=("json", "srt", "html"),
        deferrable=True,
        max_worker_wait=0,
        poll_interval=1,
        outlets=[AssetAlias("pages")],
    )

    @task.transcribe(
        model="Elevenlabs-STT", output_path=f"{FILES}/batch", deferrable=True, max_worker_wait=0, poll_interval=1,
        outlets=[Asset("x-transcripts://batch")],
    )  # fmt: skip
    def all_notes() -> list[str]:
        return [f"{AUDIO}/weekly-note.wav", f"{AUDIO}/closed-office.ogg"]

    @task.transcribe(model="Elevenlabs-STT", deferrable=True, max_worker_wait=0, poll_interval=1)
    def one_note() -> str:
        return f"{AUDIO}/weekly-note.wav"

    @task
    def folder() -> str:
        from airflow.sdk import get_current_context

        return f"{get_current_context()['dag_run'].conf['output']}/mapped"

    TranscribeOperator.partial(task_id="mapped", output_path=folder(), model="Elevenlabs-STT").expand(
        audio_path=[f"{AUDIO}/weekly-note.wav", f"{AUDIO}/closed-office.ogg"]
    )

    all_notes()
    one_note()
